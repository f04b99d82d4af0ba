#include <fmt/format.h>

#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/runtime/plan_container.hpp>

#include "container_fixture.hpp"

namespace dockerd::runtime::testing {
namespace {

/// Containers planned the way the engine plans them, in cgroups of the test's own.
class PlannedContainers : public Containers {
protected:
    void SetUp() override {
        Containers::SetUp();
        if (IsSkipped()) return;
        cgroups.emplace(CgroupHost::open());
        parent = fmt::format("/dockerd-test-plan-{}", ::getpid());
    }
    void TearDown() override {
        Containers::TearDown();
        if (!cgroups) return;
        EXPECT_TRUE(cgroups->attach("/", parent.substr(1)).remove());
    }

    Result run_shell(const std::string& script) {
        const std::string id = base::random_id();
        GatheredDevices devices = gather_devices(host.resources, host.privileged);
        CgroupLimits limits = cgroup_limits(host.resources, LimitsFor::create);
        limits.devices = devices.rules;
        Cgroup cgroup = cgroups->create(parent, id, limits);

        PlanInput input;
        input.config = &config;
        input.host = &host;
        input.facts = &facts;
        input.id = id;
        input.state_directory = (dir / id.substr(0, 12)).string();
        input.args = {"sh", "-c", script};
        input.rootfs = open_root();
        input.mounts = mounts;
        input.cgroup_version = cgroups->version();
        input.cgroup_procs = cgroup.open_procs();
        input.cgroup_views = cgroup.mount_views();
        input.security = parse_security_options(host.security_opt, false);
        input.capabilities = container_capabilities(host.cap_add, host.cap_drop, host.privileged);
        input.seccomp = choose_seccomp(
            {.option = input.security.seccomp, .daemon_profile = {}, .privileged = host.privileged},
            input.capabilities);
        input.devices = std::move(devices.nodes);
        input.log.kind = LogKind::json_file;
        input.log.path = log_path(id);
        PlannedContainer planned = plan_container(std::move(input));
        open_sources(planned);
        Result result = run(std::move(planned.plan));
        EXPECT_TRUE(cgroup.remove());
        return result;
    }
    std::string out(const std::string& script) {
        const Result result = run_shell(script);
        EXPECT_EQ(result.err, "");
        return result.out;
    }

    model::ContainerConfig config{.hostname = "box"};
    model::HostConfig host{.network_mode = "none", .shm_size = 1 << 20};
    HostFacts facts = read_host_facts();
    std::vector<ResolvedMount> mounts;
    std::optional<CgroupHost> cgroups;
    std::string parent;
};

TEST_F(PlannedContainers, HaveDockersRights) {
    EXPECT_EQ(out("grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status"),
              "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
              "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"
              "Seccomp:\t2\n");
    host.security_opt.push_back("no-new-privileges");
    host.security_opt.push_back("seccomp=unconfined");
    host.cap_drop.push_back("ALL");
    EXPECT_EQ(out("grep -E '^(CapBnd|Seccomp:|NoNewPrivs)' /proc/self/status"),
              "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n");
}

TEST_F(PlannedContainers, RefuseWhatTheProfileRefuses) {
    host.cap_add.push_back("SYS_ADMIN");
    const Result allowed = run_shell("mount -t tmpfs x /tmp && echo yes");
    EXPECT_EQ(allowed.out, "yes\n") << allowed.err;
    host.cap_add.clear();
    EXPECT_NE(run_shell("mount -t tmpfs x /tmp").code, 0);
}

TEST_F(PlannedContainers, PrivilegedOnesHaveWhatTheDaemonHas) {
    host.privileged = true;
    EXPECT_EQ(out("grep -E '^(CapBnd|Seccomp:)' /proc/self/status"),
              fmt::format("CapBnd:\t{:016x}\nSeccomp:\t0\n", capability_scope().available));
    EXPECT_EQ(out("mount -t tmpfs x /tmp && echo mounted; echo renamed > "
                  "/proc/sys/kernel/hostname && cat /proc/sys/kernel/hostname"),
              "mounted\nrenamed\n");
}

TEST_F(PlannedContainers, SeeDockersMounts) {
    const std::string text = out("cat /proc/mounts");
    for (const char* line :
         {"proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0",
          "tmpfs /dev tmpfs rw,nosuid,size=65536k,mode=755",
          "devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666 0 0",
          "sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0",
          "mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime 0 0",
          "shm /dev/shm tmpfs "
          "rw,nosuid,nodev,noexec,relatime,size=1024k"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line << "\nin\n" << text;
    }
}

TEST_F(PlannedContainers, SeeTheirOwnCgroup) {
    if (cgroups->version() == CgroupVersion::v2) GTEST_SKIP() << "v1 paths";
    host.resources.memory = 64 << 20;
    host.resources.pids_limit = 50;
    EXPECT_EQ(out("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max; "
                  "(echo 60 > /sys/fs/cgroup/pids/pids.max) 2>/dev/null || echo read-only"),
              "67108864\n50\nread-only\n");
    host.cgroupns_mode = "private";
    EXPECT_EQ(out("cat /sys/fs/cgroup/memory/memory.limit_in_bytes; grep -c ':/$' "
                  "/proc/self/cgroup"),
              fmt::format("67108864\n{}\n", cgroups->controllers().size() + 1));
}

TEST_F(PlannedContainers, HaveDevicesAndHiddenPaths) {
    const std::string core = fs::exists("/proc/kcore") ? "core\n" : "";
    EXPECT_EQ(out("ls /dev"),
              core + "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n"
              "urandom\nzero\n");
    EXPECT_EQ(out("cat /proc/interrupts /proc/keys; ls /sys/firmware; (echo x > "
                  "/proc/sys/kernel/hostname) 2>/dev/null || echo refused"),
              "refused\n");
    host.resources.devices.push_back({"/dev/null", "/dev/mine", "r"});
    EXPECT_EQ(out("stat -c '%t %T' /dev/mine"), "1 3\n");
}

TEST_F(PlannedContainers, HaveSysctlsEnvironmentAndLimits) {
    host.sysctls["net.core.somaxconn"] = "77";
    host.resources.ulimits.push_back({.name = "nofile", .hard = 1000, .soft = 500});
    config.env.push_back("A=b");
    EXPECT_EQ(out("cat /proc/sys/net/core/somaxconn "
                  "/proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -n; echo $HOSTNAME $A "
                  "$HOME; cat /proc/self/oom_score_adj"),
              "77\n0\n500\nbox b /root\n0\n");
}

TEST_F(PlannedContainers, MountBindsAndTmpfs) {
    fs::create_directories(dir / "volume");
    std::ofstream(dir / "volume/hello") << "hi";
    mounts = {{.destination = "/data", .source = (dir / "volume").string(), .writable = false},
              {.destination = "/data/file", .source = (dir / "volume/hello").string()},
              {.destination = "/scratch", .tmpfs = true, .tmpfs_options = "size=1m,mode=1777"}};
    fs::create_directories(dir / "volume");
    std::ofstream(dir / "volume/file") << "";
    EXPECT_EQ(out("cat /data/hello /data/file; echo; touch /data/x 2>/dev/null || echo read-only; "
                  "echo x > /data/file; grep -c 'scratch tmpfs rw,nosuid,nodev,noexec' "
                  "/proc/mounts"),
              "hihi\nread-only\n1\n");
    EXPECT_EQ(read_file(dir / "volume/hello"), "x\n");
}

TEST_F(PlannedContainers, ReadOnlyRootsStayReadOnly) {
    host.readonly_rootfs = true;
    EXPECT_EQ(out("touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo allowed"),
              "refused\nallowed\n");
}

}  // namespace
}  // namespace dockerd::runtime::testing

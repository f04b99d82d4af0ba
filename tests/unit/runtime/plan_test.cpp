#include <dockerd/runtime/plan_container.hpp>

#include <sys/resource.h>

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::runtime {
namespace {

const char* kind_name(MountKind kind) {
    switch (kind) {
        case MountKind::bind:
            return "bind";
        case MountKind::tmpfs:
            return "tmpfs";
        case MountKind::proc:
            return "proc";
        case MountKind::sysfs:
            return "sysfs";
        case MountKind::devpts:
            return "devpts";
        case MountKind::mqueue:
            return "mqueue";
        case MountKind::cgroup_v1:
            return "cgroup";
        case MountKind::cgroup_v2:
            return "cgroup2";
    }
    return "?";
}

/// One mount as a line: "tmpfs tmpfs /dev rw,nosuid,strictatime,mode=755".
std::string line(const Mount& mount) {
    std::vector<std::string> words{mount.read_only ? (mount.recursive_read_only ? "rro" : "ro")
                                                   : "rw"};
    if (mount.nosuid) words.emplace_back("nosuid");
    if (mount.noexec) words.emplace_back("noexec");
    if (mount.nodev) words.emplace_back("nodev");
    if (!mount.data.empty()) words.push_back(mount.data);
    return fmt::format("{} {} {} {}", kind_name(mount.kind), mount.source, mount.destination,
                       base::join(words, ","));
}

class Plan : public testing::Test {
protected:
    PlannedContainer plan() {
        PlanInput input;
        input.config = &config;
        input.host = &host;
        input.facts = &facts;
        input.id = "abc";
        input.args = {"/bin/sh", "-c", "true"};
        input.mounts = mounts;
        input.network_files = network_files;
        input.rootfs_path = "/data-root/overlay2/x/merged";
        input.shm_path = shm_path;
        input.capabilities = default_capabilities();
        input.cgroup_version = cgroup_version;
        input.cgroup_views = {{"cpu,cpuacct", {"cpu", "cpuacct"}, "/sys/fs/cgroup/cpu,cpuacct/d/a"},
                              {"systemd", {"name=systemd"}, "/sys/fs/cgroup/systemd/d/a"}};
        input.security = security;
        input.devices = devices;
        return plan_container(std::move(input));
    }
    std::vector<std::string> lines() {
        std::vector<std::string> all;
        for (const Mount& mount : plan().plan.mounts) all.push_back(line(mount));
        return all;
    }
    std::string error() {
        try {
            (void)plan();
        } catch (const base::Error& failure) {
            kind = failure.kind();
            return failure.what();
        }
        return "no error";
    }
    const Mount& mount_at(const PlannedContainer& planned, std::string_view destination) {
        const auto& all = planned.plan.mounts;
        return *std::ranges::find(all, destination, &Mount::destination);
    }

    model::ContainerConfig config{.hostname = "h1"};
    model::HostConfig host{.network_mode = "default", .shm_size = 67108864};
    HostFacts facts{.recursive_read_only = true,
                    .ping_group_range = true,
                    .unprivileged_port_start = true,
                    .thermal_throttle = {"/sys/devices/system/cpu/cpu0/thermal_throttle"}};
    std::vector<ResolvedMount> mounts, network_files;
    std::string shm_path;
    CgroupVersion cgroup_version = CgroupVersion::v1;
    SecurityOptions security;
    std::vector<DeviceNode> devices;
    base::ErrorKind kind = base::ErrorKind::internal;
};

TEST_F(Plan, HasDockersDefaultMounts) {
    EXPECT_EQ(lines(), (std::vector<std::string>{
                           "proc proc /proc rw,nosuid,noexec,nodev",
                           "tmpfs tmpfs /dev rw,nosuid,strictatime,mode=755,size=65536k",
                           "devpts devpts /dev/pts "
                           "rw,nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
                           "sysfs sysfs /sys ro,nosuid,noexec,nodev",
                           "cgroup cgroup /sys/fs/cgroup ro,nosuid,noexec,nodev",
                           "mqueue mqueue /dev/mqueue rw,nosuid,noexec,nodev",
                           "tmpfs shm /dev/shm rw,nosuid,noexec,nodev,mode=1777,size=67108864",
                       }));
}

TEST_F(Plan, ShowsV1HierarchiesByBindOrByNamespace) {
    auto planned = plan();
    const Mount& shared = mount_at(planned, "/sys/fs/cgroup");
    ASSERT_EQ(shared.hierarchies.size(), 2u);
    EXPECT_EQ(shared.hierarchies[0].name, "cpu,cpuacct");
    EXPECT_EQ(shared.hierarchies[0].links, (std::vector<std::string>{"cpu", "cpuacct"}));
    EXPECT_TRUE(shared.hierarchies[1].links.empty());
    ASSERT_EQ(planned.sources.size(), 2u);
    EXPECT_EQ(planned.sources[1].path, "/sys/fs/cgroup/systemd/d/a");
    EXPECT_EQ(planned.sources[1].hierarchy, 1u);

    host.cgroupns_mode = "private";
    planned = plan();
    EXPECT_TRUE(planned.sources.empty());
    const Mount& own = mount_at(planned, "/sys/fs/cgroup");
    EXPECT_EQ(own.hierarchies[0].data, "cpu,cpuacct");
    EXPECT_EQ(own.hierarchies[1].data, "none,name=systemd");
    EXPECT_EQ(planned.plan.namespaces.cgroup.mode, NamespaceMode::create);
}

TEST_F(Plan, UsesOneMountOnV2) {
    cgroup_version = CgroupVersion::v2;
    const auto planned = plan();
    EXPECT_EQ(line(mount_at(planned, "/sys/fs/cgroup")),
              "cgroup2 cgroup /sys/fs/cgroup ro,nosuid,noexec,nodev");
    EXPECT_TRUE(planned.sources.empty());
}

TEST_F(Plan, PrivilegedLiftsReadOnlyAndHidesNothing) {
    host.privileged = true;
    const auto planned = plan();
    EXPECT_EQ(line(mount_at(planned, "/sys")), "sysfs sysfs /sys rw,nosuid,noexec,nodev");
    EXPECT_FALSE(mount_at(planned, "/sys/fs/cgroup").read_only);
    EXPECT_TRUE(planned.plan.masked_paths.empty());
    EXPECT_TRUE(planned.plan.read_only_paths.empty());
}

TEST_F(Plan, HidesDockersPathsUnlessToldOtherwise) {
    const auto planned = plan();
    EXPECT_EQ(planned.plan.masked_paths.size(), 13u);
    EXPECT_EQ(planned.plan.masked_paths.back(), "/sys/devices/system/cpu/cpu0/thermal_throttle");
    EXPECT_EQ(planned.plan.read_only_paths, default_read_only_paths());
    host.masked_paths = model::Strings(std::vector<std::string>{});
    EXPECT_TRUE(plan().plan.masked_paths.empty());
}

TEST_F(Plan, SortsUserMountsByDepthAndCoversDefaults) {
    mounts = {{.destination = "/a/b/c", .source = "/s1"},
              {.destination = "/dev/shm/", .source = "/s2"},
              {.destination = "/a", .source = "/s3", .writable = false},
              {.destination = "/t", .tmpfs = true, .tmpfs_options = "size=1m,exec,rw"}};
    network_files = {{.destination = "/etc/hosts", .source = "/c/hosts"}};
    const auto all = lines();
    EXPECT_EQ((std::vector<std::string>(all.begin() + 6, all.end())),
              (std::vector<std::string>{
                  "bind /s3 /a rro",
                  "tmpfs tmpfs /t rw,nosuid,nodev,size=1m",
                  "bind /s2 /dev/shm rw",
                  "bind /c/hosts /etc/hosts rw",
                  "bind /s1 /a/b/c rw",
              }));
}

TEST_F(Plan, UserDevCoversEverythingBelowIt) {
    mounts = {{.destination = "/dev", .source = "/dev"}};
    const auto all = lines();
    EXPECT_TRUE(std::ranges::none_of(
        all, [](const std::string& text) { return text.find(" /dev/") != std::string::npos; }));
}

// CVE-2019-19921, CVE-2023-27561. Source: runc libcontainer/rootfs_linux.go, checkProcMount.
TEST_F(Plan, RefusesWhatWouldCoverProc) {
    const std::string prefix =
        "failed to create task for container: failed to create shim task: OCI runtime create "
        "failed: runc create failed: unable to start container process: error during container "
        "init: error mounting ";
    mounts = {{.destination = "/proc/./sys//", .source = "/a"}};
    EXPECT_EQ(error(), prefix + R"("/a" to rootfs at "/proc/sys": create mountpoint for /proc/sys )"
                                R"(mount: check proc-safety of /proc/sys mount: )"
                                R"("/data-root/overlay2/x/merged/proc/sys" cannot be mounted )"
                                R"(because it is inside /proc: unknown)");
    EXPECT_EQ(kind, base::ErrorKind::internal);
    mounts = {{.destination = "/proc", .source = {}, .tmpfs = true}};
    EXPECT_EQ(error(), prefix +
                           R"("tmpfs" to rootfs at "/proc": create mountpoint for /proc mount: )"
                           R"(check proc-safety of /proc mount: )"
                           R"("/data-root/overlay2/x/merged/proc" cannot be mounted because it )"
                           R"(is not of type proc: unknown)");
    for (const char* inside : {"/proc/self", "/proc/net/dev", "/proc/cpuinfo/x", "/x/../proc/1"}) {
        mounts = {{.destination = inside, .source = "/a"}};
        EXPECT_NE(error().find("because it is inside /proc"), std::string::npos) << inside;
    }
    // What a bind on /proc is, the init sees; the rest is not in /proc, or is what lxcfs replaces.
    for (const char* allowed : {"/proc", "/processes", "/x/proc/sys", "/proc/cpuinfo",
                                "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled"}) {
        mounts = {{.destination = allowed, .source = "/a"}};
        EXPECT_EQ(error(), "no error") << allowed;
    }
}

TEST_F(Plan, RefusesTwoMountsOnOnePlace) {
    mounts = {{.destination = "/data", .source = "/a"},
              {.destination = "/data/./", .source = "/b"}};
    EXPECT_EQ(error(), "Duplicate mount point: /data");
    EXPECT_EQ(kind, base::ErrorKind::invalid_argument);
}

TEST_F(Plan, ReadOnlyBindsFollowTheirOptions) {
    mounts = {
        {.destination = "/a", .source = "/s", .writable = false, .read_only_non_recursive = true}};
    EXPECT_EQ(line(mount_at(plan(), "/a")), "bind /s /a ro");
    mounts[0].read_only_force_recursive = true;
    EXPECT_EQ(error(), "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive");
    mounts[0].read_only_non_recursive = false;
    facts.recursive_read_only = false;
    EXPECT_EQ(error(),
              "rro is not supported: function not implemented (kernel is older than 5.12?)");
}

TEST_F(Plan, PropagationReachesRootAndSources) {
    mounts = {
        {.destination = "/a", .source = "/s", .propagation = "rshared", .non_recursive = true}};
    const auto planned = plan();
    EXPECT_EQ(planned.plan.rootfs_propagation, Propagation::make_shared);
    EXPECT_EQ(mount_at(planned, "/a").propagation, Propagation::make_shared);
    EXPECT_EQ(planned.sources.back().required_propagation, "shared");
    EXPECT_FALSE(planned.sources.back().recursive);
}

TEST_F(Plan, IpcModesDecideShm) {
    host.ipc_mode = "none";
    EXPECT_EQ(lines().size(), 6u);
    host.ipc_mode = "shareable";
    shm_path = "/c/mounts/shm";
    EXPECT_EQ(line(plan().plan.mounts.back()), "bind /c/mounts/shm /dev/shm rw");
    host.ipc_mode = "host";
    EXPECT_EQ(plan().plan.namespaces.ipc.mode, NamespaceMode::host);
}

TEST_F(Plan, NamespacesFollowModes) {
    host.pid_mode = "container:x";
    host.network_mode = "host";
    host.uts_mode = "host";
    host.init = true;
    const auto planned = plan();
    EXPECT_EQ(planned.plan.namespaces.pid.mode, NamespaceMode::join);
    EXPECT_EQ(planned.plan.namespaces.net.mode, NamespaceMode::host);
    EXPECT_EQ(planned.plan.namespaces.uts.mode, NamespaceMode::host);
    EXPECT_EQ(planned.plan.hostname, "");
    EXPECT_FALSE(planned.plan.use_init) << "another container's init is number 1";
    EXPECT_TRUE(planned.plan.sysctls.empty());
}

TEST_F(Plan, SysctlsHaveDefaultsAndLimits) {
    host.sysctls["net.ipv4.ip_unprivileged_port_start"] = "1024";
    host.sysctls["net/ipv4/conf/eth0.1/forwarding"] = "1";
    EXPECT_EQ(plan().plan.sysctls, (std::vector<std::pair<std::string, std::string>>{
                                       {"net.ipv4.conf.eth0/1.forwarding", "1"},
                                       {"net.ipv4.ip_unprivileged_port_start", "1024"},
                                       {"net.ipv4.ping_group_range", "0 2147483647"}}));
    host.sysctls["kernel.panic"] = "1";
    const std::string refused =
        "failed to create task for container: failed to create shim task: OCI runtime create "
        "failed: runc create failed: sysctl ";
    EXPECT_EQ(error(), refused + "\"kernel.panic\" is not in a separate kernel namespace: unknown");
    host.sysctls.clear();
    host.sysctls["kernel.msgmax"] = "1";
    host.ipc_mode = "host";
    EXPECT_EQ(error(),
              refused + "\"kernel.msgmax\" is not allowed in the hosts ipc namespace: unknown");
    host.sysctls.clear();
    host.sysctls["net.core.somaxconn"] = "1";
    host.network_mode = "host";
    EXPECT_EQ(error(),
              refused + "\"net.core.somaxconn\" not allowed in host network namespace: unknown");
}

TEST_F(Plan, EnvironmentKeepsDockersOrder) {
    config.tty = true;
    config.env =
        model::Strings(std::vector<std::string>{"A=1", "PATH=/bin", "TERM", "B=2", "UNKNOWN"});
    EXPECT_EQ(plan().plan.process.env,
              (std::vector<std::string>{"PATH=/bin", "HOSTNAME=h1", "A=1", "B=2"}));
    config.env.clear();
    EXPECT_EQ(plan().plan.process.env,
              (std::vector<std::string>{
                  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                  "HOSTNAME=h1", "TERM=xterm"}));
}

TEST_F(Plan, UserDevicesReplaceDefaultOnes) {
    devices = {{.path = "/dev/null", .major = 9, .minor = 9}, {.path = "/dev/fuse"}};
    const auto planned = plan();
    EXPECT_EQ(planned.plan.devices.size(), 7u);
    EXPECT_EQ(std::ranges::count(planned.plan.devices, "/dev/null", &DeviceNode::path), 1);
    EXPECT_EQ(planned.plan.devices[5].major, 9u);
}

TEST_F(Plan, ProcessHasRightsAndLimits) {
    host.resources.ulimits.push_back({.name = "nofile", .hard = 2048, .soft = 1024});
    host.oom_score_adj = 100;
    security.no_new_privileges = true;
    const auto planned = plan();
    const ProcessPlan& process = planned.plan.process;
    EXPECT_EQ(process.cwd, "/");
    EXPECT_EQ(process.capabilities.bounding, default_capabilities());
    EXPECT_EQ(process.capabilities.ambient, 0u);
    EXPECT_TRUE(process.no_new_privileges);
    EXPECT_EQ(process.oom_score_adj, 100);
    ASSERT_EQ(process.limits.size(), 1u);
    EXPECT_EQ(process.limits[0].type, static_cast<std::uint32_t>(RLIMIT_NOFILE));
    EXPECT_EQ(process.limits[0].soft, 1024u);
    host.resources.ulimits[0].name = "bogus";
    EXPECT_EQ(error(), "wrong rlimit value: RLIMIT_BOGUS");
}

TEST(TmpfsOptions, LastOfAKindWins) {
    EXPECT_EQ(merge_tmpfs_options({"noexec", "nosuid", "size=1m", "exec", "size=2m", "defaults"}),
              (std::vector<std::string>{"nosuid", "exec", "size=2m"}));
    try {
        (void)merge_tmpfs_options({"bogus"});
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "invalid tmpfs option [\"bogus\"]");
    }
    try {
        (void)merge_tmpfs_options({"colour=red"});
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "invalid tmpfs option [\"colour\" \"red\"]");
    }
}

TEST(SecurityOptions, ReadsDockersForms) {
    const auto parsed =
        parse_security_options({"no-new-privileges:true", "seccomp=unconfined", "apparmor=x",
                                "label:disable", "writable-cgroups=false"},
                               false);
    EXPECT_TRUE(parsed.no_new_privileges);
    EXPECT_EQ(parsed.seccomp, "unconfined");
    EXPECT_EQ(parsed.apparmor, "x");
    EXPECT_EQ(parsed.labels, (std::vector<std::string>{"disable"}));
    EXPECT_EQ(parsed.writable_cgroups, false);
    for (const auto& [option, text] :
         {std::pair{"bogus", "invalid --security-opt 1: \"bogus\""},
          std::pair{"a=b", "invalid --security-opt 2: \"a=b\""},
          std::pair{"no-new-privileges=x", "invalid --security-opt 2: \"no-new-privileges=x\""}}) {
        try {
            (void)parse_security_options({option}, false);
            FAIL() << option;
        } catch (const base::Error& error) {
            EXPECT_STREQ(error.what(), text);
        }
    }
}

TEST(DeviceRules, HaveDockersForm) {
    const DeviceRule rule = parse_device_rule("c *:1 rm");
    EXPECT_EQ(rule.type, 'c');
    EXPECT_EQ(rule.major, -1);
    EXPECT_EQ(rule.minor, 1);
    EXPECT_EQ(rule.access, "rm");
    for (const char* bad : {"", "c 1:1  rwm", " c 1:1 rwm", "z 1:1 rwm", "c 11 rwm", "c a:a rwm",
                            "c -1:1 rwm", "c 1:1", "c 1:1 x", "c 1:1 rwmrwm"}) {
        try {
            (void)parse_device_rule(bad);
            FAIL() << bad;
        } catch (const base::Error& error) {
            EXPECT_EQ(error.what(), fmt::format("invalid device cgroup rule format: '{}'", bad));
        }
    }
    try {
        (void)parse_device_rule("c 18446744073709551616:1 rwm");
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(),
                     "invalid major value in device cgroup rule format: 'c "
                     "18446744073709551616:1 rwm'");
    }
}

TEST(DeviceRules, StartFromDockersList) {
    const auto plain = gather_devices({}, false);
    EXPECT_TRUE(plain.nodes.empty());
    EXPECT_EQ(plain.rules.size(), 19u);
    EXPECT_FALSE(plain.rules.front().allow);

    model::Resources resources;
    resources.devices.push_back({"/dev/null", "/dev/nothing", "rw"});
    const auto mapped = gather_devices(resources, false);
    ASSERT_EQ(mapped.nodes.size(), 1u);
    EXPECT_EQ(mapped.nodes[0].path, "/dev/nothing");
    EXPECT_EQ(mapped.nodes[0].minor, 3u);
    EXPECT_EQ(mapped.rules[8].access, "rw");

    resources.devices[0].path_on_host = "/dev/no-such-device";
    try {
        (void)gather_devices(resources, false);
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(),
                     "error gathering device information while adding custom device "
                     "\"/dev/no-such-device\": no such file or directory");
    }
}

TEST(DeviceRules, PrivilegedSeesTheHostsDevices) {
    const auto all = gather_devices({}, true);
    const auto has = [&](const char* path) {
        return std::ranges::find(all.nodes, path, &DeviceNode::path) != all.nodes.end();
    };
    EXPECT_TRUE(has("/dev/null"));
    EXPECT_FALSE(has("/dev/console"));
    EXPECT_FALSE(has("/dev/pts/ptmx"));
}

TEST(CgroupLimitsOf, TranslateResources) {
    model::Resources resources;
    resources.nano_cpus = 1'500'000'000;
    resources.memory_swap = -1;
    resources.pids_limit = 5;
    resources.blkio_device_read_bps.push_back({"/dev/null", 1024});
    CgroupLimits limits = cgroup_limits(resources, LimitsFor::create);
    EXPECT_EQ(limits.cpu_period, 100000u);
    EXPECT_EQ(limits.cpu_quota, 150000);
    EXPECT_EQ(limits.memory_swap, 0);
    EXPECT_EQ(limits.read_bps[0].minor, 3u);
    EXPECT_EQ(cgroup_limits(resources, LimitsFor::update).memory_swap, -1);
    resources.cpu_shares = -1;
    try {
        (void)cgroup_limits(resources, LimitsFor::create);
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "invalid CPU shares (-1): value must be a positive integer");
    }
}

TEST(ExecPlans, TakeOverWhatTheExecLeavesOpen) {
    model::ContainerConfig config{.hostname = "h", .user = "u", .working_dir = "/w"};
    model::HostConfig host;
    HostFacts facts;
    model::ExecCreate exec;
    exec.cmd = model::Strings(std::vector<std::string>{"id"});
    exec.env = model::Strings(std::vector<std::string>{"HOSTNAME=x"});
    exec.privileged = true;
    const ExecPlan plan = plan_exec({.config = &config,
                                     .host = &host,
                                     .exec = &exec,
                                     .facts = &facts,
                                     .exec_id = "e",
                                     .capabilities = 1});
    EXPECT_EQ(plan.process.user, "u");
    EXPECT_EQ(plan.process.cwd, "/w");
    EXPECT_EQ(plan.process.env.back(), "HOSTNAME=x");
    EXPECT_EQ(plan.process.capabilities.bounding, capability_scope().available);
}

}  // namespace
}  // namespace dockerd::runtime

#include "container_fixture.hpp"

#include <sys/resource.h>
#include <sys/time.h>

#include "support/own_mounts.hpp"

// Mechanisms of known flaws of container runtimes, one test each; the numbers are CVEs.

namespace dockerd::runtime::testing {
namespace {

class Hardening : public Containers {
protected:
    void SetUp() override {
        Containers::SetUp();
        if (IsSkipped()) return;
        canary = dir / "canary";
        fs::create_directories(canary);
    }
    void TearDown() override {
        if (!canary.empty()) {
            EXPECT_TRUE(fs::is_empty(canary)) << "the host was written to";
        }
        Containers::TearDown();
    }
    void replace_by_link(const fs::path& path, const fs::path& target) const {
        fs::remove_all(root / path);
        fs::create_symlink(target, root / path);
    }
    fs::path canary;
};

// 2019-19921, 2023-27561
TEST_F(Hardening, LinkedProcIsRefused) {
    replace_by_link("proc", "/tmp");
    EXPECT_EQ(failure(plan({"true"})),
              start_prefix +
                  "error mounting \"proc\" to rootfs at \"/proc\": filesystem \"proc\" "
                  "must be mounted on ordinary directory: unknown");
}

TEST_F(Hardening, LinkedSysIsRefused) {
    replace_by_link("sys", canary);
    EXPECT_EQ(failure(plan({"true"})),
              start_prefix +
                  "error mounting \"sysfs\" to rootfs at \"/sys\": filesystem \"sysfs\" "
                  "must be mounted on ordinary directory: unknown");
}

// Whatever leads there: the place that was opened decides.
TEST_F(Hardening, LinksToProcAreNoWayToCoverIt) {
    replace_by_link("door", "/proc");
    for (const auto& [destination, words] :
         {std::pair{"/door", "is not of type proc"}, {"/door/sys/kernel", "is inside /proc"}}) {
        for (const bool tmpfs : {false, true}) {
            ContainerPlan covering = plan({"true"});
            Mount mount;
            mount.kind = tmpfs ? MountKind::tmpfs : MountKind::bind;
            if (!tmpfs) {
                mount.tree.reset(
                    ::open_tree(AT_FDCWD, canary.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
            }
            mount.source = "source";
            mount.destination = destination;
            covering.mounts.push_back(std::move(mount));
            const std::string text = failure(std::move(covering));
            EXPECT_NE(text.find(words), std::string::npos) << destination << ": " << text;
        }
    }
}

// 2024-45310, 2021-30465
TEST_F(Hardening, LinkedDevStaysInside) {
    for (const std::string& target : {canary.string(), "../../../.." + canary.string()}) {
        replace_by_link("dev", target);
        EXPECT_EQ(shell("echo x > /dev/null; ls -d /dev/pts").out, "/dev/pts\n") << target;
    }
}

TEST_F(Hardening, LinkedBindDestinationStaysInside) {
    replace_by_link("etc/link", canary);
    ContainerPlan with_bind = plan({"cat", "/etc/link/sub/file"});
    const fs::path source = dir / "source";
    std::ofstream(source) << "bound";
    Mount mount;
    mount.tree.reset(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    mount.is_file = true;
    mount.source = source.string();
    mount.destination = "/etc/link/sub/file";
    with_bind.mounts.push_back(std::move(mount));
    EXPECT_EQ(run(std::move(with_bind)).out, "bound");
    EXPECT_TRUE(fs::exists(root / canary.relative_path() / "sub/file"));
}

TEST_F(Hardening, BindOfAFileOnADirectoryHasDockersHint) {
    ContainerPlan with_bind = plan({"true"});
    Mount mount;
    mount.tree.reset(
        ::open_tree(AT_FDCWD, (root / "etc/passwd").c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    mount.is_file = true;
    mount.source = "/host/file";
    mount.destination = "/tmp";
    with_bind.mounts.push_back(std::move(mount));
    int code = 0;
    const std::string text = failure(std::move(with_bind), &code);
    EXPECT_EQ(code, 127);
    EXPECT_NE(text.find("error mounting \"/host/file\" to rootfs at \"/tmp\": "),
              std::string::npos);
    EXPECT_NE(text.find(", flags=0x5000: not a directory: unknown: Are you trying to mount a "
                        "directory onto a file (or vice-versa)? Check if the specified host path "
                        "exists and is the expected type"),
              std::string::npos)
        << text;
}

// 2025-31133
TEST_F(Hardening, MasksDoNotUseTheImagesNullDevice) {
    ContainerPlan masked = plan({"sh", "-c", "stat -c %t:%T /proc/timer_list; cat /etc/secret"});
    write("etc/secret", "visible");
    masked.masked_paths.push_back("/etc/secret");
    masked.devices.clear();  // /dev/null is what the image says
    write("dev-null", "attack");
    const Result result = run(std::move(masked));
    EXPECT_EQ(result.out, "1:3\n");
}

TEST_F(Hardening, MaskedAndReadOnlyPathsAreSo) {
    const Result result = shell(
        "cat /proc/kcore | head -c 4 | wc -c; ls /sys/firmware | wc -l; echo 1 > "
        "/proc/sys/kernel/ostype"
        " 2>/dev/null || echo ro; touch /sys/x 2>/dev/null || echo ro");
    EXPECT_EQ(result.out, "0\n0\nro\nro\n");
}

// 2024-21626
TEST_F(Hardening, WorkingDirectoryThroughADescriptorIsRefused) {
    for (int fd = 3; fd < 24; ++fd) {
        ContainerPlan escape = plan({"pwd"});
        escape.process.cwd = "/proc/self/fd/" + std::to_string(fd);
        try {
            const std::string id = escape.id;
            auto monitor = daemon().start(std::move(escape), {});
            (void)events.exit_of(id);
            monitor->release();
            ADD_FAILURE() << "started in descriptor " << fd;
        } catch (const StartFailure& error) {
            EXPECT_NE(std::string(error.what()).find("chdir to cwd"), std::string::npos)
                << error.what();
        }
    }
}

TEST_F(Hardening, ExecInADescriptorsDirectoryIsRefused) {
    ContainerPlan sleeper = plan({"sleep", "1000"});
    const std::string id = sleeper.id;
    auto monitor = daemon().start(std::move(sleeper), {});
    for (int fd = 3; fd < 24; ++fd) {
        ExecPlan exec;
        exec.id = base::random_id();
        exec.process = plan({"pwd"}).process;
        exec.process.cwd = "/proc/self/fd/" + std::to_string(fd);
        EXPECT_THROW((void)monitor->exec_start(exec, std::nullopt), StartFailure) << fd;
    }
    monitor->signal(SIGKILL);
    (void)events.exit_of(id);
    monitor->release();
}

// moby#38972 and its like
TEST_F(Hardening, HugeOrOddPasswdDoesNoHarm) {
    ASSERT_EQ(::truncate((root / "etc/passwd").c_str(), 10LL << 30), 0);
    ContainerPlan huge = plan({"true"});
    huge.process.user = "user";
    EXPECT_EQ(run(std::move(huge)).code, 0);
    ContainerPlan absent = plan({"true"});
    absent.process.user = "absent";
    EXPECT_EQ(failure(std::move(absent)),
              "unable to find user absent: no matching entries in passwd file");

    fs::remove(root / "etc/passwd");
    ASSERT_EQ(::mkfifo((root / "etc/passwd").c_str(), 0666), 0);
    EXPECT_EQ(command({"true"}).code, 0);
    replace_by_link("etc/passwd", "/dev/zero");
    EXPECT_EQ(command({"true"}).code, 0);
    replace_by_link("etc/passwd", "/proc/self/fd/0");
    EXPECT_EQ(command({"true"}).code, 0);
}

// 2024-40635
TEST_F(Hardening, UserNumbersDoNotWrap) {
    for (const char* user : {"4294967296", "2147483648", "-1", "0:4294967296"}) {
        ContainerPlan wrapped = plan({"id"});
        wrapped.process.user = user;
        EXPECT_EQ(failure(std::move(wrapped)), "uids and gids must be in range 0-2147483647");
    }
}

// 2022-24769
TEST_F(Hardening, InheritableSetIsEmptyWithAllCapabilities) {
    ContainerPlan privileged = plan({"grep", "CapInh", "/proc/self/status"});
    const std::uint64_t all = capability_scope().available;
    privileged.process.capabilities = {all, all, all, all};
    EXPECT_EQ(run(std::move(privileged)).out, "CapInh:\t0000000000000000\n");
}

TEST_F(Hardening, OnlyThreeDescriptorsAreOpen) {
    for (const bool tty : {false, true}) {
        ContainerPlan lister = plan({"ls", "-1", "/proc/self/fd"});
        lister.process.tty = tty;
        EXPECT_EQ(run(std::move(lister)).out,
                  tty ? "0\r\n1\r\n2\r\n3\r\n" : "0\n1\n2\n3\n");  // 3 is ls's own
    }
}

// 2020-15257
TEST_F(Hardening, NoSocketOfOursIsAbstract) {
    ContainerPlan host = plan({"cat", "/proc/net/unix"});
    host.namespaces.net.mode = NamespaceMode::host;
    EXPECT_EQ(run(std::move(host)).out.find("@dockerd"), std::string::npos);
}

// 2019-5736
TEST_F(Hardening, ProgramCannotBeWrittenTo) {
    replace_by_link("bin/self", "/proc/self/exe");
    ContainerPlan itself = plan({"/bin/self"});
    const std::string id = itself.id;
    try {
        auto monitor = daemon().start(std::move(itself), {});
        (void)events.exit_of(id);
        monitor->release();
    } catch (const StartFailure&) {
    }
    EXPECT_EQ(command({"true"}).code, 0);
    const std::string exe = "/proc/" + std::to_string(daemon().launcher_pid()) + "/exe";
    const base::Fd out{::open(exe.c_str(), O_WRONLY | O_CLOEXEC)};
    EXPECT_FALSE(out);
}

// 2025-52881
TEST_F(Hardening, SysctlsAreSetInTheContainerOnly) {
    const std::string before = read_file("/proc/sys/net/ipv4/ip_default_ttl");
    ContainerPlan with_sysctl = plan({"cat", "/proc/sys/net/ipv4/ip_default_ttl"});
    with_sysctl.sysctls = {{"net.ipv4.ip_default_ttl", "33"}};
    EXPECT_EQ(run(std::move(with_sysctl)).out, "33\n");
    EXPECT_EQ(read_file("/proc/sys/net/ipv4/ip_default_ttl"), before);
}

// 2016-9962
TEST_F(Hardening, ExecIsNeverVisibleWithHostFiles) {
    ContainerPlan watcher =
        plan({"sh", "-c",
              "while [ ! -e /stop ]; do for p in /proc/[0-9]*; do "
              "case $p in /proc/1|/proc/$$) continue;; esac; "
              "readlink $p/root 2>/dev/null | grep -v '^/$'; ls -l $p/fd 2>/dev/null | grep -E "
              "'cgroup|json.log|dockerd'; done; done; echo end"});
    watcher.log.kind = LogKind::none;
    const std::uint64_t caps = default_capabilities() & capability_scope().available;
    watcher.process.capabilities = {caps, caps, caps, 0};
    const std::string id = watcher.id;
    Peer peer;
    std::vector<PendingAttach> clients;
    clients.push_back({.options = {.multiplexed = false}, .client = peer.open(), .input = {}});
    auto monitor = daemon().start(std::move(watcher), std::move(clients));
    for (int i = 0; i < 100; ++i) {
        ExecPlan exec;
        exec.id = base::random_id();
        exec.process = plan({"true"}).process;
        (void)monitor->exec_start(exec, std::nullopt);
        EXPECT_EQ(events.exec_exit_of(exec.id), 0);
    }
    write("stop", "");
    EXPECT_EQ(peer.read_all(), "end\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 0);
    monitor->release();
}

TEST_F(Hardening, ReadOnlyRootFileSystem) {
    ContainerPlan fixed =
        plan({"sh", "-c", "touch /x 2>/dev/null || echo ro; touch /dev/shm/x && echo rw"});
    fixed.read_only_rootfs = true;
    EXPECT_EQ(run(std::move(fixed)).out, "ro\nrw\n");
}

TEST_F(Hardening, UserNamespaceMapsRoot) {
    if (test_support::below_chroot()) GTEST_SKIP() << "no user namespaces below a chroot: the kernel's rule";
    ContainerPlan mapped = plan({"sh", "-c", "id -u; cat /proc/self/uid_map; stat -c %u /proc/1"});
    mapped.namespaces.user.mode = NamespaceMode::create;
    mapped.uid_mappings = {{0, 100000, 65536}};
    mapped.gid_mappings = {{0, 100000, 65536}};
    const Result result = run(std::move(mapped));
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out.substr(0, 2), "0\n");
    EXPECT_NE(result.out.find("100000"), std::string::npos);
}

}  // namespace
}  // namespace dockerd::runtime::testing

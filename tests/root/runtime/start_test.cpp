#include "container_fixture.hpp"

#include <sys/syscall.h>

#include <dockerd/base/error.hpp>
#include <dockerd/runtime/cgroup.hpp>

namespace dockerd::runtime::testing {
namespace {

using Start = Containers;

TEST_F(Start, RunsTrueAndReportsZero) { EXPECT_EQ(command({"true"}).code, 0); }

TEST_F(Start, ReportsTheExitCode) { EXPECT_EQ(shell("exit 42").code, 42); }

TEST_F(Start, ReportsASignalAs128AndMore) {
    ContainerPlan sleeper = plan({"sleep", "1000"});
    const std::string id = sleeper.id;
    auto monitor = daemon().start(std::move(sleeper), {});
    EXPECT_TRUE(monitor->signal(SIGKILL));
    const ExitInfo exit = events.exit_of(id);
    EXPECT_EQ(exit.exit_code, 137);
    EXPECT_EQ(exit.signal, SIGKILL);
    EXPECT_FALSE(monitor->signal(0));
    monitor->release();
}

TEST_F(Start, MissingCommandIsCode127) {
    int code = 0;
    EXPECT_EQ(failure(plan({"x"}), &code),
              start_prefix + "exec: \"x\": executable file not found in $PATH: unknown");
    EXPECT_EQ(code, 127);
    EXPECT_EQ(failure(plan({"/x"}), &code),
              start_prefix + "exec: \"/x\": stat /x: no such file or directory: unknown");
    EXPECT_EQ(code, 127);
}

TEST_F(Start, DirectoryAndPlainFileAreCode126) {
    int code = 0;
    EXPECT_EQ(failure(plan({"/etc"}), &code),
              start_prefix + "exec: \"/etc\": is a directory: unknown: permission denied");
    EXPECT_EQ(code, 126);
    EXPECT_EQ(failure(plan({"/etc/passwd"}), &code),
              start_prefix + "exec: \"/etc/passwd\": permission denied: unknown");
    EXPECT_EQ(code, 126);
}

TEST_F(Start, FailureLeavesNoState) {
    ContainerPlan bad = plan({"x"});
    const std::string state = bad.state_directory;
    (void)failure(std::move(bad));
    EXPECT_FALSE(fs::exists(state));
}

/// A cgroup that is made around the process, as systemd makes a scope.
class InOwnCgroup : public Containers {
protected:
    void TearDown() override {
        Containers::TearDown();
        if (!host) return;
        EXPECT_TRUE(host->attach("/", parent.substr(1)).remove());
    }
    std::vector<base::Fd> make(pid_t pid) {
        host.emplace(CgroupHost::open(CgroupDriver::cgroupfs));
        cgroup = host->create(parent, "c", {});
        auto procs = cgroup.open_procs();
        for (const base::Fd& file : procs) {
            EXPECT_GT(::dprintf(file.get(), "%d", pid), 0);
        }
        return procs;
    }
    const std::string parent = "/dockerd-test-made-" + std::to_string(::getpid());
    std::optional<CgroupHost> host;
    Cgroup cgroup;
};

TEST_F(InOwnCgroup, IsThereBeforeTheProgramAndForWhatIsExecutedLater) {
    Peer peer;
    std::vector<PendingAttach> clients;
    clients.push_back(full_client(peer, /*tty=*/false));
    pid_t made = 0;
    const auto monitor = daemon().start(interactive(/*tty=*/false), std::move(clients), [&](pid_t pid) {
        made = pid;
        return make(pid);
    });
    EXPECT_EQ(monitor->pid(), made);
    EXPECT_EQ(cgroup.pids(), std::vector{made});
    ExecPlan exec;
    exec.id = "e";
    exec.process = plan({"sleep", "100"}).process;
    const pid_t executed = monitor->exec_start(exec, {});
    const std::vector<pid_t> both{std::min(made, executed), std::max(made, executed)};
    EXPECT_EQ(cgroup.pids(), both);
    monitor->signal(SIGKILL);
    EXPECT_EQ(events.exit_of(monitor->id()).exit_code, 137);
    monitor->release();
}

TEST_F(InOwnCgroup, ThatCannotBeMadeEndsTheStart) {
    ContainerPlan refused = plan({"sleep", "100"});
    const std::string state = refused.state_directory;
    pid_t made = 0;
    try {
        (void)daemon().start(std::move(refused), {}, [&](pid_t pid) -> std::vector<base::Fd> {
            made = pid;
            base::fail(base::ErrorKind::internal, "no scope");
        });
        ADD_FAILURE() << "started";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "no scope");
    }
    // Waited for by its monitor before the daemon heard of it.
    EXPECT_EQ(::kill(made, 0), -1);
    EXPECT_EQ(errno, ESRCH);
    EXPECT_FALSE(fs::exists(state));
}

TEST_F(InOwnCgroup, ThatCannotBeMadeForAProcessThatFailedTellsWhyThatFailed) {
    ContainerPlan bad = plan({"true"});
    bad.mounts.push_back(system_mount(MountKind::tmpfs, "tmpfs", "/dev/shm", "size=wrong"));
    std::string text;
    try {
        (void)daemon().start(std::move(bad), {}, [&](pid_t pid) -> std::vector<base::Fd> {
            // As systemd sees it: the process has ended.
            base::Fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
            pollfd ended{pidfd.get(), POLLIN, 0};
            EXPECT_EQ(::poll(&ended, 1, 20'000), 1);
            base::fail(base::ErrorKind::internal, "no such process");
        });
    } catch (const base::Error& error) {
        text = error.what();
    }
    EXPECT_NE(text.find("/dev/shm"), std::string::npos) << text;
}

TEST_F(Start, BadFormatIsToldByTheContainerItself) {
    write("bin/noexec", "not a program");
    fs::permissions(root / "bin/noexec", fs::perms(0755));
    const Result result = command({"noexec"});
    EXPECT_EQ(result.code, 255);
    EXPECT_EQ(result.err, "exec /bin/noexec: exec format error\n");
}

TEST_F(Start, UnknownUserIsDockersText) {
    ContainerPlan bad = plan({"true"});
    bad.process.user = "nobody-here";
    int code = 0;
    EXPECT_EQ(failure(std::move(bad), &code),
              "unable to find user nobody-here: no matching entries in passwd file");
    EXPECT_EQ(code, 128);
}

TEST_F(Start, UserHasItsGroupsAndHome) {
    ContainerPlan user = plan({"sh", "-c", "id -u; id -G; echo $HOME; grep Cap /proc/self/status"});
    user.process.user = "user";
    user.process.additional_groups = {"3000", "extra"};
    const Result result = run(std::move(user));
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out.substr(0, result.out.find("CapInh")),
              "1000\n1000 2000 3000\n/home/user\n");
    EXPECT_NE(result.out.find("CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                              "CapEff:\t0000000000000000"),
              std::string::npos);
}

TEST_F(Start, SeesItsOwnNamespacesAndNothingElse) {
    const Result result = shell(
        "hostname; echo $$; ls /proc/self/fd; cat /proc/self/mountinfo | wc -l;"
        "ls /sys/class/net; pwd");
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(result.out.substr(0, 14), "box\n1\n0\n1\n2\n3\n");  // 3 is ls's own
}

TEST_F(Start, NoSignalIsBlockedOrIgnored) {
    const Result result = command({"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"});
    EXPECT_EQ(result.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(Start, InitReapsAndForwardsSignals) {
    ContainerPlan below = plan({"sh", "-c",
                                "trap 'echo got; exit 6' TERM; sh -c 'sleep 0.01 &'; echo $$; "
                                "while :; do sleep 0.05; done"});
    below.use_init = true;
    const std::string id = below.id;
    Peer peer;
    std::vector<PendingAttach> clients;
    clients.push_back({.options = {.multiplexed = false}, .client = peer.open(), .input = {}});
    auto monitor = daemon().start(std::move(below), std::move(clients));
    EXPECT_EQ(peer.read_until("2\n"), "2\n");
    EXPECT_TRUE(monitor->signal(SIGTERM));
    EXPECT_EQ(peer.read_all(), "got\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 6);
    monitor->release();
}

TEST_F(Start, MegabyteOfOutputArrivesExactly) {
    const Result result = shell("yes 0123456789abcdef | head -c 1048576");
    ASSERT_EQ(result.out.size(), 1048576U);
    for (std::size_t i = 0; i < result.out.size(); i += 17) {
        ASSERT_EQ(result.out.substr(i, 16),
                  std::string("0123456789abcdef").substr(0, result.out.size() - i));
    }
}

TEST_F(Start, WritesTheJsonLog) {
    ContainerPlan printer = plan({"sh", "-c", "echo 'a<b>'; echo err >&2; printf end"});
    const std::string path = printer.log.path;
    EXPECT_EQ(run(std::move(printer)).code, 0);
    const std::string log = read_file(path);
    EXPECT_NE(log.find("{\"log\":\"a\\u003cb\\u003e\\n\",\"stream\":\"stdout\",\"time\":\"20"),
              std::string::npos)
        << log;
    EXPECT_NE(log.find("{\"log\":\"err\\n\",\"stream\":\"stderr\",\"time\":\""), std::string::npos);
    EXPECT_NE(log.find("{\"log\":\"end\",\"stream\":\"stdout\",\"time\":\""), std::string::npos);
}

TEST_F(Start, MonitorEndsAndCleansUpAfterRelease) {
    ContainerPlan simple = plan({"true"});
    const std::string id = simple.id;
    const fs::path state = simple.state_directory;
    auto monitor = daemon().start(std::move(simple), {});
    EXPECT_EQ(events.exit_of(id).exit_code, 0);
    EXPECT_EQ(read_file(state / "exit").substr(0, 6), "1 0 0 ");
    monitor->release();
    for (int i = 0; i < 200 && fs::exists(state); ++i) ::usleep(10'000);
    EXPECT_FALSE(fs::exists(state));
}

}  // namespace
}  // namespace dockerd::runtime::testing

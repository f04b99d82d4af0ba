#include "container_fixture.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <sstream>

// Execs that write to a pipe of the daemon's own and that nobody waits for, as health checks are.

namespace dockerd::runtime::testing {
namespace {

/// One that was begun.
struct Begun {
    std::string id;
    base::Fd output;
    std::future<ExecStarted> started;  ///< not before it has run for a moment

    ExecStarted how() {
        if (started.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
            ADD_FAILURE() << "nobody told how the exec started";
            return {};
        }
        return started.get();
    }
    std::string text() const {
        std::string out;
        char buffer[4096];
        for (ssize_t n = 1; n > 0;) {
            n = ::read(output.get(), buffer, sizeof buffer);
            if (n > 0) out.append(buffer, static_cast<std::size_t>(n));
        }
        return out;
    }
};

pid_t parent_of(pid_t pid) {
    const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    char state = 0;
    pid_t parent = 0;
    fields >> state >> parent;
    return parent;
}

std::string name_of(pid_t pid) { return read_file("/proc/" + std::to_string(pid) + "/comm"); }

base::Fd open_process(pid_t pid) {
    return base::Fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
}

bool ends(const base::Fd& process) {
    pollfd ended{process.get(), POLLIN, 0};
    return ::poll(&ended, 1, 20'000) == 1;
}

class ProbeTest : public RunningContainer {
protected:
    Begun begin(const ExecPlan& what) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
        Begun begun{what.id, base::Fd{ends[0]}, {}};
        auto promise = std::make_shared<std::promise<ExecStarted>>();
        begun.started = promise->get_future();
        base::Fd output{ends[1]};
        const auto done = [promise](const ExecStarted& how) { promise->set_value(how); };
        // Without an answer yet the monitor is asked, which may have to be waited for.
        if (!monitor->try_exec_begin(what, output, done)) {
            monitor->exec_begin(what, std::move(output), done);
        }
        return begun;
    }
    /// Begins others until there is a prober, and returns its process.
    pid_t await_prober() {
        for (int round = 0; round < 100; ++round) {
            const Begun begun = begin_sleeper();
            const pid_t parent = parent_of(last_pid);
            monitor->exec_kill(begun.id);
            EXPECT_EQ(events.exec_exit_of(begun.id), 128 + SIGKILL);
            if (name_of(parent) == "docker-prober\n") return parent;
        }
        ADD_FAILURE() << "there is no prober";
        return 0;
    }
    Begun begin_sleeper() {
        Begun begun = begin(exec_plan({"sleep", "1000"}));
        last_pid = begun.how().pid;
        EXPECT_GT(last_pid, 0);
        return begun;
    }

    pid_t last_pid = 0;
};

TEST_F(ProbeTest, RunsInsideAndReportsTheCode) {
    (void)await_prober();
    const Begun begun = begin(exec_plan({"sh", "-c", "hostname; echo err >&2; exit 5"}));
    EXPECT_EQ(events.exec_exit_of(begun.id), 5);
    EXPECT_EQ(begun.text(), "box\nerr\n");
}

TEST_F(ProbeTest, IsWhatAnExecIsByWhoeverItIsStarted) {
    const auto looks = [this] {
        ExecPlan plan = exec_plan({"sh", "-c",
                                   "ls /proc/self/fd; id; umask; pwd; ulimit -n; for n in "
                                   "/proc/self/ns/*; do readlink $n; done; cat /proc/self/oom_score_adj; grep -E "
                                   "'^(Sig(Blk|Ign)|Cap|NoNew|Seccomp|Groups|Uid|Gid)' /proc/self/status"});
        plan.process.user = "user";
        plan.process.cwd = "/tmp";
        plan.process.limits = {{RLIMIT_NOFILE, 77, 78}};
        plan.process.no_new_privileges = true;
        plan.process.has_oom_score_adj = true;
        return plan;
    };
    const Begun by_monitor = begin(looks());
    EXPECT_EQ(events.exec_exit_of(by_monitor.id), 0);
    (void)await_prober();
    const Begun by_prober = begin(looks());
    EXPECT_EQ(events.exec_exit_of(by_prober.id), 0);
    const std::string text = by_prober.text();
    EXPECT_EQ(text, by_monitor.text());
    EXPECT_EQ(text.substr(0, 8), "0\n1\n2\n3\n") << "the fourth is the folder itself";
    EXPECT_NE(text.find("\n/tmp\n77\n"), std::string::npos) << text;
    EXPECT_NE(text.find("SigBlk:\t0000000000000000\n"), std::string::npos)
        << text;
}

TEST_F(ProbeTest, MissingCommandHasDockersWords) {
    (void)await_prober();
    const ExecStarted how = begin(exec_plan({"missing"})).how();
    EXPECT_EQ(how.pid, 0);
    EXPECT_EQ(how.exit_code, 127);
    EXPECT_EQ(how.error,
              "OCI runtime exec failed: exec failed: unable to start container process: exec: "
              "\"missing\": executable file not found in $PATH: unknown");
    // The next one is none the worse for it.
    const Begun next = begin(exec_plan({"sh", "-c", "exit 3"}));
    EXPECT_EQ(events.exec_exit_of(next.id), 3);
}

TEST_F(ProbeTest, SeveralRunAtOnce) {
    (void)await_prober();
    std::vector<Begun> begun;
    for (int i = 0; i < 4; ++i) begun.push_back(begin_sleeper());
    const Begun quick = begin(exec_plan({"sh", "-c", "exit 9"}));
    EXPECT_EQ(events.exec_exit_of(quick.id), 9);
    for (const Begun& one : begun) monitor->exec_kill(one.id);
    for (const Begun& one : begun) EXPECT_EQ(events.exec_exit_of(one.id), 128 + SIGKILL);
}

TEST_F(ProbeTest, MoreThanAProberTakesAreRefused) {
    (void)await_prober();
    std::vector<Begun> begun;
    for (int i = 0; i < 32; ++i) begun.push_back(begin(exec_plan({"sleep", "1000"})));
    for (Begun& one : begun) EXPECT_GT(one.how().pid, 0);
    EXPECT_EQ(begin(exec_plan({"true"})).how().pid, 0);
    for (const Begun& one : begun) monitor->exec_kill(one.id);
    for (const Begun& one : begun) EXPECT_EQ(events.exec_exit_of(one.id), 128 + SIGKILL);
    const Begun next = begin(exec_plan({"sh", "-c", "exit 3"}));
    EXPECT_EQ(events.exec_exit_of(next.id), 3);
}

TEST_F(ProbeTest, LargeRequestsLeaveNothingBehind) {
    const pid_t prober = await_prober();
    const auto resident = [&] {
        std::size_t all = 0;
        std::size_t pages = 0;
        std::istringstream(read_file("/proc/" + std::to_string(prober) + "/statm")) >> all >> pages;
        return pages;
    };
    const std::size_t before = resident();
    for (int i = 0; i < 3; ++i) {
        const std::string word(100'000, 'x');  // beyond what it keeps, and beyond one packet
        const Begun begun = begin(exec_plan({"sh", "-c", "echo ${#1}; exit 4", "sh", word, word}));
        EXPECT_EQ(events.exec_exit_of(begun.id), 4);
        EXPECT_EQ(begun.text(), "100000\n");
    }
    const Begun next = begin(exec_plan({"true"}));
    EXPECT_EQ(events.exec_exit_of(next.id), 0);
#if defined(__SANITIZE_ADDRESS__)
    constexpr std::size_t kept = 4096;  // what was freed, for a while
#else
    constexpr std::size_t kept = 30;
#endif
    EXPECT_LE(resident(), before + kept);  // pages of 4 KiB; the requests had 150
}

TEST_F(ProbeTest, TheProberIsGoneWhenTheEndIsTold) {
    const base::Fd prober = open_process(await_prober());
    (void)begin_sleeper();
    monitor->signal(SIGKILL);
    (void)events.exit_of(id);
    pollfd ended{prober.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ended, 1, 0), 1);
    monitor->release();
    monitor.reset();
}

TEST_F(ProbeTest, NothingOfItOutlivesTheContainerThatSharesTheHostsProcesses) {
    ContainerPlan sharing = plan({"sleep", "1000"});
    sharing.namespaces.pid.mode = NamespaceMode::host;
    const auto first = std::exchange(monitor, daemon().start(std::move(sharing), {}));
    (void)await_prober();
    (void)begin_sleeper();
    const base::Fd check = open_process(last_pid);
    monitor->signal(SIGKILL);
    (void)events.exit_of(monitor->id());
    EXPECT_TRUE(ends(check));
    monitor->release();
    monitor = first;
}

TEST_F(ProbeTest, AnotherTakesThePlaceOfAProberThatWasKilled) {
    const pid_t prober = await_prober();
    const base::Fd process = open_process(prober);
    const Begun begun = begin_sleeper();
    const base::Fd check = open_process(last_pid);
    ASSERT_EQ(::kill(prober, SIGKILL), 0);
    EXPECT_TRUE(ends(process));
    EXPECT_EQ(events.exec_exit_of(begun.id), 128 + SIGKILL);
    EXPECT_NE(await_prober(), prober);
    // What it had started has nobody any more; the container's end ends it.
    (void)::syscall(SYS_pidfd_send_signal, check.get(), SIGKILL, nullptr, 0);
}

TEST_F(ProbeTest, AProberDiesWithItsMonitor) {
    const base::Fd prober = open_process(await_prober());
    const pid_t monitors = parent_of(monitor->pid());
    ASSERT_EQ(name_of(monitors), "docker-monitor\n");
    ASSERT_EQ(::kill(monitors, SIGKILL), 0);
    EXPECT_TRUE(ends(prober));
}

}  // namespace
}  // namespace dockerd::runtime::testing

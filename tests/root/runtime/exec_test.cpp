#include "container_fixture.hpp"

namespace dockerd::runtime::testing {
namespace {

class ExecTest : public RunningContainer {
protected:
    ExecPlan exec_plan(std::vector<std::string> args, bool tty = false) const {
        ExecPlan exec = RunningContainer::exec_plan(std::move(args));
        exec.process.tty = tty;
        exec.process.open_stdin = true;
        return exec;
    }
    Result exec(ExecPlan exec_plan_to_run) {
        Peer peer;
        const bool tty = exec_plan_to_run.process.tty;
        EXPECT_GT(monitor->exec_start(exec_plan_to_run, full_client(peer, tty)), 0);
        const std::string bytes = peer.read_all();
        Result result;
        result.code = events.exec_exit_of(exec_plan_to_run.id);
        result.out = tty ? bytes : frames(bytes, 1);
        result.err = tty ? "" : frames(bytes, 2);
        return result;
    }
    std::string exec_failure(ExecPlan exec_plan_to_run, int code) {
        try {
            (void)monitor->exec_start(exec_plan_to_run, std::nullopt);
            return "started";
        } catch (const StartFailure& error) {
            EXPECT_EQ(error.exit_code(), code);
            return error.what();
        }
    }
};

const std::string exec_prefix =
    "OCI runtime exec failed: exec failed: unable to start container process: ";

TEST_F(ExecTest, RunsInsideAndReportsTheCode) {
    const Result result = exec(exec_plan({"sh", "-c", "hostname; echo err >&2; exit 5"}));
    EXPECT_EQ(result.code, 5);
    EXPECT_EQ(result.out, "box\n");
    EXPECT_EQ(result.err, "err\n");
}

TEST_F(ExecTest, JoinsEveryNamespace) {
    const Result result =
        exec(exec_plan({"sh", "-c",
                        "for n in mnt pid net ipc uts cgroup; do [ $(readlink /proc/1/ns/$n) = "
                        "$(readlink /proc/self/ns/$n) ] && echo $n; done; ls /proc/self/fd"}));
    EXPECT_EQ(result.out, "mnt\npid\nnet\nipc\nuts\ncgroup\n0\n1\n2\n3\n");  // 3 is ls's own
}

TEST_F(ExecTest, MissingCommandHasDockersWords) {
    EXPECT_EQ(exec_failure(exec_plan({"x"}), 127),
              exec_prefix + "exec: \"x\": executable file not found in $PATH: unknown");
    EXPECT_EQ(exec_failure(exec_plan({"/x"}), 127),
              exec_prefix + "exec: \"/x\": stat /x: no such file or directory: unknown");
    EXPECT_EQ(exec_failure(exec_plan({"/etc/passwd"}), 126),
              exec_prefix + "exec: \"/etc/passwd\": permission denied: unknown");
}

TEST_F(ExecTest, TerminalWithSizeAndResize) {
    ExecPlan plan_with_tty = exec_plan({"sh", "-c", "tty; stty size; read x; stty size"}, true);
    plan_with_tty.process.console_size = {30, 90};
    Peer peer;
    (void)monitor->exec_start(plan_with_tty, full_client(peer, true));
    EXPECT_EQ(peer.read_until("30 90\r\n"), "/dev/pts/0\r\n30 90\r\n");
    monitor->exec_resize(plan_with_tty.id, {31, 91});
    peer.write("\n");
    EXPECT_EQ(peer.read_all(), "\r\n31 91\r\n");
    EXPECT_EQ(events.exec_exit_of(plan_with_tty.id), 0);
}

TEST_F(ExecTest, InputEndsWithTheClients) {
    Peer peer;
    const ExecPlan reader = exec_plan({"cat"});
    (void)monitor->exec_start(reader, full_client(peer, false));
    peer.write("through");
    peer.end_input();
    EXPECT_EQ(frames(peer.read_all(), 1), "through");
    EXPECT_EQ(events.exec_exit_of(reader.id), 0);
}

TEST_F(ExecTest, CodeIsKnownBeforeTheStreamEnds) {
    for (int i = 0; i < 50; ++i) {
        Peer peer;
        const ExecPlan quick = exec_plan({"sh", "-c", "exit 9"});
        bool reported_first = false;
        (void)monitor->exec_start(quick, full_client(peer, false));
        (void)peer.read_all();
        reported_first = events.has_exec(quick.id);
        EXPECT_TRUE(reported_first) << "round " << i;
    }
}

TEST_F(ExecTest, SignalEndsIt) {
    const ExecPlan sleeper = exec_plan({"sleep", "1000"});
    (void)monitor->exec_start(sleeper, std::nullopt);
    EXPECT_TRUE(monitor->exec_signal(sleeper.id, SIGTERM));
    EXPECT_EQ(events.exec_exit_of(sleeper.id), 128 + SIGTERM);
    EXPECT_FALSE(monitor->exec_signal("none", SIGTERM));
}

TEST_F(ExecTest, BackgroundChildDoesNotHoldItForLong) {
    const auto before = std::chrono::steady_clock::now();
    const Result result = exec(exec_plan({"sh", "-c", "sleep 1000 & exit 4"}));
    EXPECT_EQ(result.code, 4);
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(4));
}

TEST_F(ExecTest, UserIsLookedUpInside) {
    ExecPlan by_name =
        exec_plan({"sh", "-c", "id -u; id -G; grep -E 'Cap(Inh|Eff)' /proc/self/status"});
    by_name.process.user = "user";
    EXPECT_EQ(exec(std::move(by_name)).out,
              "1000\n1000 2000\nCapInh:\t0000000000000000\nCapEff:\t0000000000000000\n");
}

}  // namespace
}  // namespace dockerd::runtime::testing

#include "container_fixture.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>

namespace dockerd::runtime::testing {
namespace {

/// A daemon in a process of its own, to be killed.
class Recover : public Containers {
protected:
    /// Starts `args` in a daemon that is killed as soon as the container runs.
    std::string start_and_kill_daemon(ContainerPlan plan_to_run) {
        std::string state = plan_to_run.state_directory;
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            Events ignored;
            Runtime other(ignored.callbacks());
            auto monitor = other.start(std::move(plan_to_run), {});
            (void)!::write(ends[1], "x", 1);
            for (;;) ::pause();
        }
        char byte = 0;
        EXPECT_EQ(::read(ends[0], &byte, 1), 1);
        ::close(ends[0]);
        ::close(ends[1]);
        EXPECT_EQ(::kill(child, SIGKILL), 0);
        EXPECT_EQ(::waitpid(child, nullptr, 0), child);
        return state;
    }
};

/// Whether somebody listens in the state directory.
bool monitor_of(const std::string& state) {
    const base::Fd directory{::open(state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const base::Fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/sock";
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

TEST_F(Recover, FindsARunningContainerAndItsStreams) {
    ContainerPlan shell = interactive(false);
    const std::string id = shell.id;
    const std::string state = start_and_kill_daemon(std::move(shell));
    Recovered found = daemon().recover(state, id);
    ASSERT_EQ(found.state, Recovered::State::running);
    Peer peer;
    (void)found.monitor->attach({.stdin = true}, peer.open(), "echo alive; exit 11\n");
    EXPECT_EQ(frames(peer.read_all(), 1), "alive\n");
    EXPECT_EQ(events.exit_of(id).exit_code, 11);
    found.monitor->release();
}

TEST_F(Recover, LearnsAnExitThatHappenedMeanwhile) {
    write("go", "");
    ContainerPlan waiting = plan({"sh", "-c", "while [ -e /go ]; do sleep 0.05; done; exit 21"});
    const std::string id = waiting.id;
    const std::string log = waiting.log.path;
    const std::string state = start_and_kill_daemon(std::move(waiting));
    fs::remove(root / "go");
    // The record is enough: a monitor that nobody asks for does not stay.
    for (int i = 0; i < 500 && monitor_of(state); ++i) ::usleep(10'000);
    EXPECT_FALSE(monitor_of(state));
    Recovered found = daemon().recover(state, id);
    ASSERT_EQ(found.state, Recovered::State::exited);
    EXPECT_EQ(found.exit.exit_code, 21);
    EXPECT_EQ(found.monitor, nullptr);
    Runtime::forget(state);
    EXPECT_EQ(daemon().recover(state, id).state, Recovered::State::gone);
}

TEST_F(Recover, KilledMonitorLeavesAnOrphanWhoseEndIsSeen) {
    ContainerPlan sleeper = plan({"sleep", "1000"});
    const std::string id = sleeper.id;
    const std::string state = start_and_kill_daemon(std::move(sleeper));
    {
        Events ignored;
        Runtime first(ignored.callbacks());
        Recovered found = first.recover(state, id);
        ASSERT_EQ(found.state, Recovered::State::running);
        const std::string stat =
            read_file("/proc/" + std::to_string(found.monitor->pid()) + "/stat");
        const pid_t parent = std::stoi(stat.substr(stat.rfind(')') + 4));
        ASSERT_EQ(read_file("/proc/" + std::to_string(parent) + "/comm"), "docker-monitor\n");
        ASSERT_EQ(::kill(parent, SIGKILL), 0);
    }
    Recovered found;
    for (int i = 0; i < 500 && found.state != Recovered::State::orphaned; ++i) {
        found = daemon().recover(state, id);
        ::usleep(10'000);
    }
    ASSERT_EQ(found.state, Recovered::State::orphaned);
    EXPECT_TRUE(found.monitor->signal(SIGKILL));
    EXPECT_EQ(events.exit_of(id).exit_code, 137);
    Runtime::forget(state);
    EXPECT_EQ(daemon().recover(state, id).state, Recovered::State::gone);
}

TEST_F(Recover, ExitIsLearnedWhenTheMonitorIsKilledUnderTheDaemon) {
    ContainerPlan sleeper = plan({"sleep", "1000"});
    const std::string id = sleeper.id;
    const std::string state = sleeper.state_directory;
    auto monitor = daemon().start(std::move(sleeper), {});
    const std::string stat = read_file("/proc/" + std::to_string(monitor->pid()) + "/stat");
    ASSERT_EQ(::kill(std::stoi(stat.substr(stat.rfind(')') + 4)), SIGKILL), 0);
    while (monitor->signal(SIGTERM) && monitor->signal(SIGKILL)) ::usleep(1000);
    EXPECT_EQ(events.exit_of(id).exit_code, 137);
    Runtime::forget(state);
}

TEST_F(Recover, LauncherIsReplacedWhenItDies) {
    EXPECT_EQ(command({"true"}).code, 0);
    const pid_t launcher = daemon().launcher_pid();
    ASSERT_EQ(::kill(launcher, SIGKILL), 0);
    EXPECT_EQ(command({"true"}).code, 0);
    EXPECT_NE(daemon().launcher_pid(), launcher);
}

TEST_F(Recover, NoStateIsGone) {
    EXPECT_EQ(daemon().recover((dir / "nothing").string(), "x").state, Recovered::State::gone);
}

}  // namespace
}  // namespace dockerd::runtime::testing

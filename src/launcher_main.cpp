// The program that dockerd carries inside itself: launcher, monitors and container init.
// It is linked statically, has no threads, and executes nothing but users' programs.

#include "init/clone.hpp"
#include "init/title.hpp"
#include "monitor/monitor.hpp"
#include "wire/packet.hpp"

#include <dockerd/base/fd.hpp>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace {

/// The connection to dockerd, by agreement with src/runtime/launch.
constexpr int daemon_socket = 3;

void prepare_process() {
    (void)::syscall(SYS_close_range, daemon_socket + 1, ~0U, 0U);  // nothing else was meant for us
    // Inherited by monitors and by what they fork: nobody in a container may look into them.
    (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)::prctl(PR_SET_NAME, "docker-launcher", 0, 0, 0);
    // Monitors are not waited for: the daemon hears of them by their connection.
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ignore.sa_flags = SA_NOCLDWAIT;
    (void)::sigaction(SIGCHLD, &ignore, nullptr);
    (void)::sigaction(SIGPIPE, &ignore, nullptr);
    (void)::sigaction(SIGXFSZ, &ignore, nullptr);  // of a log: as a full disk
    (void)::sigaction(SIGHUP, &ignore, nullptr);
    (void)::sigaction(SIGINT, &ignore, nullptr);  // of a terminal dockerd runs in
    (void)::chdir("/");
}

void become_monitor(dockerd::runtime::wire::Packet&& packet) {
    dockerd::base::Fd{daemon_socket}.reset();  // the launcher's; a monitor has its own
    struct sigaction normal {};
    normal.sa_handler = SIG_DFL;
    (void)::sigaction(SIGCHLD, &normal, nullptr);
    dockerd::runtime::monitor::run_monitor(std::move(packet));
}

/// In the new process: descriptors in order from 3 on, then the program.
[[noreturn]] void execute(dockerd::runtime::wire::ExecuteRequest& request) {
    constexpr int first = 3;
    const int safe = first + static_cast<int>(request.fds.size()) + 1;
    // First out of each other's way.
    const auto lift = [safe](dockerd::base::Fd& fd) {
        fd.reset(::fcntl(fd.get(), F_DUPFD_CLOEXEC, safe));
        if (!fd) ::_exit(127);
    };
    lift(request.program);
    for (dockerd::base::Fd& fd : request.fds) lift(fd);
    int number = first;
    for (const dockerd::base::Fd& fd : request.fds) {
        if (::dup2(fd.get(), number++) < 0) ::_exit(127);
    }
    char* const args[] = {request.name.data(), nullptr};
    char* const env[] = {nullptr};
    (void)::syscall(SYS_execveat, request.program.get(), "", args, env, AT_EMPTY_PATH);
    ::_exit(127);  // the daemon sees how it ended
}

/// Executes a program of the daemon's, as a child of the daemon: the daemon waits for it.
void start_program(dockerd::runtime::wire::Packet&& packet) {
    namespace wire = dockerd::runtime::wire;
    wire::ExecuteRequest request;
    if (!packet.to(request) || !request.connection) return;  // its connection closes
    int raw = -1;
    const pid_t pid = dockerd::runtime::init::clone_process(CLONE_PARENT, &raw);
    if (pid == 0) execute(request);
    if (pid < 0) {
        (void)wire::send_message(request.connection.get(), wire::Kind::failed, 0,
                                 wire::Failed{"clone", errno, "clone"});
        return;
    }
    // Should nobody take it any more, the program sees its descriptors close.
    (void)wire::send_message(request.connection.get(), wire::Kind::started, 0,
                             wire::Started{pid, 0, dockerd::base::Fd{raw}});
}

}  // namespace

int main(int /*count*/, char** arguments, char** environment) {
    namespace wire = dockerd::runtime::wire;
    dockerd::runtime::init::keep_title_area(arguments, environment);
    prepare_process();
    for (;;) {
        wire::Packet packet;
        const wire::Receive result = wire::receive_packet(daemon_socket, /*wait=*/true, packet);
        if (result == wire::Receive::broken) continue;
        if (result != wire::Receive::packet) return 0;
        if (packet.kind == wire::Kind::execute) {
            start_program(std::move(packet));
            continue;
        }
        const pid_t pid = ::fork();
        if (pid == 0) become_monitor(std::move(packet));
        // When fork fails the packet's descriptors close here, and the daemon sees that.
    }
}

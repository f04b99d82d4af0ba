// The program that dockerd carries inside itself: launcher, monitors and container init.
// It is linked statically, has no threads, and executes nothing but users' programs.

#include "monitor/monitor.hpp"
#include "wire/packet.hpp"

#include <dockerd/base/fd.hpp>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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

}  // namespace

int main() {
    namespace wire = dockerd::runtime::wire;
    prepare_process();
    for (;;) {
        wire::Packet packet;
        const wire::Receive result = wire::receive_packet(daemon_socket, /*wait=*/true, packet);
        if (result == wire::Receive::broken) continue;
        if (result != wire::Receive::packet) return 0;
        const pid_t pid = ::fork();
        if (pid == 0) become_monitor(std::move(packet));
        // When fork fails the packet's descriptors close here, and the daemon sees that.
    }
}

#include "init/clone.hpp"

#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dockerd::runtime::init {

pid_t clone_process(std::uint64_t flags, int* pidfd) {
    clone_args args{};
    args.flags = flags | CLONE_CLEAR_SIGHAND;
    // With CLONE_PARENT the signal is the parent's own and must be 0 here.
    if ((flags & CLONE_PARENT) == 0) args.exit_signal = SIGCHLD;
    if (pidfd != nullptr) {
        args.flags |= CLONE_PIDFD;
        args.pidfd = reinterpret_cast<std::uintptr_t>(pidfd);
    }
    return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

}  // namespace dockerd::runtime::init

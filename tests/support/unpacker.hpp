#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <span>
#include <string>
#include <vector>

#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>

namespace dockerd {

/// archive::StartProgram without a launcher. A test has one thread when it starts, or at least
/// none that opens descriptors without O_CLOEXEC.
inline base::Fd start_directly(int program, std::span<const int> fds) {
    const int safe = 3 + static_cast<int>(fds.size()) + 1;
    std::vector<base::Fd> held;
    const auto lift = [&](int fd) {
        return held.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, safe)).get();
    };
    const std::string path = "/proc/self/fd/" + std::to_string(lift(program));
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    int number = 3;
    for (const int fd : fds) ::posix_spawn_file_actions_adddup2(&actions, lift(fd), number++);
    char name[] = "docker-unpack";
    char* const args[] = {name, nullptr};
    char* const env[] = {nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, path.c_str(), &actions, nullptr, args, env);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) base::throw_errno(error, "posix_spawn");
    // Our child, not reaped yet: the number cannot be another's.
    return base::Fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
}

/// The worker that dockerd carries, started directly.
inline const archive::Unpacker& testing_unpacker() {
    (void)std::signal(SIGPIPE, SIG_IGN);
    static const archive::Unpacker unpacker(start_directly);
    return unpacker;
}

}  // namespace dockerd

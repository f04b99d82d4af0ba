#include "launch/launcher.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/sys/sealed_program.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

extern "C" {
// src/runtime/launch/embed.S
extern const char dockerd_launcher_begin[];
extern const char dockerd_launcher_end[];
}

namespace dockerd::runtime::launch {

namespace {

constexpr int launcher_socket = 3;  // src/launcher_main.cpp

/// posix_spawn's two objects, released together.
struct SpawnSettings {
    SpawnSettings() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    SpawnSettings(const SpawnSettings&) = delete;
    SpawnSettings& operator=(const SpawnSettings&) = delete;
    ~SpawnSettings() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

pid_t spawn(const base::Fd& program, const base::Fd& socket) {
    SpawnSettings settings;
    sigset_t set;
    ::sigemptyset(&set);
    ::posix_spawnattr_setsigmask(&settings.attributes, &set);
    ::sigfillset(&set);
    ::posix_spawnattr_setsigdefault(&settings.attributes, &set);
    ::posix_spawnattr_setflags(&settings.attributes,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    for (int fd = 0; fd <= 2; ++fd) {
        ::posix_spawn_file_actions_addopen(&settings.actions, fd, "/dev/null", O_RDWR, 0);
    }
    ::posix_spawn_file_actions_adddup2(&settings.actions, socket.get(), launcher_socket);
    const std::string path = "/proc/self/fd/" + std::to_string(program.get());
    char name[] = "docker-launcher";
    char* const args[] = {name, nullptr};
    // Room for what a process of the launcher's shows as its command line (init/title.hpp).
    std::string room(2000, ' ');
    char* const env[] = {room.data(), nullptr};
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, path.c_str(), &settings.actions, &settings.attributes, args, env);
    if (error != 0) base::throw_errno(error, "start launcher");
    return pid;
}

}  // namespace

Launcher::~Launcher() {
    const base::Lock lock(mutex_);
    stop();
}

void Launcher::stop() {
    if (pid_ < 0) return;
    socket_.reset();  // its sign to end
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
}

void Launcher::start() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        base::throw_errno(errno, "start launcher: socketpair");
    }
    base::Fd ours{ends[0]};
    base::Fd theirs{ends[1]};
    // Both must lie above what the child's files are put on.
    const auto lift = [](base::Fd& fd) {
        if (fd.get() <= launcher_socket)
            fd.reset(::fcntl(fd.get(), F_DUPFD_CLOEXEC, launcher_socket + 1));
    };
    lift(theirs);
    base::Fd program = sys::sealed_program(
        "docker-launcher", std::string_view(dockerd_launcher_begin, dockerd_launcher_end));
    lift(program);
    pid_ = spawn(program, theirs);
    socket_ = std::move(ours);
}

void Launcher::ensure() {
    const base::Lock lock(mutex_);
    if (pid_ < 0) start();
}

void Launcher::send(wire::Kind kind, const wire::Encoder& request) {
    const base::Lock lock(mutex_);
    for (int attempt = 0;; ++attempt) {
        if (pid_ < 0) start();
        const int error = wire::send_packet(socket_.get(), kind, 0, request);
        if (error == 0) return;
        const bool died = error == EPIPE || error == ECONNRESET;
        if (!died || attempt == 1) base::throw_errno(error, "launcher");
        (void)::kill(pid_, SIGKILL);  // it may hang without its socket; our child either way
        stop();
    }
}

bool Launcher::has_died() {
    const base::Lock lock(mutex_);
    if (pid_ < 0) return true;
    pollfd peer{socket_.get(), 0, 0};
    if (::poll(&peer, 1, 200) <= 0 || (peer.revents & POLLHUP) == 0) return false;
    stop();
    return true;
}

pid_t Launcher::pid() const {
    const base::Lock lock(mutex_);
    return pid_;
}

}  // namespace dockerd::runtime::launch

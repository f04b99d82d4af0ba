#include "shutdown.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/thread_dump.hpp>
#include <dockerd/base/time.hpp>

namespace dockerd::app {
namespace {

constexpr int force_quit_count = 3;

constexpr std::array handled{SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};

sigset_t handled_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : handled) ::sigaddset(&set, signal);
    return set;
}

/// Go's name of a signal. Source: Go syscall, signals.
const char* signal_name(int signal) { return signal == SIGINT ? "interrupt" : "terminated"; }

}  // namespace

Signals::Signals() {
    (void)std::signal(SIGPIPE, SIG_IGN);
    (void)std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a full disk
    // A shell that starts programs in the background has them ignore some.
    for (const int signal : handled) (void)std::signal(signal, SIG_DFL);
    const sigset_t set = handled_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    thread_ = std::thread([this] { run(); });
}

Signals::~Signals() {
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
    }
    // SIGUSR2 has no meaning for others; it wakes the thread to see `ended_`.
    (void)::pthread_kill(thread_.native_handle(), SIGUSR2);
    thread_.join();
}

void Signals::run() {
    (void)::pthread_setname_np(::pthread_self(), "signals");
    const sigset_t set = handled_signals();
    int interrupts = 0;
    while (true) {
        int signal = 0;
        if (::sigwait(&set, &signal) != 0) continue;
        {
            const std::lock_guard lock(mutex_);
            if (ended_) return;
        }
        if (signal == SIGHUP) push(SignalEvent::reload);
        if (signal == SIGUSR1) push(SignalEvent::dump);
        if (signal == SIGQUIT && !stopping()) {
            base::log::info("Processing signal 'quit'");
            push(SignalEvent::leave);
        }
        if (signal != SIGTERM && signal != SIGINT) continue;
        base::log::info("Processing signal '{}'", signal_name(signal));
        if (++interrupts > force_quit_count) {
            base::log::info(
                "Forcing docker daemon shutdown without cleanup; 3 interrupts received");
            ::_exit(128 + signal);
        }
        if (interrupts == 1) push(SignalEvent::stop);
    }
}

void Signals::push(SignalEvent event) {
    const std::lock_guard lock(mutex_);
    if (event == SignalEvent::stop || event == SignalEvent::leave) stop_ = true;
    events_.push_back(event);
    changed_.notify_all();
}

SignalEvent Signals::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !events_.empty(); });
    const SignalEvent event = events_.front();
    events_.pop_front();
    return event;
}

bool Signals::stopping() const {
    const std::lock_guard lock(mutex_);
    return stop_;
}

// Source: moby pkg/stack/stackdump.go for the name: debugging guides look for it.
std::string dump_threads(const std::string& directory) {
    std::string stamp = base::format_rfc3339_nano(base::WallTime::now());
    std::erase(stamp, ':');
    const std::string path = fmt::format("{}/goroutine-stacks-{}.log", directory, stamp);
    std::ofstream out(path);
    out << base::thread_dump();
    out.flush();
    if (!out) base::fail(base::ErrorKind::internal, "write " + path);
    return path;
}

void notify_systemd(const std::string& state) {
    const char* const socket_path = ::getenv("NOTIFY_SOCKET");
    if (!socket_path || !*socket_path) return;
    sockaddr_un address{};
    const std::size_t length = std::strlen(socket_path);
    if (length >= sizeof address.sun_path) return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_path, length);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const base::Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    // systemd that does not listen is not our failure.
    (void)::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

}  // namespace dockerd::app

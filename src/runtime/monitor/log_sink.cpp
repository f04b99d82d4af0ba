#include "monitor/log_sink.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace dockerd::runtime::monitor {

namespace {

/// By agreement with src/main.cpp.
constexpr int config_number = 3;
constexpr int link_number = 4;
constexpr std::int64_t longest_delay = 10'000;

base::Fd text_file(const std::string& text) {
    base::Fd file{static_cast<int>(::syscall(SYS_memfd_create, "log-config", MFD_CLOEXEC))};
    if (file && ::write(file.get(), text.data(), text.size()) < 0) file.reset();
    return file;
}

/// In the new process. Only what needs no memory is done here and nothing of the monitor is kept.
[[noreturn]] void execute(int program, int config, int link) {
    sigset_t none;
    ::sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);  // cannot fail with these arguments
    // First out of each other's way.
    const int safe_program = ::fcntl(program, F_DUPFD_CLOEXEC, 10);
    const int safe_config = ::fcntl(config, F_DUPFD_CLOEXEC, 10);
    const int safe_link = ::fcntl(link, F_DUPFD_CLOEXEC, 10);
    if (safe_program < 0 || ::dup2(safe_config, config_number) < 0 ||
        ::dup2(safe_link, link_number) < 0) {
        ::_exit(127);
    }
    char name[] = "docker-log";
    char* const args[] = {name, nullptr};
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    char* const env[] = {path, nullptr};
    (void)::syscall(SYS_execveat, safe_program, "", args, env, AT_EMPTY_PATH);
    ::_exit(127);  // the monitor sees the link close
}

std::size_t record_size(std::string_view data) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(data[i]);
    return length + 8;
}

}  // namespace

LogSink::LogSink(Loop& loop, LogSinkOwner& owner, LogTarget& target)
    : loop_(loop),
      owner_(owner),
      ring_size_(target.ring_size),
      program_(std::move(target.forwarder)),
      config_(text_file(target.forwarder_config)) {}

LogSink::~LogSink() {
    if (watched_ && link_) loop_.forget(link_.get());
}

int LogSink::start() {
    if (!config_ || !program_) return errno != 0 ? errno : EBADF;
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
    base::Fd ours{ends[0]};
    const base::Fd theirs{ends[1]};
    const pid_t pid = ::fork();
    if (pid < 0) return errno;
    if (pid == 0) execute(program_.get(), config_.get(), theirs.get());
    // Our child, not reaped yet: the number cannot be another's.
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    link_ = std::move(ours);
    return 0;
}

std::string LogSink::await_ready(int daemon, bool& gone) {
    for (;;) {
        const auto end = words_.find('\n');
        if (end != std::string::npos) {
            const std::string line = words_.substr(0, end);
            words_.erase(0, end + 1);
            if (line == "ok") return {};
            return line.compare(0, 6, "error ") == 0 ? line.substr(6) : line;
        }
        pollfd ready[2] = {{link_.get(), POLLIN, 0}, {daemon, POLLRDHUP, 0}};
        (void)::poll(ready, 2, -1);  // EINTR: looked at again
        gone = ready[1].revents != 0;
        if (gone) return "gone";
        char buffer[1024];
        const ssize_t n = ::recv(link_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (n == 0) return "the process that sends logs ended";
        if (n > 0) words_.append(buffer, static_cast<std::size_t>(n));
    }
}

void LogSink::watch() {
    events_ = EPOLLIN;
    watched_ = true;
    loop_.watch(link_.get(), events_, this);
    flush();
}

void LogSink::update_events() {
    if (!link_ || !watched_) return;
    const std::uint32_t wanted =
        static_cast<std::uint32_t>(EPOLLIN) |
        (sent_ < pending_.size() ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
    if (wanted == events_) return;
    events_ = wanted;
    loop_.change(link_.get(), wanted, this);
}

void LogSink::ready(std::uint32_t events) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_words()) return died();
    if (link_ && (events & EPOLLOUT) != 0) flush();
}

/// False when the forwarder has ended.
bool LogSink::read_words() {
    char buffer[1024];
    const ssize_t n = ::recv(link_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    words_.append(buffer, static_cast<std::size_t>(n));
    for (auto end = words_.find('\n'); end != std::string::npos; end = words_.find('\n')) {
        const std::string line = words_.substr(0, end);
        words_.erase(0, end + 1);
        if (line == "ok") restart_delay_ = 1000;
        if (line.compare(0, 5, "lost ") == 0) owner_.log_lost(line.substr(5));
        if (line.compare(0, 6, "error ") == 0) owner_.log_lost(line.substr(6));
    }
    if (words_.size() > 64 * 1024) words_.clear();  // no forwarder says that much
    return true;
}

void LogSink::died() {
    if (!link_) return;
    loop_.forget(link_.get());
    link_.reset();
    words_.clear();
    events_ = 0;
    // A torn entry is begun anew; whole ones that were on their way are lost.
    sent_ = boundary_;
    if (finishing_ && pending_.size() == sent_) {
        finished_ = true;
        return;
    }
    restart_at_ = now_ms() + restart_delay_;
    restart_delay_ = std::min(restart_delay_ * 2, longest_delay);
}

void LogSink::tick() {
    if (restart_at_ == INT64_MAX || now_ms() < restart_at_) return;
    restart_at_ = INT64_MAX;
    if (start() != 0) {
        restart_at_ = now_ms() + longest_delay;
        return;
    }
    watch();
}

void LogSink::push(std::string_view entries, const std::uint32_t* ends, std::size_t count) {
    if (finished_) return;
    if (ring_size_ < 0) {
        pending_.append(entries);
    } else {
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t begin = i == 0 ? 0 : ends[i - 1];
            const std::size_t size = ends[i] - begin;
            const std::size_t waiting = pending_.size() - sent_;
            if (waiting > 0 && waiting + size > static_cast<std::size_t>(ring_size_)) {
                flush();  // the forwarder may just have made room
                const std::size_t left = pending_.size() - sent_;
                if (left > 0 && left + size > static_cast<std::size_t>(ring_size_)) {
                    ++dropped_;
                    continue;
                }
            }
            pending_.append(entries.substr(begin, size));
        }
    }
    flush();
}

void LogSink::note_boundary() {
    while (boundary_ + 4 <= sent_) {
        const std::size_t size = record_size(std::string_view(pending_).substr(boundary_));
        if (boundary_ + size > sent_) break;
        boundary_ += size;
    }
}

void LogSink::flush() {
    const bool was_blocked = blocked();
    while (link_ && sent_ < pending_.size()) {
        const ssize_t n = ::send(link_.get(), pending_.data() + sent_, pending_.size() - sent_,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;  // no room; or its end, which ready() will hear of
        sent_ += static_cast<std::size_t>(n);
        note_boundary();
    }
    if (sent_ == pending_.size()) {
        pending_.clear();
        sent_ = boundary_ = 0;
        if (pending_.capacity() > 4 * most_pending) std::string().swap(pending_);
        if (finishing_ && link_) (void)::shutdown(link_.get(), SHUT_WR);  // gone: heard of as well
    } else if (boundary_ > 256 * 1024) {
        pending_.erase(0, boundary_);
        sent_ -= boundary_;
        boundary_ = 0;
    }
    update_events();
    if (was_blocked && !blocked()) owner_.log_progress();
}

void LogSink::finish() {
    if (finishing_) return;
    finishing_ = true;
    if (link_ || !pending_.empty()) return flush();
    finished_ = true;
    restart_at_ = INT64_MAX;
}

void LogSink::give_up() {
    finished_ = true;
    restart_at_ = INT64_MAX;
    if (pidfd_) {
        // Gone already: nothing to do.
        (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    }
    if (link_ && watched_) loop_.forget(link_.get());
    link_.reset();
}

}  // namespace dockerd::runtime::monitor

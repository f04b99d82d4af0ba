#include "launch/reaper.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <utility>

namespace dockerd::runtime::launch {

namespace {

/// struct pidfd_info of Linux 6.15; the headers of the build machine may be older.
struct PidfdInfo {
    std::uint64_t mask;
    std::uint64_t cgroup_id;
    std::uint32_t ids[11];
    std::int32_t exit_code;  ///< as waitpid(2) has it
};
constexpr std::uint64_t pidfd_info_exit = 1U << 3;

/// How a process ended that is no child of ours. Only newer kernels know.
ExitInfo foreign_exit(const base::Fd& pidfd) {
    ExitInfo exit{137, 9, base::WallTime::now(), false};
    // The code is there when somebody has waited for the process.
    pollfd reaped{pidfd.get(), 0, 0};
    (void)::poll(&reaped, 1, 200);
    PidfdInfo info{};
    info.mask = pidfd_info_exit;
    constexpr unsigned long get_info = _IOWR(0xFF, 11, PidfdInfo);
    if (::ioctl(pidfd.get(), get_info, &info) != 0 || (info.mask & pidfd_info_exit) == 0)
        return exit;
    exit.known = true;
    exit.signal = WIFSIGNALED(info.exit_code) ? WTERMSIG(info.exit_code) : 0;
    exit.exit_code = exit.signal != 0 ? 128 + exit.signal : WEXITSTATUS(info.exit_code);
    return exit;
}

}  // namespace

Reaper::Reaper(RuntimeEvents events)
    : events_(std::move(events)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!epoll_ || !wake_) base::throw_errno(errno, "start reaper");
    watch(0, wake_.get());
    thread_ = std::thread([this] { run(); });
}

Reaper::~Reaper() { stop(); }

void Reaper::stop() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);  // an eventfd takes it
    thread_.join();
    std::map<std::uint64_t, Watched> unheard;
    {
        const base::Lock lock(mutex_);
        stopped_ = true;
        unheard.swap(watched_);
    }
    for (const auto& [token, watched] : unheard) watched.connection->lost();
}

void Reaper::watch(std::uint64_t token, int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = token;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        base::throw_errno(errno, "watch monitor");
    }
}

void Reaper::add(std::shared_ptr<Connection> connection) {
    const bool by_pidfd = connection->socket() < 0;
    const int fd = by_pidfd ? connection->pidfd().get() : connection->socket();
    base::Lock lock(mutex_);
    if (stopped_) {
        lock.unlock();
        connection->lost();
        return;
    }
    const std::uint64_t token = next_token_++;
    watched_[token] = {std::move(connection), by_pidfd};
    watch(token, fd);
}

void Reaper::remove(std::uint64_t token) {
    const base::Lock lock(mutex_);
    watched_.erase(token);
}

void Reaper::run() {
    for (;;) {
        epoll_event events[32];
        const int count = ::epoll_wait(epoll_.get(), events, 32, -1);
        for (int i = 0; i < count; ++i) {
            if (events[i].data.u64 == 0) return;
            try {
                ready(events[i].data.u64);
            } catch (const std::exception& error) {
                base::log::error("reaper: {}", error.what());
            }
        }
    }
}

void Reaper::ready(std::uint64_t token) {
    Watched watched;
    {
        const base::Lock lock(mutex_);
        const auto found = watched_.find(token);
        if (found == watched_.end()) return;
        watched = found->second;
    }
    if (watched.by_pidfd) return orphan_ended(token, *watched.connection);
    if (watched.prober) return prober_ready(token, watched);
    monitor_ready(token, watched.connection);
}

void Reaper::add_prober(const std::shared_ptr<Connection>& connection, SharedSocket prober) {
    const int fd = prober->get();
    const base::Lock lock(mutex_);
    const std::uint64_t token = next_token_++;
    watched_[token] = {connection, false, std::move(prober)};
    watch(token, fd);
}

/// What comes from a prober can only be about its container's execs: a process that debugs the
/// container's own may have got hold of its socket.
void Reaper::prober_ready(std::uint64_t token, const Watched& watched) {
    Connection& connection = *watched.connection;
    wire::Packet packet;
    wire::Reply reply;
    wire::ExecExited exec;
    switch (wire::receive_packet(watched.prober->get(), /*wait=*/false, packet)) {
        case wire::Receive::again:
            return;
        case wire::Receive::packet:
            if (packet.kind == wire::Kind::reply && packet.to(reply)) {
                (void)connection.answered(packet.serial, std::move(reply));
            } else if (packet.kind == wire::Kind::exec_exited && packet.to(exec)) {
                exec_exited(connection, exec);
            }
            return;
        case wire::Receive::closed:
        case wire::Receive::broken:
            break;
    }
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched.prober->get(), nullptr);
    remove(token);
    for (const std::string& id : connection.prober_lost(watched.prober)) {
        if (events_.on_exec_exit) events_.on_exec_exit(connection.id(), id, 137);
    }
}

void Reaper::exec_exited(Connection& connection, const wire::ExecExited& exec) {
    const bool unattended = connection.ends_unattended(exec.exec_id);
    if (events_.on_exec_exit) events_.on_exec_exit(connection.id(), exec.exec_id, exec.code);
    if (!unattended) connection.acknowledge(exec.exec_id);
}

void Reaper::monitor_ready(std::uint64_t token, const std::shared_ptr<Connection>& connection) {
    wire::Packet packet;
    switch (wire::receive_packet(connection->socket(), /*wait=*/false, packet)) {
        case wire::Receive::again:
            return;
        case wire::Receive::packet:
            return handle(connection, packet);
        case wire::Receive::closed:
        case wire::Receive::broken:
            return monitor_lost(token, *connection);
    }
}

void Reaper::handle(const std::shared_ptr<Connection>& owner, wire::Packet& packet) {
    Connection& connection = *owner;
    const std::string& id = connection.id();
    wire::Reply reply;
    wire::Exited exited;
    wire::ExecExited exec;
    wire::Detached detached;
    wire::AttachClosed closed;
    wire::LogLost lost;
    switch (packet.kind) {
        case wire::Kind::reply:
            if (!packet.to(reply)) return;
            if (auto prober = connection.answered(packet.serial, std::move(reply))) {
                add_prober(owner, std::move(prober));
            }
            return;
        case wire::Kind::exited:
            if (!packet.to(exited) || !connection.claim_exit()) return;
            if (events_.on_exit) {
                events_.on_exit(id, {exited.code, exited.signal,
                                     base::WallTime(exited.seconds, exited.nanoseconds), true});
            }
            return;
        case wire::Kind::exec_exited:
            if (packet.to(exec)) exec_exited(connection, exec);
            return;
        case wire::Kind::detached:
            if (packet.to(detached) && events_.on_detach) events_.on_detach(id, detached.exec_id);
            return;
        case wire::Kind::attach_closed:
            if (packet.to(closed) && events_.on_attach_closed) {
                events_.on_attach_closed(id, closed.attach_id);
            }
            return;
        case wire::Kind::log_lost:
            if (packet.to(lost)) {
                base::log::error("Error writing log message of container {}: {}", id, lost.why);
            }
            return;
        default:
            return;  // of a newer monitor: nothing that must be understood
    }
}

void Reaper::monitor_lost(std::uint64_t token, Connection& connection) {
    connection.lost();
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.socket(), nullptr);
    if (connection.exit_claimed()) return remove(token);
    // Killed. The container lives on without it until it ends or is killed.
    base::log::warn("monitor of container {} is gone", connection.id());
    const base::Lock lock(mutex_);
    watched_[token].by_pidfd = true;
    watch(token, connection.pidfd().get());
}

void Reaper::orphan_ended(std::uint64_t token, Connection& connection) {
    const ExitInfo exit = foreign_exit(connection.pidfd());
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.pidfd().get(), nullptr);
    if (connection.claim_exit() && events_.on_exit) events_.on_exit(connection.id(), exit);
    remove(token);
}

}  // namespace dockerd::runtime::launch

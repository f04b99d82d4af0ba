#include "stream_loop.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <string>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/thread.hpp>

namespace dockerd::net {

namespace {

constexpr std::size_t buffer_size = 64 * 1024;
/// A direction that moved this much goes on through a pipe, without copies.
constexpr std::size_t splice_after = 1024 * 1024;
constexpr int pipe_size = 256 * 1024;
/// What one direction may move before the others get their turn.
constexpr std::size_t turn = 1024 * 1024;
/// Of the descriptor that ends the loop.
constexpr std::uint64_t wake_tag = 0;

/// What an epoll event belongs to: the connection's number, and the side in the lowest bit.
constexpr std::uint64_t tag_of(std::uint64_t id, unsigned side) { return id << 1 | side; }

/// Whether an error only means "not now".
bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

/// Both sides of a connection: 0 the client's, 1 the container's.
struct StreamLoop::Stream {
    explicit Stream(std::atomic<std::size_t>& all) : count(all) { ++count; }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { --count; }

    std::atomic<std::size_t>& count;
    std::uint64_t id = 0;
    std::uint64_t owner = 0;
    std::array<base::Fd, 2> sockets;
    std::array<bool, 2> readable{};
    std::array<bool, 2> writable{};
    std::array<bool, 2> ending{};  ///< the end has been told of, and comes behind what is to be read

    /// What flows from side n to the other.
    struct Direction {
        std::string pending;  ///< read but not yet taken by the other side
        base::Fd pipe_in, pipe_out;
        std::size_t in_pipe = 0;
        std::size_t moved = 0;
        bool ended = false;   ///< the source is at its end
        bool closed = false;  ///< and the other side was told
    };
    std::array<Direction, 2> directions;
};

StreamLoop::StreamLoop(std::atomic<std::size_t>& count)
    : count_(count),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!epoll_ || !wake_) base::throw_errno(errno, "port proxy");
    watch(wake_.get(), wake_tag, EPOLLIN);
    thread_ = base::start_quiet_thread([this] { run(); });
}

StreamLoop::~StreamLoop() {
    {
        const base::Lock lock(mutex_);
        stopping_ = true;
    }
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);  // cannot fail: the counter is far from full
    thread_.join();
}

void StreamLoop::watch(int fd, std::uint64_t tag, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = tag;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        base::throw_errno(errno, "port proxy: epoll_ctl");
    }
}

void StreamLoop::add(std::uint64_t owner, base::Fd client, base::Fd container) {
    const base::Lock lock(mutex_);
    auto stream = std::make_unique<Stream>(count_);
    stream->id = next_id_++;
    stream->owner = owner;
    stream->sockets = {std::move(client), std::move(container)};
    stream->writable[0] = true;
    constexpr std::uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    watch(stream->sockets[0].get(), tag_of(stream->id, 0), all);
    watch(stream->sockets[1].get(), tag_of(stream->id, 1), all);
    streams_.emplace(stream->id, std::move(stream));
}

void StreamLoop::drop(std::uint64_t owner) noexcept {
    const base::Lock lock(mutex_);
    std::erase_if(streams_, [&](const auto& entry) { return entry.second->owner == owner; });
}

void StreamLoop::run() {
    std::array<epoll_event, 128> events{};
    for (;;) {
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                       unfinished_.empty() ? -1 : 0);
        const base::Lock lock(mutex_);
        if (stopping_) return;
        try {
            for (int i = 0; i < count; ++i) {
                const epoll_event& event = events[static_cast<std::size_t>(i)];
                if (event.data.u64 == wake_tag) continue;
                handle(event.data.u64 >> 1, event.data.u64 & 1, event.events);
            }
            for (const auto& [id, side] : std::exchange(unfinished_, {})) handle(id, side, 0);
        } catch (const std::exception& error) {
            base::log::error("port proxy: {}", error.what());
        }
    }
}

void StreamLoop::handle(std::uint64_t id, unsigned side, std::uint32_t events) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    Stream& stream = *found->second;
    if ((events & EPOLLERR) != 0) {
        streams_.erase(found);
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) stream.readable[side] = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) stream.ending[side] = true;
    if ((events & EPOLLOUT) != 0) stream.writable[side] = true;
    if (!pump(stream, side) || !pump(stream, 1 - side) ||
        (stream.directions[0].closed && stream.directions[1].closed)) {
        streams_.erase(found);
    }
}

/// Hands on what was read before; true when there is none of it left.
StreamLoop::Moved StreamLoop::drain(Stream& stream, unsigned from) {
    const unsigned to = 1 - from;
    const int sink = stream.sockets[to].get();
    Stream::Direction& flow = stream.directions[from];
    while (!flow.pending.empty() || flow.in_pipe > 0) {
        const bool piped = flow.pending.empty();
        const ssize_t sent =
            piped ? ::splice(flow.pipe_out.get(), nullptr, sink, nullptr, flow.in_pipe,
                             SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                  : ::send(sink, flow.pending.data(), flow.pending.size(), MSG_NOSIGNAL);
        if (sent < 0 && !would_block()) return Moved::broken;
        if (sent < 0) {
            stream.writable[to] = false;
            return Moved::blocked;
        }
        if (piped) {
            flow.in_pipe -= static_cast<std::size_t>(sent);
        } else {
            flow.pending.erase(0, static_cast<std::size_t>(sent));
        }
    }
    return Moved::all;
}

/// Reads once from side `from`; what the other side does not take at once is kept.
StreamLoop::Moved StreamLoop::fill(Stream& stream, unsigned from) {
    const unsigned to = 1 - from;
    const int source = stream.sockets[from].get();
    Stream::Direction& flow = stream.directions[from];
    buffer_.resize(buffer_size);
    const ssize_t got = flow.pipe_in ? ::splice(source, nullptr, flow.pipe_in.get(), nullptr,
                                                pipe_size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                                     : ::recv(source, buffer_.data(), buffer_.size(), 0);
    if (got < 0 && !would_block()) return Moved::broken;
    if (got < 0) {
        stream.readable[from] = false;
        return Moved::blocked;
    }
    flow.ended = got == 0;
    const auto size = static_cast<std::size_t>(got);
    // Less than there was room for: that was all. More, or the end, is an event of its own.
    const bool all = !flow.pipe_in && size > 0 && size < buffer_.size();
    if (all && !stream.ending[from]) stream.readable[from] = false;
    flow.moved += size;
    if (flow.pipe_in) {
        flow.in_pipe = size;
        return Moved::all;
    }
    ssize_t sent =
        size == 0 ? 0 : ::send(stream.sockets[to].get(), buffer_.data(), size, MSG_NOSIGNAL);
    if (sent < 0 && !would_block()) return Moved::broken;
    if (sent < 0) {
        stream.writable[to] = false;
        sent = 0;
    }
    flow.pending.assign(buffer_.data() + sent, size - static_cast<std::size_t>(sent));
    if (flow.moved < splice_after || !flow.pending.empty()) return Moved::all;
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0) {
        flow.pipe_out.reset(ends[0]);
        flow.pipe_in.reset(ends[1]);
        (void)::fcntl(ends[1], F_SETPIPE_SZ, pipe_size);  // smaller works as well
    }
    return Moved::all;
}

/// Moves what there is from side `from` to the other; false when the connection is broken.
bool StreamLoop::pump(Stream& stream, unsigned from) {
    const unsigned to = 1 - from;
    Stream::Direction& flow = stream.directions[from];
    const std::size_t before = flow.moved;
    while (!flow.closed && stream.writable[to]) {
        const Moved drained = drain(stream, from);
        if (drained != Moved::all) return drained == Moved::blocked;
        if (flow.ended) {
            // Fails only when the other side is gone already.
            (void)::shutdown(stream.sockets[to].get(), SHUT_WR);
            flow.closed = true;
            return true;
        }
        if (!stream.readable[from]) return true;
        if (flow.moved - before >= turn) {
            unfinished_.emplace_back(stream.id, from);
            return true;
        }
        if (fill(stream, from) == Moved::broken) return false;
    }
    return true;
}

}  // namespace dockerd::net

#include "monitor/streams.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace dockerd::runtime::monitor {

Client::Client(Loop& loop, Streams& streams, wire::AttachRequest&& request, bool tty, bool reads)
    : loop_(loop),
      streams_(streams),
      request_(std::move(request)),
      socket_(std::move(request_.client)),
      keys_(tty ? request_.detach_keys : std::string{}),
      reads_(reads && request_.use_stdin) {
    if (reads_) events_ = EPOLLIN;
    loop_.watch(socket_.get(), events_, this);
}

Client::~Client() { finish(); }

void Client::feed_early_input() {
    const std::string early = std::move(request_.input);
    request_.input.clear();
    if (reads_ && !early.empty()) take_input(early);
}

void Client::update_events() {
    if (!socket_) return;
    std::uint32_t wanted = 0;
    if (reads_ && !paused_) wanted |= EPOLLIN;
    if (!pending_.empty() && !held_) wanted |= EPOLLOUT;
    if (wanted == events_) return;
    events_ = wanted;
    loop_.change(socket_.get(), wanted, this);
}

void Client::ready(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) write_pending();
    if (socket_ && (events & EPOLLIN) != 0 && reads_ && !paused_) {
        read_input();
    } else if (socket_ && (events & (EPOLLHUP | EPOLLERR)) != 0) {
        drop();  // both directions are closed: nobody is there to read
    }
}

void Client::read_input() {
    char buffer[16 * 1024];
    const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) return take_input({buffer, static_cast<std::size_t>(n)});
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return drop();
    end_input();
}

void Client::take_input(std::string_view data) {
    std::string passed;
    const bool detach = keys_.filter(data, passed);
    if (!passed.empty()) streams_.input(passed);
    if (detach) streams_.client_detached(*this);
}

void Client::end_input() {
    reads_ = false;
    update_events();
    streams_.client_input_ended(*this);
}

void Client::pause_input(bool paused) {
    paused_ = paused;
    update_events();
}

void Client::send(int stream, std::string_view data) {
    if (!socket_ || !(stream == 1 ? request_.use_stdout : request_.use_stderr)) return;
    unsigned char header[8] = {static_cast<unsigned char>(stream), 0, 0, 0};
    for (unsigned i = 0; i < 4; ++i)
        header[4 + i] = static_cast<unsigned char>(data.size() >> (24 - 8 * i));
    const std::size_t head = request_.multiplexed ? sizeof header : 0;
    iovec parts[2] = {{header, head}, {const_cast<char*>(data.data()), data.size()}};
    ssize_t sent = 0;
    if (pending_.empty() && !held_) {
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) return drop();
        if (sent < 0) sent = 0;
    }
    auto skip = static_cast<std::size_t>(sent);
    if (skip == head + data.size()) return;
    if (skip < head) {
        queue({reinterpret_cast<char*>(header) + skip, head - skip});
        skip = head;
    }
    queue(data.substr(skip - head));
    update_events();
}

void Client::queue(std::string_view data) {
    if (sent_ > 64 * 1024) {
        pending_.erase(0, sent_);
        sent_ = 0;
    }
    pending_.append(data);
}

void Client::hold(bool held) {
    held_ = held;
    if (held || !socket_) return;
    write_pending();
    update_events();  // what the socket did not take: nothing else may come that would do this
}

void Client::write_pending() {
    while (sent_ < pending_.size()) {
        const ssize_t n = ::send(socket_.get(), pending_.data() + sent_, pending_.size() - sent_,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
        if (n < 0) return drop();
        sent_ += static_cast<std::size_t>(n);
    }
    if (sent_ == pending_.size()) {
        std::string().swap(pending_);  // assigning an empty one would keep the memory
        sent_ = 0;
        update_events();
    }
    streams_.client_progress();
}

void Client::finish() {
    if (!socket_) return;
    loop_.forget(socket_.get());
    (void)::shutdown(socket_.get(), SHUT_WR);  // the peer may be gone
    // Input nobody took would turn the end of the stream into a reset at the peer.
    char buffer[4096];
    for (int i = 0; i < 16 && ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT) > 0; ++i) {
    }
    socket_.reset();
}

void Client::drop() {
    loop_.forget(socket_.get());
    socket_.reset();
    std::string().swap(pending_);  // assigning an empty one would keep the memory
    sent_ = 0;
    streams_.client_gone(*this);
}

}  // namespace dockerd::runtime::monitor

#include "port_proxy.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/thread.hpp>

#include "socket_address.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

constexpr std::size_t buffer_size = 64 * 1024;
/// More threads than this copy no more: the rest of the machine is the containers'.
constexpr unsigned most_loops = 4;
/// Source: moby cmd/docker-proxy/udp_proxy_linux.go, UDPConnTrackTimeout.
constexpr std::chrono::seconds datagram_timeout{90};
constexpr std::size_t max_datagram_clients = 4096;

// What an epoll event belongs to: kind in the lowest bit, object number above.
enum class Kind : unsigned { port, datagrams };
constexpr std::uint64_t tag_of(std::uint64_t id, Kind kind) {
    return id << 1 | static_cast<unsigned>(kind);
}

void set_option(int fd, int level, int name, int value) {
    // Tuning only: a socket without it still works.
    (void)::setsockopt(fd, level, name, &value, sizeof value);
}

/// The local address a datagram was sent to, to answer from: an IP_PKTINFO control message.
struct PacketInfo {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
    std::size_t size = 0;
};

}  // namespace

struct PortProxy::Port {
    std::uint64_t id = 0;
    base::Fd socket;
    Protocol protocol = Protocol::tcp;
    SocketAddress target;
    std::map<std::string, std::uint64_t> clients;  ///< its datagram clients
};

struct PortProxy::Datagrams {
    std::uint64_t id = 0;
    std::uint64_t port = 0;
    std::string key;
    base::Fd socket;  ///< connected to the container
    sockaddr_storage client{};
    socklen_t client_size = 0;
    PacketInfo info;
    Clock::time_point last;
};

PortProxy::PortProxy()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!epoll_ || !wake_) base::throw_errno(errno, "port proxy");
    watch(wake_.get(), 0, EPOLLIN);
    rlimit files{};
    (void)::getrlimit(RLIMIT_NOFILE, &files);  // 0 on failure: then the lower bound holds
    // Two sockets and up to four pipe ends a stream, and half of all for the rest of the daemon.
    max_streams_ = std::max<std::size_t>(64, files.rlim_cur / 12);
}

PortProxy::~PortProxy() {
    {
        const base::Lock lock(mutex_);
        stopping_ = true;
    }
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);  // cannot fail: the counter is far from full
    if (thread_.joinable()) thread_.join();
}

void PortProxy::watch(int fd, std::uint64_t tag, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = tag;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        base::throw_errno(errno, "port proxy: epoll_ctl");
    }
}

std::uint64_t PortProxy::add(base::Fd socket, Protocol protocol, const IpAddress& container,
                             std::uint16_t port) {
    const base::Lock lock(mutex_);
    if (protocol == Protocol::tcp) start_loops();
    auto entry = std::make_unique<Port>();
    entry->id = next_id_++;
    entry->socket = std::move(socket);
    entry->protocol = protocol;
    entry->target = SocketAddress(container, port);
    const int fd = entry->socket.get();
    (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);  // an own socket: cannot fail
    if (protocol == Protocol::tcp) {
        // Accepted connections inherit these.
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
    watch(fd, tag_of(entry->id, Kind::port), EPOLLIN);
    const std::uint64_t id = entry->id;
    ports_.emplace(id, std::move(entry));
    if (!thread_.joinable()) start_thread();
    return id;
}

void PortProxy::start_loops() {
    const unsigned most = std::clamp(std::thread::hardware_concurrency(), 1U, most_loops);
    while (loops_.size() < most) loops_.push_back(std::make_unique<StreamLoop>(streams_));
}

void PortProxy::start_thread() {
    thread_ = base::start_quiet_thread([this] { run(); });
}

void PortProxy::remove(std::uint64_t id) noexcept {
    const base::Lock lock(mutex_);
    const auto found = ports_.find(id);
    if (found == ports_.end()) return;
    const std::unique_ptr<Port> port = std::move(found->second);
    ports_.erase(found);
    for (const auto& loop : loops_) loop->drop(id);
    for (const auto& [key, child] : port->clients) datagrams_.erase(child);
}

void PortProxy::run() {
    std::array<epoll_event, 128> events{};
    Clock::time_point next_sweep = Clock::now();
    for (;;) {
        int timeout = -1;
        {
            const base::Lock lock(mutex_);
            if (!datagrams_.empty() || !paused_.empty()) timeout = 1000;
        }
        const int count =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
        const base::Lock lock(mutex_);
        if (stopping_) return;
        try {
            for (int i = 0; i < count; ++i) {
                handle(events[static_cast<std::size_t>(i)].data.u64);
            }
            if (const auto now = Clock::now(); now >= next_sweep) {
                next_sweep = now + std::chrono::seconds(1);
                expire_datagrams(now);
                resume_paused();
            }
        } catch (const std::exception& error) {
            log::error("port proxy: {}", error.what());
        }
    }
}

void PortProxy::handle(std::uint64_t tag) {
    const std::uint64_t id = tag >> 1;
    switch (static_cast<Kind>(tag & 1)) {
        case Kind::port:
            if (const auto found = ports_.find(id); found != ports_.end()) {
                if (found->second->protocol == Protocol::tcp) {
                    accept_streams(*found->second);
                } else {
                    receive_datagrams(*found->second);
                }
            }
            return;
        case Kind::datagrams:
            return_datagrams(id);
            return;
    }
}

void PortProxy::accept_streams(Port& port) {
    for (int i = 0; i < 64; ++i) {
        base::Fd client;
        if (streams_ < max_streams_) {
            client.reset(
                ::accept4(port.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!client && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
            if (!client && (errno == ECONNABORTED || errno == EINTR)) continue;
        }
        if (!client) {
            // Out of descriptors: leave the port alone until some connection has ended.
            (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, port.socket.get(), nullptr);
            paused_.push_back(port.id);
            return;
        }
        open_stream(port, std::move(client));
    }
}

void PortProxy::resume_paused() {
    if (paused_.empty() || streams_ >= max_streams_) return;
    for (const std::uint64_t id : std::exchange(paused_, {})) {
        if (const auto found = ports_.find(id); found != ports_.end()) {
            watch(found->second->socket.get(), tag_of(id, Kind::port), EPOLLIN);
        }
    }
}

void PortProxy::open_stream(Port& port, base::Fd client) {
    base::Fd container(
        ::socket(port.target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!container) return;  // the client sees its connection closed, as when nobody listens
    set_option(container.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(container.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
    if (::connect(container.get(), port.target.get(), port.target.size()) != 0 &&
        errno != EINPROGRESS) {
        return;
    }
    next_loop().add(port.id, std::move(client), std::move(container));
}

/// Each connection is one loop's; they take turns.
StreamLoop& PortProxy::next_loop() {
    turn_ = (turn_ + 1) % loops_.size();
    return *loops_[turn_];
}

void PortProxy::receive_datagrams(Port& port) {
    buffer_.resize(buffer_size);
    for (int i = 0; i < 256; ++i) {
        sockaddr_storage client{};
        PacketInfo info;
        iovec part{buffer_.data(), buffer_.size()};
        msghdr message{};
        message.msg_name = &client;
        message.msg_namelen = sizeof client;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = info.control.data();
        message.msg_controllen = info.control.size();
        const ssize_t got = ::recvmsg(port.socket.get(), &message, 0);
        if (got < 0) return;  // nothing more, or an error the next datagram clears
        info.size = message.msg_controllen;
        std::string key(reinterpret_cast<const char*>(&client), message.msg_namelen);
        key.append(info.control.data(), info.size);
        Datagrams* flow = nullptr;
        if (const auto found = port.clients.find(key); found != port.clients.end()) {
            flow = datagrams_.at(found->second).get();
        } else {
            flow = open_datagrams(port, client, key);
            if (flow == nullptr) continue;
            flow->client_size = message.msg_namelen;
            flow->info = info;
            // The answer takes whichever way there is, not the interface the question came by.
            if (auto* head = reinterpret_cast<cmsghdr*>(flow->info.control.data());
                info.size > 0 && head->cmsg_level == IPPROTO_IP) {
                reinterpret_cast<in_pktinfo*>(CMSG_DATA(head))->ipi_ifindex = 0;
            }
        }
        flow->last = Clock::now();
        // A container that does not listen makes this fail once; datagrams may be lost.
        (void)::send(flow->socket.get(), buffer_.data(), static_cast<std::size_t>(got),
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

PortProxy::Datagrams* PortProxy::open_datagrams(Port& port, const sockaddr_storage& client,
                                                const std::string& key) {
    if (port.clients.size() >= max_datagram_clients) return nullptr;
    base::Fd socket(::socket(port.target.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket || ::connect(socket.get(), port.target.get(), port.target.size()) != 0) {
        return nullptr;
    }
    auto flow = std::make_unique<Datagrams>();
    flow->id = next_id_++;
    flow->port = port.id;
    flow->key = key;
    flow->client = client;
    flow->socket = std::move(socket);
    watch(flow->socket.get(), tag_of(flow->id, Kind::datagrams), EPOLLIN);
    port.clients.emplace(key, flow->id);
    return datagrams_.emplace(flow->id, std::move(flow)).first->second.get();
}

void PortProxy::return_datagrams(std::uint64_t id) {
    const auto found = datagrams_.find(id);
    if (found == datagrams_.end()) return;
    Datagrams& flow = *found->second;
    const auto port = ports_.find(flow.port);
    if (port == ports_.end()) return;
    buffer_.resize(buffer_size);
    for (int i = 0; i < 256; ++i) {
        const ssize_t got = ::recv(flow.socket.get(), buffer_.data(), buffer_.size(), 0);
        if (got < 0) return;  // nothing more; a refusal is cleared by reading it
        flow.last = Clock::now();
        iovec part{buffer_.data(), static_cast<std::size_t>(got)};
        msghdr message{};
        message.msg_name = &flow.client;
        message.msg_namelen = flow.client_size;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (flow.info.size > 0) {
            // Answer from the address that was asked.
            message.msg_control = flow.info.control.data();
            message.msg_controllen = flow.info.size;
        }
        (void)::sendmsg(port->second->socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

void PortProxy::close_datagrams(std::uint64_t id) {
    const auto found = datagrams_.find(id);
    if (found == datagrams_.end()) return;
    if (const auto port = ports_.find(found->second->port); port != ports_.end()) {
        port->second->clients.erase(found->second->key);
    }
    datagrams_.erase(found);
}

void PortProxy::expire_datagrams(Clock::time_point now) {
    std::vector<std::uint64_t> idle;
    for (const auto& [id, flow] : datagrams_) {
        if (now - flow->last > datagram_timeout) idle.push_back(id);
    }
    for (const std::uint64_t id : idle) close_datagrams(id);
}

}  // namespace dockerd::net

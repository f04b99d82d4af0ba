#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include <dockerd/base/undo.hpp>

#include "resolver_parts.hpp"

/// Queries over TCP: one after another on each connection.
namespace dockerd::net {
namespace {

constexpr std::size_t max_connections = 128;  // of one container
// Source: miekg/dns server.go, client.go: dnsTimeout, tcpIdleTimeout, maxTCPQueries.
constexpr std::chrono::seconds first_wait{2};
constexpr std::chrono::seconds idle_wait{8};
constexpr unsigned max_queries = 128;
/// A listener that got no descriptor is left alone for so long.
constexpr std::chrono::seconds listener_pause{1};
constexpr std::size_t length_size = 2;

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

void Resolver::accept_connections(const ContainerRef& container) {
    for (int i = 0; i < 32; ++i) {
        base::Fd socket(
            ::accept4(container->tcp.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket && (errno == ECONNABORTED || errno == EINTR)) continue;
        if (!socket && !would_block()) {
            (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, container->tcp.get(), nullptr);
            set_deadline(container->resume, Kind::listener, container->id, listener_pause);
        }
        if (!socket) return;
        if (container->connections.size() >= max_connections) continue;
        auto connection = std::make_unique<Connection>();
        const std::uint64_t id = connection->id = next_id_++;
        connection->container = container;
        connection->socket = std::move(socket);
        if (!watch(connection->socket.get(), Kind::connection, id,
                   EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
            continue;
        }
        set_deadline(connection->deadline, Kind::connection, id, first_wait);
        container->connections.insert(id);
        connections_.emplace(id, std::move(connection));
    }
}

void Resolver::close_connection(std::uint64_t id) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    clear_deadline(found->second->deadline, Kind::connection, id);
    found->second->container->connections.erase(id);
    connections_.erase(found);
}

/// Sends what there is; false when the client takes no more now.
bool Resolver::drain(Connection& connection) {
    while (!connection.out.empty()) {
        const ssize_t sent = ::send(connection.socket.get(), connection.out.data(),
                                    connection.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (!would_block()) connection.broken = true;
            return false;
        }
        connection.out.erase(0, static_cast<std::size_t>(sent));
    }
    return true;
}

/// Reads on; false when there is nothing more now.
bool Resolver::fill(Connection& connection) {
    std::array<char, max_query + length_size> buffer{};
    const ssize_t size =
        ::recv(connection.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size > 0) {
        connection.in.append(buffer.data(), static_cast<std::size_t>(size));
        return true;
    }
    if (size == 0) connection.ended = true;
    if (size < 0 && !would_block()) connection.broken = true;
    return false;
}

/// Goes on with a connection until it has to wait for the client or for an answer.
void Resolver::move(Connection& connection) {
    if (connection.moving) return;  // answered at once, from within serve() below
    const std::uint64_t id = connection.id;
    connection.moving = true;
    while (drain(connection) && !connection.asked && connection.queries < max_queries) {
        const std::string& in = connection.in;
        const std::size_t size =
            in.size() < length_size
                ? 0
                : static_cast<std::size_t>(static_cast<unsigned char>(in[0]) << 8U |
                                           static_cast<unsigned char>(in[1]));
        if (in.size() >= length_size && size > max_query) {
            connection.broken = true;
            break;
        }
        if (in.size() < length_size || in.size() < length_size + size) {
            if (!fill(connection)) break;
            continue;
        }
        const std::string query = in.substr(length_size, size);
        connection.in.erase(0, length_size + size);
        connection.asked = true;
        ++connection.queries;
        serve({connection.container, {}, id}, bytes_of(query));
    }
    connection.moving = false;
    const bool finished = connection.ended || connection.queries >= max_queries;
    if (connection.broken || (finished && !connection.asked && connection.out.empty())) {
        close_connection(id);
    } else if (connection.asked) {
        clear_deadline(connection.deadline, Kind::connection, id);  // the forward has one
    } else if (connection.queries > 0) {
        set_deadline(connection.deadline, Kind::connection, id, idle_wait);
    }
}

}  // namespace dockerd::net

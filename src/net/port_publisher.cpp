#include "port_publisher.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "netns.hpp"
#include "socket_address.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

/// Source: moby bridge/port_mapping_linux.go, maxAllocatePortAttempts.
constexpr int max_attempts = 10;

/// Source: moby libnetwork/netutils, IsV6Listenable.
bool is_v6_listenable() {
    const base::Fd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!probe) return false;
    std::array<std::uint8_t, 16> one{};
    one[15] = 1;
    const SocketAddress loopback(IpAddress::v6(one), 0);
    return ::bind(probe.get(), loopback.get(), loopback.size()) == 0;
}

std::string address_in_brackets(const IpAddress& address) {
    return address.is_v6() ? "[" + address.str() + "]" : address.str();
}

/// Docker's order: exact ports before ranges, then container port, protocol, host ports, address.
auto order_of(const PortMapping& mapping) {
    const bool range = mapping.host_port == 0 || mapping.host_port != mapping.host_port_end;
    return std::tuple(range, mapping.container_port, mapping.protocol, mapping.host_port,
                      mapping.host_port_end, mapping.host_ip);
}

bool same_port(const PortMapping& a, const PortMapping& b) {
    return a.container_port == b.container_port && a.protocol == b.protocol &&
           a.host_port == b.host_port && a.host_port_end == b.host_port_end;
}

/// The IPv4 and IPv6 requests of one mapping, appended to `out`.
void expand(std::vector<PortRequest>& out, const PortMapping& mapping, const PublishTarget& target,
            bool proxy, bool v6_host) {
    PortRequest request{mapping.protocol, mapping.container_port, {},
                        mapping.host_ip,  mapping.host_port,      mapping.host_port_end};
    const IpAddress fallback = target.default_host_ip ? target.default_host_ip : IpAddress::v4(0);
    if (target.container4 && !mapping.host_ip.is_v6() && (mapping.host_ip || fallback.is_v4())) {
        request.container_ip = target.container4;
        request.host_ip = mapping.host_ip ? mapping.host_ip : fallback;
        // There is no choosing an address of the host's without translation.
        if (target.direct4) request.host_ip = IpAddress::v4(0);
        request.direct = target.direct4;
        out.push_back(request);
    }
    // Without an IPv6 address of its own a container gets the host's IPv6 by the proxy.
    const IpAddress container = target.container6          ? target.container6
                                : proxy && target.v6_to_v4 ? target.container4
                                                           : IpAddress();
    if (!container || mapping.host_ip.is_v4()) return;
    request.container_ip = container;
    request.host_ip = mapping.host_ip;
    if (!request.host_ip) {
        const bool any = fallback == IpAddress::v4(0);
        if (any && !v6_host) return;
        if (!any && fallback.is_v4()) return;
        request.host_ip = any ? IpAddress::v6({}) : fallback;
    }
    if (target.direct6) request.host_ip = IpAddress::v6({});
    request.direct = target.direct6;
    out.push_back(request);
}

/// A socket bound to the request's host address; it only reserves until somebody listens.
base::Fd bind_socket(const PortRequest& request, std::uint16_t port) {
    const bool six = request.host_ip.is_v6();
    int type = SOCK_STREAM;
    int protocol = IPPROTO_TCP;
    if (request.protocol == Protocol::udp) {
        type = SOCK_DGRAM;
        protocol = IPPROTO_UDP;
    } else if (request.protocol == Protocol::sctp) {
        protocol = IPPROTO_SCTP;
    }
    base::Fd socket(::socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, protocol));
    if (!socket) {
        base::throw_errno(errno, fmt::format("failed to create socket for userland proxy for {}",
                                             to_text(request)));
    }
    const int on = 1;
    // Connections of an earlier owner in TIME_WAIT do not block the port.
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (six) (void)::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (request.protocol == Protocol::udp) {
        // Answers must come from the address that was asked.
        (void)::setsockopt(socket.get(), six ? IPPROTO_IPV6 : IPPROTO_IP,
                           six ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof on);
    }
    if (request.host_ip.is_loopback()) {
        // Whoever routes packets for it here from outside is not heard, with or without firewall
        // rules. Not so where the loopback has another name.
        (void)::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo");
    }
    const SocketAddress address(request.host_ip, port);
    if (::bind(socket.get(), address.get(), address.size()) != 0) {
        const std::string which =
            request.host_port == request.host_port_end ? std::string() : fmt::format("{} ", port);
        base::throw_errno(
            errno, fmt::format("failed to bind host port {}for {}", which, to_text(request)));
    }
    return socket;
}

}  // namespace

std::uint16_t PortAllocator::take(const std::vector<IpAddress>& addresses, Protocol protocol,
                                  std::uint16_t start, std::uint16_t end) {
    const auto is_taken = [&](std::uint16_t port) {
        return std::ranges::find_if(addresses, [&](const IpAddress& address) {
            return taken_.contains({address, protocol, port});
        });
    };
    const auto mark = [&](std::uint16_t port) {
        for (const IpAddress& address : addresses) taken_[{address, protocol, port}] = true;
        return port;
    };
    if (start != 0 && start == end) {
        if (const auto owner = is_taken(start); owner != addresses.end()) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("Bind for {}:{} failed: port is already allocated", owner->str(),
                                   start));
        }
        return mark(start);
    }
    const std::uint16_t begin = start == 0 ? first_ : start;
    const std::uint16_t last = start == 0 ? last_ : end;
    const auto given = last_given_.find({addresses.front(), protocol, begin, last});
    std::uint32_t port = given == last_given_.end() ? last : given->second;
    for (std::uint32_t i = begin; i <= last; ++i) {
        port = port >= last ? begin : port + 1;
        const auto candidate = static_cast<std::uint16_t>(port);
        if (is_taken(candidate) != addresses.end()) continue;
        for (const IpAddress& address : addresses) {
            last_given_[{address, protocol, begin, last}] = candidate;
        }
        return mark(candidate);
    }
    base::fail(base::ErrorKind::internal, "all ports are allocated");
}

void PortAllocator::release(const IpAddress& address, Protocol protocol, std::uint16_t port) {
    taken_.erase({address, protocol, port});
}

std::string to_text(const PortRequest& request) {
    std::string out;
    if (request.host_ip) out = address_in_brackets(request.host_ip) + ":";
    if (request.host_port != 0) {
        out += std::to_string(request.host_port);
        if (request.host_port_end != 0 && request.host_port_end != request.host_port) {
            out += fmt::format("-{}", request.host_port_end);
        }
    }
    if (!out.empty()) out += ":";
    if (request.container_ip) out += address_in_brackets(request.container_ip) + ":";
    return out + fmt::format("{}/{}", request.container_port, protocol_name(request.protocol));
}

std::vector<std::vector<PortRequest>> plan_ports(std::vector<PortMapping> mappings,
                                                 const PublishTarget& target, bool proxy,
                                                 bool v6_host) {
    for (PortMapping& mapping : mappings) {
        if (mapping.host_port_end == 0) mapping.host_port_end = mapping.host_port;
    }
    std::ranges::stable_sort(mappings, {}, order_of);
    std::vector<std::vector<PortRequest>> out;
    std::vector<PortRequest> group;
    for (std::size_t i = 0; i < mappings.size(); ++i) {
        expand(group, mappings[i], target, proxy, v6_host);
        if (i + 1 < mappings.size() && same_port(mappings[i], mappings[i + 1])) continue;
        if (!group.empty()) out.push_back(std::move(group));
        group.clear();
    }
    return out;
}

PortPublisher::PortPublisher(bool proxy)
    : use_proxy_(proxy),
      v6_host_(is_v6_listenable()),
      allocator_(local_port_range().first, local_port_range().second) {}

std::vector<BoundPort> PortPublisher::try_group(const std::vector<PortRequest>& group) {
    const PortRequest& first = group.front();
    std::vector<IpAddress> addresses;
    for (const PortRequest& request : group) {
        if (!request.direct) addresses.push_back(request.host_ip);
    }
    std::uint16_t port = 0;
    if (!addresses.empty()) {
        const base::Lock lock(mutex_);
        port = allocator_.take(addresses, first.protocol, first.host_port, first.host_port_end);
    }
    std::vector<BoundPort> out;
    try {
        for (const PortRequest& request : group) {
            BoundPort bound;
            bound.port = {request.protocol, request.container_port, request.container_ip,
                          request.host_ip, request.direct ? std::uint16_t{0} : port};
            if (!request.direct) bound.socket = bind_socket(request, port);
            out.push_back(std::move(bound));
        }
    } catch (const base::Error&) {
        const base::Lock lock(mutex_);
        for (const IpAddress& address : addresses) {
            allocator_.release(address, first.protocol, port);
        }
        throw;
    }
    return out;
}

std::vector<BoundPort> PortPublisher::bind_group(const std::vector<PortRequest>& group) {
    const PortRequest& first = group.front();
    const bool chosen = first.host_port != 0 && first.host_port == first.host_port_end;
    for (int attempt = 1;; ++attempt) {
        try {
            return try_group(group);
        } catch (const base::Error& error) {
            // Someone else may hold the port the allocator proposed: it proposes another.
            if (chosen || attempt == max_attempts) throw;
            log::warn("Failed to allocate and map port: {}, retry: {}", error.what(), attempt);
        }
    }
}

std::vector<BoundPort> PortPublisher::bind(const std::vector<PortMapping>& mappings,
                                           const PublishTarget& target) {
    std::vector<BoundPort> out;
    try {
        for (const auto& group : plan_ports(mappings, target, use_proxy_, v6_host_)) {
            for (BoundPort& bound : bind_group(group)) out.push_back(std::move(bound));
        }
    } catch (const base::Error&) {
        release(out);
        throw;
    }
    return out;
}

std::vector<BoundPort> PortPublisher::bind_again(const std::vector<PublishedPort>& ports) {
    std::vector<BoundPort> out;
    for (const PublishedPort& port : ports) {
        BoundPort bound;
        bound.port = port;
        if (port.host_port == 0) {
            out.push_back(std::move(bound));
            continue;
        }
        try {
            {
                const base::Lock lock(mutex_);
                allocator_.take({port.host_ip}, port.protocol, port.host_port, port.host_port);
            }
            bound.socket = bind_socket({port.protocol, port.container_port, port.container_ip,
                                        port.host_ip, port.host_port, port.host_port},
                                       port.host_port);
        } catch (const base::Error& error) {
            log::warn("Failed to bind a running container's port again: {}", error.what());
        }
        out.push_back(std::move(bound));
    }
    return out;
}

void PortPublisher::serve(std::vector<BoundPort>& ports) {
    for (BoundPort& bound : ports) {
        if (!bound.socket) continue;
        // Without a proxy nothing is ever accepted, but the port shows up as listening.
        if (bound.port.protocol == Protocol::tcp &&
            ::listen(bound.socket.get(), use_proxy_ ? SOMAXCONN : 0) != 0) {
            base::throw_errno(errno, "failed to listen on TCP socket");
        }
        if (!use_proxy_ || bound.port.protocol == Protocol::sctp) continue;
        bound.proxy = proxy_.add(std::move(bound.socket), bound.port.protocol,
                                 bound.port.container_ip, bound.port.container_port);
    }
}

void PortPublisher::release(std::vector<BoundPort>& ports) noexcept {
    for (BoundPort& bound : ports) {
        if (bound.proxy != 0) proxy_.remove(bound.proxy);
        bound.socket.reset();
        if (bound.port.host_port == 0) continue;
        const base::Lock lock(mutex_);
        allocator_.release(bound.port.host_ip, bound.port.protocol, bound.port.host_port);
    }
    ports.clear();
}

}  // namespace dockerd::net

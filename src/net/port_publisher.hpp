#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/net/ports.hpp>

#include "port_proxy.hpp"

namespace dockerd::net {

/// Which host ports are given out. Nothing here touches the kernel.
///
/// Thread: the owner's lock.
/// Source: moby libnetwork/portallocator.
class PortAllocator {
public:
    /// `first` and `last` bound the ports given for 0.
    PortAllocator(std::uint16_t first, std::uint16_t last) : first_(first), last_(last) {}

    /// Takes one port from [start, end] that is free on every address; (0, 0) is any. Within a
    /// range it goes on behind the last one given.
    /// Throws: internal, "Bind for 0.0.0.0:80 failed: port is already allocated" or
    ///         "all ports are allocated".
    std::uint16_t take(const std::vector<IpAddress>& addresses, Protocol protocol,
                       std::uint16_t start, std::uint16_t end);
    void release(const IpAddress& address, Protocol protocol, std::uint16_t port);

private:
    using Key = std::tuple<IpAddress, Protocol, std::uint16_t>;
    using Range = std::tuple<IpAddress, Protocol, std::uint16_t, std::uint16_t>;

    std::uint16_t first_;
    std::uint16_t last_;
    std::map<Key, bool> taken_;
    std::map<Range, std::uint16_t> last_given_;
};

/// A mapping with everything decided but the host port.
struct PortRequest {
    Protocol protocol = Protocol::tcp;
    std::uint16_t container_port = 0;
    IpAddress container_ip;
    IpAddress host_ip;
    std::uint16_t host_port = 0;
    std::uint16_t host_port_end = 0;
    bool direct = false;  ///< no port of the host: who wants it routes to the container

    friend bool operator==(const PortRequest&, const PortRequest&) = default;
};

/// How an endpoint's ports are bound.
struct PublishTarget {
    IpAddress container4;
    IpAddress container6;
    bool v6_to_v4 = true;  ///< the host's IPv6 may lead to container4
    IpAddress default_host_ip;  ///< none is 0.0.0.0
    bool direct4 = false;       ///< gateway mode routed
    bool direct6 = false;
};

/// The requests `mappings` lead to, in groups that must get one host port together.
/// `proxy`: IPv6 of the host may lead to an IPv4 container. `v6_host`: the host has IPv6.
/// Source: moby bridge/port_mapping_linux.go, addPortMappings, cmpPortBinding, needSamePort.
std::vector<std::vector<PortRequest>> plan_ports(std::vector<PortMapping> mappings,
                                                 const PublishTarget& target, bool proxy,
                                                 bool v6_host);

/// "0.0.0.0:8080:172.17.0.2:80/tcp". Source: moby libnetwork/types, PortBinding.String.
std::string to_text(const PortRequest& request);

/// A published port with what holds it.
struct BoundPort {
    PublishedPort port;
    base::Fd socket;          ///< until serve; none with a host port of 0
    std::uint64_t proxy = 0;  ///< once served
};

/// Binds host ports and serves them.
///
/// Thread: safe.
class PortPublisher {
public:
    explicit PortPublisher(bool proxy);

    /// Reserves every port by binding it. Nothing is bound when it throws.
    /// Throws: internal, "Bind for ... failed: port is already allocated" or
    ///         "failed to bind host port for ...: address already in use".
    std::vector<BoundPort> bind(const std::vector<PortMapping>& mappings,
                                const PublishTarget& target);
    /// Binds just these again, after a restart. One that fails is logged and left to the kernel's
    /// translation.
    std::vector<BoundPort> bind_again(const std::vector<PublishedPort>& ports);
    /// Listens, and carries what the kernel cannot translate. After the firewall is set up: a
    /// connection accepted before would hang.
    void serve(std::vector<BoundPort>& ports);
    /// All are free on return.
    void release(std::vector<BoundPort>& ports) noexcept;

private:
    std::vector<BoundPort> bind_group(const std::vector<PortRequest>& group);
    std::vector<BoundPort> try_group(const std::vector<PortRequest>& group);

    bool use_proxy_;
    bool v6_host_;
    base::Mutex mutex_;
    PortAllocator allocator_;
    PortProxy proxy_;
};

}  // namespace dockerd::net

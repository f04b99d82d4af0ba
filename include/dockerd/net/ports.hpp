#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/model/container.hpp>
#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// The transport of a port, by its number in the IP header.
enum class Protocol : std::uint8_t { tcp = 6, udp = 17, sctp = 132 };

/// "tcp", "udp" or "sctp".
std::string_view protocol_name(Protocol protocol);
std::optional<Protocol> parse_protocol(std::string_view name);

/// "80/tcp", "80" (tcp) as (80, tcp).
///
/// What is no port, as a range ("3000-3005" of a compose file), is port 0: shown, never opened.
std::pair<std::uint16_t, Protocol> parse_container_port(std::string_view text);

/// One port a container asks to have published, in the form of the kernel's side of things.
struct PortMapping {
    Protocol protocol = Protocol::tcp;
    std::uint16_t container_port = 0;
    IpAddress host_ip;  ///< none: the daemon's default, on both families when that is 0.0.0.0
    std::uint16_t host_port = 0;      ///< 0: any free one of net.ipv4.ip_local_port_range
    std::uint16_t host_port_end = 0;  ///< last of a range; equal to host_port for a single port

    friend bool operator==(const PortMapping&, const PortMapping&) = default;
};

/// HostConfig.PortBindings as mappings, in the order of the map. A host port may be "", "8080" or
/// "8000-8010".
///
/// Throws: invalid_argument with Docker's text.
/// Source: moby daemon/container_operations.go and go-connections nat.ParsePortSpec.
std::vector<PortMapping> parse_port_bindings(const model::PortMap& bindings);

/// The mappings of a container: its PortBindings, and with `publish_all` every exposed port that
/// has none. `exposed` and the bindings use "80/tcp" keys.
std::vector<PortMapping> container_ports(const model::PortMap& bindings,
                                         const model::StringSet& exposed, bool publish_all);

/// A port that is published.
struct PublishedPort {
    Protocol protocol = Protocol::tcp;
    std::uint16_t container_port = 0;
    IpAddress container_ip;
    IpAddress host_ip;  ///< 0.0.0.0 and :: are two entries
    std::uint16_t host_port = 0;  ///< 0: reached by the container's own address only

    friend bool operator==(const PublishedPort&, const PublishedPort&) = default;
};

/// The `NetworkSettings.Ports` map: published ones with their bindings, those only exposed with a
/// null list. `exposed` holds "80/tcp" keys.
model::PortMap port_map(const std::vector<PublishedPort>& published,
                        const std::vector<std::string>& exposed);

}  // namespace dockerd::net

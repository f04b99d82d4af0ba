#include <dockerd/net/ports.hpp>

#include <algorithm>

#include <fmt/format.h>

#include <set>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::net {

namespace {

[[noreturn]] void invalid_port(std::string_view text) {
    base::fail(base::ErrorKind::invalid_argument,
               "invalid port specification: " + base::quote(text));
}

/// A number from 0 to 65535, digits only; nullopt otherwise.
std::optional<std::uint16_t> parse_number(std::string_view text) {
    const bool digits =
        !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    const auto number = digits ? base::parse_int(text) : std::nullopt;
    if (!number || *number > 65535) return std::nullopt;
    return static_cast<std::uint16_t>(*number);
}

/// "" is (0, 0), "80" is (80, 80), "80-90" is (80, 90); a "/tcp" behind it is ignored.
/// Source: go-connections nat, ParsePortRangeToInt and SplitProtoPort.
std::pair<std::uint16_t, std::uint16_t> parse_range(std::string_view text) {
    const std::string_view numbers = text.substr(0, text.find('/'));
    if (numbers.empty()) return {0, 0};
    const auto dash = numbers.find('-');
    const auto first = parse_number(numbers.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_number(numbers.substr(dash + 1));
    if (!first || !last || *last < *first) invalid_port(text);
    return {*first, *last};
}

}  // namespace

std::string_view protocol_name(Protocol protocol) {
    switch (protocol) {
        case Protocol::tcp:
            return "tcp";
        case Protocol::udp:
            return "udp";
        case Protocol::sctp:
            return "sctp";
    }
    return "";
}

std::optional<Protocol> parse_protocol(std::string_view name) {
    for (const Protocol protocol : {Protocol::tcp, Protocol::udp, Protocol::sctp}) {
        if (base::iequals(name, protocol_name(protocol))) return protocol;
    }
    return std::nullopt;
}

namespace {

std::string_view number_of(std::string_view port) { return port.substr(0, port.find('/')); }

/// Empty for one that does not exist.
std::optional<Protocol> protocol_of(std::string_view port) {
    const auto slash = port.find('/');
    if (slash == std::string_view::npos || slash + 1 == port.size()) return Protocol::tcp;
    return parse_protocol(port.substr(slash + 1));
}

}  // namespace

// Source: go-connections nat, Port.Int, which forgets its error.
std::pair<std::uint16_t, Protocol> parse_container_port(std::string_view text) {
    const auto port = parse_number(number_of(text));
    const auto protocol = protocol_of(text);
    if (!port || !protocol) return {0, protocol.value_or(Protocol::tcp)};
    return {*port, *protocol};
}

std::vector<PortMapping> parse_port_bindings(const model::PortMap& bindings) {
    std::vector<PortMapping> out;
    for (const auto& [key, list] : bindings) {
        if (!parse_number(number_of(key))) invalid_port(number_of(key));
        if (!protocol_of(key)) continue;  // never asked for by an endpoint of Docker's either
        const auto [port, protocol] = parse_container_port(key);
        for (const model::PortBinding& binding : list) {
            const auto [first, last] = parse_range(binding.host_port);
            // Text that is no address counts as none given, as Go's net.ParseIP has it.
            out.push_back({protocol, port, IpAddress::parse(binding.host_ip).value_or(IpAddress()),
                           first, last});
        }
    }
    return out;
}

std::vector<PortMapping> container_ports(const model::PortMap& bindings,
                                         const model::StringSet& exposed, bool publish_all) {
    std::set<std::pair<std::uint16_t, Protocol>> wanted;
    for (const auto& [key, empty] : exposed) wanted.insert(parse_container_port(key));
    std::set<std::pair<std::uint16_t, Protocol>> bound;
    std::vector<PortMapping> out;
    for (const PortMapping& mapping : parse_port_bindings(bindings)) {
        const std::pair port{mapping.container_port, mapping.protocol};
        if (!wanted.contains(port)) continue;
        bound.insert(port);
        out.push_back(mapping);
    }
    if (!publish_all) return out;
    for (const auto& [port, protocol] : wanted) {
        if (bound.contains({port, protocol}) || port == 0) continue;
        out.push_back({.protocol = protocol, .container_port = port});
    }
    return out;
}

model::PortMap port_map(const std::vector<PublishedPort>& published,
                        const std::vector<std::string>& exposed) {
    model::PortMap out;
    out.given = true;
    for (const std::string& key : exposed) {
        const auto [port, protocol] = parse_container_port(key);
        out[fmt::format("{}/{}", port, protocol_name(protocol))];
    }
    for (const PublishedPort& port : published) {
        auto& list = out[fmt::format("{}/{}", port.container_port, protocol_name(port.protocol))];
        list.given = true;
        list.push_back({port.host_ip.str(),
                        port.host_port == 0 ? std::string() : std::to_string(port.host_port)});
    }
    return out;
}

}  // namespace dockerd::net

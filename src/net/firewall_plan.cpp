#include "firewall_plan.hpp"

#include <set>
#include <string_view>

#include <fmt/format.h>

namespace dockerd::net {

namespace {

constexpr std::string_view forward_chain = "DOCKER-FORWARD";

const IpPrefix& subnet_of(const FirewallNetwork& network, NftFamily family) {
    return family == NftFamily::ip ? network.subnet4 : network.subnet6;
}

/// "-i docker0" and "! -i docker0" forms of iptables.
void append_match(std::string& text, bool negated, std::string_view option,
                  std::string_view value) {
    if (value.empty()) return;
    text += fmt::format("{} {} {}", negated ? " !" : "", option, value);
}

/// What keeps an internal network's packets inside.
/// Source: moby iptabler/network.go, setupInternalNetworkRules.
void plan_internal(std::vector<FilterRule>& out, const FirewallNetwork& network, NftFamily family) {
    const IpPrefix subnet = subnet_of(network, family).masked();
    FilterRule incoming{.chain = "DOCKER-ISOLATION-STAGE-1", .in = network.bridge};
    incoming.destination = subnet;
    incoming.destination_not = true;
    incoming.target = "DROP";
    FilterRule outgoing{.chain = "DOCKER-ISOLATION-STAGE-1", .out = network.bridge};
    outgoing.source = subnet;
    outgoing.source_not = true;
    outgoing.target = "DROP";
    if (family == NftFamily::ip6) {
        incoming.out = network.bridge;
        incoming.out_not = true;
        outgoing.in = network.bridge;
        outgoing.in_not = true;
    }
    out.push_back(std::move(outgoing));
    out.push_back(std::move(incoming));
}

/// What a network with a way to the outside needs after the isolation chains.
void plan_external(std::vector<FilterRule>& out, const FirewallNetwork& network, Access access) {
    const std::string& bridge = network.bridge;
    out.push_back({.chain = "DOCKER-ISOLATION-STAGE-1",
                   .in = bridge,
                   .out = bridge,
                   .out_not = true,
                   .target = "DOCKER-ISOLATION-STAGE-2"});
    out.push_back({.chain = "DOCKER-ISOLATION-STAGE-2", .out = bridge, .target = "DROP"});
    out.push_back({.chain = "DOCKER-CT", .out = bridge, .established = true, .target = "ACCEPT"});
    out.push_back({.chain = "DOCKER-BRIDGE", .out = bridge, .target = "DOCKER"});
    switch (access) {
        case Access::translated:
            // Differs from Docker: one rule for every translated connection instead of one a port.
            // New rules cost more than elements of a set, and grow with every port.
            out.push_back({.chain = "DOCKER",
                           .in = bridge,
                           .in_not = true,
                           .out = bridge,
                           .translated = true,
                           .target = "ACCEPT"});
            break;
        case Access::routed:
            out.push_back({.chain = "DOCKER", .out = bridge, .icmp = true, .target = "ACCEPT"});
            break;
        case Access::open:
            break;
    }
    out.push_back({.chain = "DOCKER",
                   .in = bridge,
                   .in_not = true,
                   .out = bridge,
                   .target = access == Access::open ? "ACCEPT" : "DROP"});
}

/// A routed network is reached from other networks by its published ports, and answers them.
/// Source: moby iptabler/network.go, setINC.
void plan_routed(std::vector<FilterRule>& out, const FirewallNetwork& network) {
    out.push_back({.chain = "DOCKER-ISOLATION-STAGE-1",
                   .in = network.bridge,
                   .established = true,
                   .target = "ACCEPT"});
    out.push_back(
        {.chain = "DOCKER-ISOLATION-STAGE-1", .out = network.bridge, .target = "RETURN"});
}

/// Traffic among the network's own containers, and out of it.
void plan_forward(std::vector<FilterRule>& out, const FirewallNetwork& network) {
    const std::string& bridge = network.bridge;
    if (!network.icc) {
        out.push_back({.chain = "DOCKER-FORWARD", .in = bridge, .out = bridge, .target = "DROP"});
    }
    if (network.internal) {
        if (network.icc) {
            out.push_back(
                {.chain = "DOCKER-FORWARD", .in = bridge, .out = bridge, .target = "ACCEPT"});
        }
        return;
    }
    FilterRule leave{.chain = "DOCKER-FORWARD", .in = bridge};
    if (!network.icc) {
        leave.out = bridge;
        leave.out_not = true;
    }
    leave.target = "ACCEPT";
    out.push_back(std::move(leave));
}

}  // namespace

std::string to_text(const FilterRule& rule) {
    std::string text = "-A " + rule.chain;
    append_match(text, rule.source_not, "-s", rule.source.str());
    append_match(text, rule.destination_not, "-d", rule.destination.str());
    append_match(text, rule.in_not, "-i", rule.in);
    append_match(text, rule.out_not, "-o", rule.out);
    if (rule.protocol) {
        const auto name = protocol_name(*rule.protocol);
        const bool source = rule.source_port != 0;
        text += fmt::format(" -p {} -m {} --{} {}", name, name, source ? "sport" : "dport",
                            source ? rule.source_port : rule.destination_port);
    }
    if (rule.icmp) text += " -p icmp";
    if (rule.translated) text += " -m conntrack --ctstate DNAT";
    if (rule.established) text += " -m conntrack --ctstate RELATED,ESTABLISHED";
    return text + " -j " + rule.target;
}

PortSpan ports_apart_from(PortSpan local) {
    constexpr std::uint16_t first_unprivileged = 1024;
    constexpr std::uint16_t last = 65535;
    const auto size = [](PortSpan span) { return span.last - span.first + 1; };
    if (local.first > first_unprivileged) {
        const PortSpan below{first_unprivileged, static_cast<std::uint16_t>(local.first - 1)};
        if (size(below) >= size(local)) return below;
    }
    if (local.last < last) {
        const PortSpan above{static_cast<std::uint16_t>(local.last + 1), last};
        if (size(above) >= size(local)) return above;
    }
    return {};
}

std::vector<std::string> filter_chains() {
    return {"DOCKER",
            "DOCKER-BRIDGE",
            "DOCKER-CT",
            "DOCKER-FORWARD",
            "DOCKER-ISOLATION-STAGE-1",
            "DOCKER-ISOLATION-STAGE-2"};
}

std::vector<std::string> plan_way_in(const std::vector<std::string>& jumps,
                                     const std::string& suffix) {
    std::vector<std::string> out{"DOCKER-USER"};
    if (!suffix.empty()) {
        std::set<std::string> daemons{suffix};
        for (const std::string& jump : jumps) {
            if (jump.starts_with(forward_chain)) daemons.insert(jump.substr(forward_chain.size()));
        }
        for (const char* chain : {"DOCKER-CT", "DOCKER-ISOLATION-STAGE-1", "DOCKER-BRIDGE"}) {
            for (const std::string& daemon : daemons) out.push_back(chain + daemon);
        }
    }
    out.push_back(std::string(forward_chain) + suffix);
    return out;
}

bool leads_in(const std::vector<std::string>& jumps, const std::vector<std::string>& way) {
    if (jumps.empty() || jumps.front() != way.front()) return false;
    std::size_t step = 0;
    for (const std::string& jump : jumps) {
        if (jump == way[step] && ++step == way.size()) return true;
        // Before a chain that accepts all others on the way must have come.
        if (jump.starts_with(forward_chain) && step + 1 < way.size()) return false;
        if (!jump.starts_with("DOCKER-")) return false;
    }
    return false;
}

std::vector<FilterRule> plan_filter(NftFamily family,
                                    const std::vector<FirewallNetwork>& networks) {
    std::vector<FilterRule> out;
    for (const char* chain : {"DOCKER-CT", "DOCKER-ISOLATION-STAGE-1", "DOCKER-BRIDGE"}) {
        out.push_back({.chain = "DOCKER-FORWARD", .target = chain});
    }
    // The drops of internal networks stand before the others in their chain.
    for (const FirewallNetwork& network : networks) {
        if (network.internal && subnet_of(network, family)) plan_internal(out, network, family);
    }
    for (const FirewallNetwork& network : networks) {
        const bool routed = network.access(family) == Access::routed && !network.internal;
        if (routed && subnet_of(network, family)) plan_routed(out, network);
    }
    for (const FirewallNetwork& network : networks) {
        if (!subnet_of(network, family)) continue;
        if (!network.internal) plan_external(out, network, network.access(family));
        plan_forward(out, network);
    }
    return out;
}

std::optional<FilterRule> plan_port_filter(const FirewallNetwork& network,
                                           const PublishedPort& published,
                                           const FirewallOptions& options) {
    // A port of the host's other family is carried by the proxy, and so never forwarded.
    if (published.container_ip.family() != published.host_ip.family()) return std::nullopt;
    switch (network.access(family_of(published.container_ip))) {
        case Access::translated:
            if (!options.allow_direct_routing && network.trusted_interfaces.empty()) {
                return std::nullopt;
            }
            break;
        case Access::open:
            return std::nullopt;
        case Access::routed:
            break;
    }
    FilterRule rule{
        .chain = "DOCKER", .in = network.bridge, .in_not = true, .out = network.bridge};
    rule.destination = {published.container_ip, published.container_ip.bits()};
    rule.protocol = published.protocol;
    rule.destination_port = published.container_port;
    rule.target = "ACCEPT";
    return rule;
}

std::vector<FilterRule> plan_link(const FirewallNetwork& network, const ContainerLink& link) {
    const IpPrefix parent{link.parent, link.parent.bits()};
    const IpPrefix child{link.child, link.child.bits()};
    FilterRule there{.chain = "DOCKER", .in = network.bridge, .out = network.bridge};
    there.protocol = link.protocol;
    there.target = "ACCEPT";
    FilterRule back = there;
    there.source = parent;
    there.destination = child;
    there.destination_port = link.port;
    back.source = child;
    back.destination = parent;
    back.source_port = link.port;
    return {there, back};
}

std::vector<SourceRule> plan_source(NftFamily family, const std::vector<FirewallNetwork>& networks,
                                    bool hairpin) {
    std::vector<SourceRule> out;
    for (const FirewallNetwork& network : networks) {
        const IpPrefix& subnet = subnet_of(network, family);
        if (!subnet || network.internal) continue;
        const IpAddress& to = family == NftFamily::ip ? network.snat4 : network.snat6;
        if (hairpin) {
            out.push_back({.source = {}, .bridge = network.bridge, .out_not = false, .to = to});
        }
        if (network.masquerade && network.access(family) != Access::routed) {
            out.push_back({.source = subnet.masked(), .bridge = network.bridge, .to = to});
        }
    }
    return out;
}

std::vector<SetElement> plan_endpoint(const FirewallNetwork& network, const IpAddress& address,
                                      const FirewallOptions& options) {
    std::vector<SetElement> out;
    if (!address || network.internal) return out;
    if (options.hairpin) {
        out.push_back({"self", NftData().address(address).address(address), std::nullopt});
    }
    const bool guarded = network.access(family_of(address)) == Access::translated;
    if (options.allow_direct_routing || !guarded) return out;
    out.push_back({"guarded", NftData().address(address), std::nullopt});
    out.push_back({"direct", NftData().address(address).interface(network.bridge), std::nullopt});
    for (const std::string& name : network.trusted_interfaces) {
        out.push_back({"direct", NftData().address(address).interface(name), std::nullopt});
    }
    return out;
}

bool is_on_loopback(const PublishedPort& published) {
    return published.host_port != 0 && published.host_ip.is_v4() &&
           published.container_ip.is_v4() &&
           (published.host_ip.is_unspecified() || published.host_ip.is_loopback());
}

std::vector<SetElement> plan_port(const FirewallNetwork& network, const PublishedPort& published,
                                  const FirewallOptions& options) {
    std::vector<SetElement> out;
    if (published.host_port == 0) return out;  // nothing is translated
    const auto protocol = static_cast<std::uint8_t>(published.protocol);
    if (options.loopback && !network.routes_loopback && is_on_loopback(published)) {
        out.push_back({"by_proxy", NftData().protocol(protocol).port(published.host_port),
                       std::nullopt});
    }
    if (published.host_ip.is_loopback() && published.host_ip.is_v4()) {
        out.push_back(
            {"loopback_ports",
             NftData().address(published.host_ip).protocol(protocol).port(published.host_port),
             std::nullopt});
    }
    if (published.container_ip.family() != published.host_ip.family()) return out;
    const NftData to = NftData().address(published.container_ip).port(published.container_port);
    if (published.host_ip.is_unspecified()) {
        out.push_back({"ports_any", NftData().protocol(protocol).port(published.host_port), to});
    } else {
        out.push_back(
            {"ports_one",
             NftData().address(published.host_ip).protocol(protocol).port(published.host_port),
             to});
    }
    return out;
}

std::vector<SetElement> plan_network(NftFamily family, const FirewallNetwork& network,
                                     const FirewallOptions& options) {
    std::vector<SetElement> out;
    const NftData bridge = NftData().interface(network.bridge);
    if (!options.hairpin && !network.internal) out.push_back({"not_translated", bridge, std::nullopt});
    if (options.hairpin || (options.loopback && !network.internal)) {
        out.push_back({"localnet", bridge, std::nullopt});
    }
    if (family == NftFamily::ip && options.loopback && !network.internal && network.address4) {
        out.push_back({"loopback_sources", bridge, NftData().address(network.address4)});
    }
    return out;
}

}  // namespace dockerd::net

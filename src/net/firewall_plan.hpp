#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/net/address.hpp>
#include <dockerd/net/ports.hpp>

#include "nft.hpp"

namespace dockerd::net {

/// Who reaches a network's containers from outside.
enum class Access {
    translated,  ///< by published ports of the host
    open,        ///< by these, and by every port of the container's address
    routed,      ///< by published ports of the container's address
};

/// A bridge network as the firewall sees it.
struct FirewallNetwork {
    std::string id;
    std::string bridge;
    IpPrefix subnet4;
    IpPrefix subnet6;
    IpAddress address4;  ///< of the bridge, when it was made with it
    bool internal = false;
    bool icc = true;
    bool masquerade = true;
    IpAddress snat4;  ///< com.docker.network.host_ipv4; none masquerades
    IpAddress snat6;
    Access access4 = Access::translated;
    Access access6 = Access::translated;
    std::vector<std::string> trusted_interfaces;
    bool own_bridge = false;      ///< made by an engine, not the user's
    bool routes_loopback = true;  ///< the bridge can lead to the host's 127.0.0.0/8 and back

    [[nodiscard]] Access access(NftFamily family) const {
        return family == NftFamily::ip ? access4 : access6;
    }
};

/// Ports from the first to the last; a first one of 0: any.
struct PortSpan {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    friend bool operator==(const PortSpan&, const PortSpan&) = default;
};

/// Ports that connections of the host never have by themselves, as many of them as of those that they
/// have (`local`); any where there are not.
PortSpan ports_apart_from(PortSpan local);

/// What holds for all networks.
struct FirewallOptions {
    bool ipv4 = true;
    bool ipv6 = true;
    bool hairpin = false;  ///< no userland proxy: loopback and same-bridge traffic is translated
    bool allow_direct_routing = false;
    /// Connections from 127.0.0.0/8 to published ports are translated, with a proxy beside. The kernel
    /// then lets packets for 127.0.0.0/8 in from a bridge (route_localnet), and only the guard keeps
    /// containers from the host's loopback. So it is for guards that nobody can take away.
    bool loopback = false;
    /// What these connections have on the bridge. The host's own connections to the container come from
    /// the same address, and the kernel's clocks differ between any two ways (TCP timestamps): who has
    /// the address and port of another one that has just ended looks like its past to the container,
    /// is not answered, and tries again a second later.
    PortSpan loopback_sources;
};

/// A rule of the filter table in iptables' own terms.
struct FilterRule {
    std::string chain;
    std::string in;
    bool in_not = false;
    std::string out;
    bool out_not = false;
    IpPrefix source;
    bool source_not = false;
    IpPrefix destination;
    bool destination_not = false;
    std::optional<Protocol> protocol;
    std::uint16_t destination_port = 0;
    std::uint16_t source_port = 0;  ///< instead of the destination's
    bool icmp = false;         ///< the family's ICMP; without `protocol`
    bool established = false;  ///< --ctstate RELATED,ESTABLISHED
    bool translated = false;   ///< --ctstate DNAT
    std::string target;        ///< ACCEPT, DROP, RETURN or a chain

    friend bool operator==(const FilterRule&, const FilterRule&) = default;
};

/// The rule as iptables-save writes it, but "icmp" in both families: for logs and tests.
std::string to_text(const FilterRule& rule);

/// A rule of our own table's chain that gives packets leaving a network the host's address.
struct SourceRule {
    IpPrefix source;     ///< none: packets of the host itself
    std::string bridge;  ///< out_not: leaving through anything else, else leaving through it
    bool out_not = true;
    IpAddress to;  ///< none: masquerade

    friend bool operator==(const SourceRule&, const SourceRule&) = default;
};

/// The chains of the filter table that are ours, in no particular order.
/// Source: moby libnetwork/drivers/bridge/internal/iptabler.
std::vector<std::string> filter_chains();

/// The jumps FORWARD is to begin with, for the daemon whose chains have that suffix: DOCKER-USER first, its
/// own chain last. `jumps` are the targets of the rules there are. With several daemons in a network
/// namespace none accepts what another one drops: the second brings, for all, the chains that drop, behind
/// those that know connections, before all that accept what leaves a bridge.
std::vector<std::string> plan_way_in(const std::vector<std::string>& jumps,
                                     const std::string& suffix);
/// Whether `jumps` lead that way already; other daemons' may be between.
bool leads_in(const std::vector<std::string>& jumps, const std::vector<std::string>& way);

/// All rules of those chains for one family, in order.
std::vector<FilterRule> plan_filter(NftFamily family, const std::vector<FirewallNetwork>& networks);

/// The rule that lets packets to a published port in that came without translation; it goes to
/// the head of DOCKER. nullopt where that cannot be: without trusted interfaces the guard drops
/// them earlier, and translated packets have a rule of the network's.
std::optional<FilterRule> plan_port_filter(const FirewallNetwork& network,
                                           const PublishedPort& published,
                                           const FirewallOptions& options);

/// What a container (`parent`) that is linked to another may send it though the bridge's containers are kept
/// from each other, and the answers.
struct ContainerLink {
    IpAddress parent;
    IpAddress child;
    Protocol protocol = Protocol::tcp;
    std::uint16_t port = 0;  ///< of the child

    friend bool operator==(const ContainerLink&, const ContainerLink&) = default;
};

/// Source: moby libnetwork/iptables, ChainInfo.Link.
std::vector<FilterRule> plan_link(const FirewallNetwork& network, const ContainerLink& link);

/// The source translation of one family.
std::vector<SourceRule> plan_source(NftFamily family, const std::vector<FirewallNetwork>& networks,
                                    bool hairpin);

/// An element of one of our sets.
struct SetElement {
    std::string set;
    NftData key;
    std::optional<NftData> data;

    friend bool operator==(const SetElement&, const SetElement&) = default;
};

/// The elements that keep others from reaching a container's address directly.
std::vector<SetElement> plan_endpoint(const FirewallNetwork& network, const IpAddress& address,
                                      const FirewallOptions& options);

/// Whether connections of the host's own loopback lead to the port.
bool is_on_loopback(const PublishedPort& published);

/// The elements of a published port: its translation, and the loopback guard.
std::vector<SetElement> plan_port(const FirewallNetwork& network, const PublishedPort& published,
                                  const FirewallOptions& options);

/// The elements of a network: who is not translated because the proxy serves it, and where packets from
/// and for the host's loopback may be on the way, which are none of the containers'.
std::vector<SetElement> plan_network(NftFamily family, const FirewallNetwork& network,
                                     const FirewallOptions& options);

}  // namespace dockerd::net

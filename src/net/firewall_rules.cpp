#include "firewall_rules.hpp"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/rtnetlink.h>

#include <array>
#include <bit>
#include <span>

namespace dockerd::net {

namespace {

// netinet/in.h does not go with what xt_*.h include.
constexpr std::uint8_t icmp_number = 1;
constexpr std::uint8_t icmpv6_number = 58;
/// The kernel's xt_sctp_info; its own header is not C++.
/// Source: include/uapi/linux/netfilter/xt_sctp.h.
struct SctpMatch {
    std::uint16_t destination_ports[2];
    std::uint16_t source_ports[2];
    std::uint32_t chunk_map[8];
    std::uint32_t chunk_match_type;
    std::uint8_t flag_info[4][3];
    int flag_count;
    std::uint32_t flags;
    std::uint32_t inverted_flags;
};
constexpr std::uint32_t sctp_source_ports = 1;
constexpr std::uint32_t sctp_destination_ports = 2;

constexpr std::array<std::uint8_t, 4> word(std::uint32_t value) {
    return std::bit_cast<std::array<std::uint8_t, 4>>(value);
}

/// Offsets of the network header.
struct Header {
    unsigned source, destination, size;
    explicit Header(NftFamily family)
        : source(family == NftFamily::ip ? 12 : 8),
          destination(family == NftFamily::ip ? 16 : 24),
          size(family == NftFamily::ip ? 4 : 16) {}
    [[nodiscard]] unsigned words() const { return size / 4; }
};

NftType address_type(NftFamily family) {
    return family == NftFamily::ip ? NftType::ipv4_addr : NftType::ipv6_addr;
}

IpPrefix loopback_of(NftFamily family) {
    return *IpPrefix::parse(family == NftFamily::ip ? "127.0.0.0/8" : "::1/128");
}

/// Loads transport protocol and destination port into `reg` and the one after it.
void load_port(NftBatch& batch, unsigned reg) {
    batch.load_meta(NFT_META_L4PROTO, reg);
    batch.load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 1);
}

}  // namespace

void add_sets(NftBatch& batch, NftFamily family, std::string_view own_table) {
    const NftType address = address_type(family);
    const std::array guarded{address};
    const std::array direct{address, NftType::ifname};
    const std::array any{NftType::inet_proto, NftType::inet_service};
    const std::array one{address, NftType::inet_proto, NftType::inet_service};
    const std::array to{address, NftType::inet_service};
    const std::array interface { NftType::ifname };
    batch.add_set(family, own_table, "guarded", guarded);
    batch.add_set(family, own_table, "direct", direct);
    const std::array self{address, address};
    batch.add_set(family, own_table, "self", self);
    batch.add_set(family, own_table, "loopback_ports", one);
    batch.add_set(family, own_table, "not_translated", interface);
    batch.add_set(family, own_table, "by_proxy", any);
    batch.add_set(family, own_table, "localnet", interface);
    batch.add_set(family, own_table, "loopback_sources", interface, guarded);
    batch.add_set(family, own_table, "ports_any", any, to);
    batch.add_set(family, own_table, "ports_one", one, to);
}

/// Before routing: a container's address answers only to its own bridge, a port published on
/// loopback only to the host.
/// Source: moby iptabler/endpoint.go, filterDirectAccess; port.go, filterPortMappedOnLoopback.
void add_guards(NftBatch& batch, NftFamily family, std::string_view own_table) {
    const Header header(family);
    batch.add_base_chain(family, own_table, "guard", "filter", NF_INET_PRE_ROUTING, -300);
    batch.begin_rule(family, own_table, "guard", NftBatch::Place::last);
    batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, header.destination, header.size, 0);
    batch.lookup("guarded", 0);
    batch.load_meta(NFT_META_IIFNAME, header.words());
    batch.lookup("direct", 0, /*inverted=*/true);
    batch.counter();
    batch.verdict(NF_DROP);
    batch.end_rule();
    if (family != NftFamily::ip) return;
    batch.begin_rule(family, own_table, "guard", NftBatch::Place::last);
    batch.match_interface(/*incoming=*/true, /*equal=*/false, "lo");
    batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, header.destination, header.size, 0);
    load_port(batch, header.words());
    batch.lookup("loopback_ports", 0);
    batch.counter();
    batch.verdict(NF_DROP);
    batch.end_rule();
    // What the kernel drops itself while route_localnet is off.
    for (const bool source : {true, false}) {
        batch.begin_rule(family, own_table, "guard", NftBatch::Place::last);
        batch.match_address(family, source, /*equal=*/true, loopback_of(family));
        batch.load_meta(NFT_META_IIFNAME, 0);
        batch.lookup("localnet", 0);
        batch.counter();
        batch.verdict(NF_DROP);
        batch.end_rule();
    }
}

namespace {

/// One rule that looks a published port up and translates to what the map says.
void add_translation(NftBatch& batch, NftFamily family, std::string_view own_table,
                     bool with_address) {
    const Header header(family);
    batch.begin_rule(family, own_table, "dnat", NftBatch::Place::last);
    unsigned reg = 0;
    if (with_address) {
        batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, header.destination, header.size, 0);
        reg = header.words();
    }
    load_port(batch, reg);
    batch.lookup_map(with_address ? "ports_one" : "ports_any", 0, 0);
    batch.dnat(family, 0, header.words());
    batch.end_rule();
}

/// The hook chain that sends packets for the host's own addresses to `dnat`.
void add_dnat_hook(NftBatch& batch, NftFamily family, std::string_view own_table,
                   std::string_view name, unsigned hook, bool skip_loopback) {
    batch.add_base_chain(family, own_table, name, "nat", hook, -100);
    batch.begin_rule(family, own_table, name, NftBatch::Place::last);
    if (skip_loopback) batch.match_address(family, false, false, loopback_of(family));
    batch.load_fib_daddr_type(0);
    batch.compare(true, 0, word(RTN_LOCAL));
    batch.verdict(NFT_JUMP, "dnat");
    batch.end_rule();
}

}  // namespace

void add_dnat(NftBatch& batch, NftFamily family, std::string_view own_table,
              const FirewallOptions& options) {
    batch.add_chain(family, own_table, "dnat");
    batch.begin_rule(family, own_table, "dnat", NftBatch::Place::last);
    batch.load_meta(NFT_META_IIFNAME, 0);
    batch.lookup("not_translated", 0);
    batch.verdict(NFT_RETURN);
    batch.end_rule();
    if (family == NftFamily::ip6) {
        // Link-local neighbours could not be answered from the container's address.
        // Source: moby iptabler/port.go, setPerPortNAT.
        batch.begin_rule(family, own_table, "dnat", NftBatch::Place::last);
        batch.match_address(family, true, true, *IpPrefix::parse("fe80::/10"));
        batch.verdict(NFT_RETURN);
        batch.end_rule();
    }
    const bool loopback = options.loopback && family == NftFamily::ip;
    if (loopback) {
        batch.begin_rule(family, own_table, "dnat", NftBatch::Place::last);
        batch.match_address(family, /*source=*/false, /*equal=*/true, loopback_of(family));
        load_port(batch, 0);
        batch.lookup("by_proxy", 0);
        batch.verdict(NFT_RETURN);
        batch.end_rule();
    }
    add_translation(batch, family, own_table, true);
    add_translation(batch, family, own_table, false);
    add_dnat_hook(batch, family, own_table, "nat-prerouting", NF_INET_PRE_ROUTING, false);
    add_dnat_hook(batch, family, own_table, "nat-output", NF_INET_LOCAL_OUT,
                  !options.hairpin && !loopback);
}

void add_source_rule(NftBatch& batch, NftFamily family, std::string_view own_table,
                     const SourceRule& rule, const RulePlace& place) {
    batch.begin_rule(family, own_table, "nat-postrouting", place.where, 0, place.neighbour);
    if (rule.source) {
        batch.match_address(family, true, true, rule.source);
    } else {
        batch.load_fib_saddr_type(0);
        batch.compare(true, 0, word(RTN_LOCAL));
    }
    batch.match_interface(/*incoming=*/false, !rule.out_not, rule.bridge);
    batch.counter();
    if (rule.to) {
        batch.load_immediate(0, std::span(rule.to.data(), rule.to.size()));
        batch.snat(family, 0);
    } else {
        batch.masquerade();
    }
    batch.end_rule();
}

namespace {

/// Connections of the host's loopback to a container: that sees the bridge's address, as with the proxy.
void add_loopback_sources(NftBatch& batch, NftFamily family, std::string_view own_table,
                          const PortSpan& ports) {
    const auto begin = [&] {
        batch.begin_rule(family, own_table, "nat-postrouting", NftBatch::Place::last);
        batch.match_address(family, /*source=*/true, /*equal=*/true, loopback_of(family));
        batch.load_meta(NFT_META_OIFNAME, 0);
    };
    if (ports.first != 0) {
        begin();
        batch.lookup_map("loopback_sources", 0, 0);
        unsigned reg = 1;
        for (const std::uint16_t port : {ports.first, ports.last}) {
            batch.load_immediate(reg++, std::array{static_cast<std::uint8_t>(port >> 8U),
                                                   static_cast<std::uint8_t>(port & 0xffU)});
        }
        batch.snat(family, 0, 1, 2);
        batch.end_rule();
    }
    begin();
    batch.lookup("localnet", 0);
    batch.masquerade();
    batch.end_rule();
}

}  // namespace

void add_postrouting(NftBatch& batch, NftFamily family, std::string_view own_table,
                     const FirewallOptions& options) {
    batch.add_base_chain(family, own_table, "nat-postrouting", "nat", NF_INET_POST_ROUTING, 100);
    if (options.loopback && family == NftFamily::ip) {
        add_loopback_sources(batch, family, own_table, options.loopback_sources);
    }
    if (options.hairpin) {
        // A container that reaches its own published port must see another sender.
        const Header header(family);
        batch.begin_rule(family, own_table, "nat-postrouting", NftBatch::Place::last);
        batch.load_ct_status(0);
        batch.bits_and(0, word(IPS_DST_NAT));
        batch.compare(false, 0, word(0));
        batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, header.source, header.size, 0);
        batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, header.destination, header.size,
                           header.words());
        batch.lookup("self", 0);
        batch.masquerade();
        batch.end_rule();
    }
}

namespace {

/// iptables' -p and --dport, in the form every version of iptables-nft can list.
void match_protocol(NftBatch& batch, NftFamily family, std::uint8_t number) {
    if (family == NftFamily::ip) {
        batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, 9, 1, 0);
    } else {
        batch.load_meta(NFT_META_L4PROTO, 0);
    }
    batch.compare(true, 0, std::span(&number, 1));
}

void match_port(NftBatch& batch, NftFamily family, const FilterRule& rule) {
    match_protocol(batch, family, static_cast<std::uint8_t>(*rule.protocol));
    const bool by_source = rule.source_port != 0;
    const std::uint16_t low[] = {rule.source_port, rule.destination_port};
    const std::uint16_t high[] = {by_source ? rule.source_port : std::uint16_t{65535},
                                  by_source ? std::uint16_t{65535} : rule.destination_port};
    switch (*rule.protocol) {
        case Protocol::tcp: {
            const xt_tcp info{.spts = {low[0], high[0]}, .dpts = {low[1], high[1]}};
            batch.xt_match("tcp", 0, &info, sizeof info);
            return;
        }
        case Protocol::udp: {
            const xt_udp info{.spts = {low[0], high[0]}, .dpts = {low[1], high[1]}};
            batch.xt_match("udp", 0, &info, sizeof info);
            return;
        }
        case Protocol::sctp: {
            const SctpMatch info{
                .destination_ports = {low[1], high[1]},
                .source_ports = {low[0], high[0]},
                .flags = by_source ? sctp_source_ports : sctp_destination_ports};
            batch.xt_match("sctp", 0, &info, sizeof info);
            return;
        }
    }
}

}  // namespace

void add_filter_rule(NftBatch& batch, NftFamily family, const FilterRule& rule,
                     const RulePlace& place) {
    batch.begin_rule(family, filter_table, rule.chain, place.where,
                     rule.protocol ? static_cast<std::uint8_t>(*rule.protocol) : 0,
                     place.neighbour);
    // In the order iptables writes it, which is the only one some versions read back.
    if (!rule.in.empty()) batch.match_interface(true, !rule.in_not, rule.in);
    if (!rule.out.empty()) batch.match_interface(false, !rule.out_not, rule.out);
    if (rule.source) batch.match_address(family, true, !rule.source_not, rule.source);
    if (rule.destination) {
        batch.match_address(family, false, !rule.destination_not, rule.destination);
    }
    if (rule.protocol) match_port(batch, family, rule);
    if (rule.icmp) {
        match_protocol(batch, family, family == NftFamily::ip ? icmp_number : icmpv6_number);
    }
    if (rule.established || rule.translated) {
        xt_conntrack_mtinfo3 info{};
        info.match_flags = XT_CONNTRACK_STATE;
        info.state_mask = rule.translated ? XT_CONNTRACK_STATE_DNAT
                                          : XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) |
                                                XT_CONNTRACK_STATE_BIT(IP_CT_RELATED);
        batch.xt_match("conntrack", 3, &info, sizeof info);
    }
    batch.counter();
    if (rule.target == "ACCEPT") {
        batch.verdict(NF_ACCEPT);
    } else if (rule.target == "DROP") {
        batch.verdict(NF_DROP);
    } else if (rule.target == "RETURN") {
        batch.verdict(NFT_RETURN);
    } else {
        batch.verdict(NFT_JUMP, rule.target);
    }
    batch.end_rule();
}

}  // namespace dockerd::net

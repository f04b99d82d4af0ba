#include "firewall.hpp"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::net {

namespace log = base::log;

namespace {

// netinet/in.h does not go with what xt_*.h include.
constexpr std::uint8_t icmp_number = 1;
constexpr std::uint8_t icmpv6_number = 58;
constexpr const char* first_table = "docker-bridges";
/// Not in all headers. Source: include/uapi/linux/netfilter/nf_tables.h.
constexpr std::uint32_t table_owned = 2;       ///< NFT_TABLE_F_OWNER, since Linux 5.12
constexpr std::uint32_t table_persistent = 4;  ///< NFT_TABLE_F_PERSIST, since Linux 6.9
/// How many daemons can have a table of their own in one network namespace.
constexpr int most_tables = 9;
constexpr std::string_view filter_table = "filter";
constexpr std::string_view user_chain = "DOCKER-USER";
constexpr const char* forward_chain = "DOCKER-FORWARD";

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
}

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

void add_dnat(NftBatch& batch, NftFamily family, std::string_view own_table, bool hairpin) {
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
    add_translation(batch, family, own_table, true);
    add_translation(batch, family, own_table, false);
    add_dnat_hook(batch, family, own_table, "nat-prerouting", NF_INET_PRE_ROUTING, false);
    add_dnat_hook(batch, family, own_table, "nat-output", NF_INET_LOCAL_OUT, !hairpin);
}

void add_source_rule(NftBatch& batch, NftFamily family, std::string_view own_table,
                     const SourceRule& rule) {
    batch.begin_rule(family, own_table, "nat-postrouting", NftBatch::Place::last);
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

void add_postrouting(NftBatch& batch, NftFamily family, std::string_view own_table,
                     const std::vector<FirewallNetwork>& networks, bool hairpin) {
    batch.add_base_chain(family, own_table, "nat-postrouting", "nat", NF_INET_POST_ROUTING, 100);
    if (hairpin) {
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
    for (const SourceRule& rule : plan_source(family, networks, hairpin)) {
        add_source_rule(batch, family, own_table, rule);
    }
}

/// iptables' -p and --dport, in the form every version of iptables-nft can list.
void match_protocol(NftBatch& batch, NftFamily family, std::uint8_t number) {
    if (family == NftFamily::ip) {
        batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, 9, 1, 0);
    } else {
        batch.load_meta(NFT_META_L4PROTO, 0);
    }
    batch.compare(true, 0, std::span(&number, 1));
}

void match_port(NftBatch& batch, NftFamily family, Protocol protocol, std::uint16_t port) {
    match_protocol(batch, family, static_cast<std::uint8_t>(protocol));
    switch (protocol) {
        case Protocol::tcp: {
            const xt_tcp info{.spts = {0, 65535}, .dpts = {port, port}};
            batch.xt_match("tcp", 0, &info, sizeof info);
            return;
        }
        case Protocol::udp: {
            const xt_udp info{.spts = {0, 65535}, .dpts = {port, port}};
            batch.xt_match("udp", 0, &info, sizeof info);
            return;
        }
        case Protocol::sctp: {
            const SctpMatch info{.destination_ports = {port, port},
                                 .source_ports = {0, 65535},
                                 .flags = sctp_destination_ports};
            batch.xt_match("sctp", 0, &info, sizeof info);
            return;
        }
    }
}

void add_filter_rule(NftBatch& batch, NftFamily family, const FilterRule& rule,
                     NftBatch::Place place) {
    batch.begin_rule(family, filter_table, rule.chain, place,
                     rule.protocol ? static_cast<std::uint8_t>(*rule.protocol) : 0);
    // In the order iptables writes it, which is the only one some versions read back.
    if (!rule.in.empty()) batch.match_interface(true, !rule.in_not, rule.in);
    if (!rule.out.empty()) batch.match_interface(false, !rule.out_not, rule.out);
    if (rule.source) batch.match_address(family, true, !rule.source_not, rule.source);
    if (rule.destination) {
        batch.match_address(family, false, !rule.destination_not, rule.destination);
    }
    if (rule.protocol) match_port(batch, family, *rule.protocol, rule.destination_port);
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

/// The rule in the chains of the daemon with that suffix.
FilterRule named(FilterRule rule, const std::string& suffix) {
    const std::vector<std::string> ours = filter_chains();
    for (std::string* name : {&rule.chain, &rule.target}) {
        if (std::ranges::find(ours, *name) != ours.end()) *name += suffix;
    }
    return rule;
}

}  // namespace

Firewall::Firewall(FirewallOptions options) : options_(options), socket_(NETLINK_NETFILTER) {}

bool Firewall::enabled(NftFamily family) const {
    return family == NftFamily::ip ? options_.ipv4 : options_.ipv6;
}

std::vector<NftFamily> Firewall::families() const {
    std::vector<NftFamily> out;
    if (options_.ipv4) out.push_back(NftFamily::ip);
    if (options_.ipv6) out.push_back(NftFamily::ip6);
    return out;
}

void Firewall::build_filter(NftBatch& batch, NftFamily family) {
    bool accepts = true;
    const auto forward = list_rules(socket_, family, filter_table, "FORWARD", &accepts);
    bool& dropped = forward_dropped_[family == NftFamily::ip ? 0 : 1];
    batch.add_table(family, filter_table);
    if (!forward) {
        batch.add_base_chain(family, filter_table, "FORWARD", "filter", NF_INET_FORWARD, 0,
                             /*accept=*/!dropped);
    } else if (accepts) {
        dropped = false;  // the administrator's decision, which a flush does not undo
    }
    batch.add_chain(family, filter_table, user_chain);
    for (const std::string& chain : filter_chains()) {
        batch.add_chain(family, filter_table, chain + suffix_);
        batch.flush_chain(family, filter_table, chain + suffix_);
    }
    // Left alone when it is so already.
    const auto present = forward.value_or(std::vector<NftRuleHead>());
    std::vector<std::string> jumps;
    for (const NftRuleHead& rule : present) jumps.push_back(rule.jump);
    std::vector<std::string> way = plan_way_in(jumps, suffix_);
    if (!leads_in(jumps, way)) {
        for (const NftRuleHead& rule : present) {
            if (std::ranges::find(way, rule.jump) != way.end()) {
                batch.delete_rule(family, filter_table, "FORWARD", rule.handle);
            }
        }
        std::ranges::reverse(way);
        for (const std::string& target : way) {
            add_filter_rule(batch, family, {.chain = "FORWARD", .target = target},
                            NftBatch::Place::first);
        }
    }
    for (const FilterRule& rule : plan_filter(family, networks_)) {
        add_filter_rule(batch, family, named(rule, suffix_), NftBatch::Place::last);
    }
}

void Firewall::rebuild_family(NftBatch& batch, NftFamily family) {
    // Adding before deleting: the deletion then never fails, and all of it is one step.
    batch.add_table(family, table_);
    batch.delete_table(family, table_);
    batch.add_table(family, table_, table_flags_);
    add_sets(batch, family, table_);
    add_guards(batch, family, table_);
    add_dnat(batch, family, table_, options_.hairpin);
    add_postrouting(batch, family, table_, networks_, options_.hairpin);
    for (const FirewallNetwork& network : networks_) {
        for (const SetElement& element : plan_network(network, options_)) {
            batch.add_element(family, table_, element.set, element.key);
        }
    }
    build_filter(batch, family);
}

std::vector<std::pair<NftFamily, SetElement>> Firewall::elements(const Endpoint& endpoint) const {
    std::vector<std::pair<NftFamily, SetElement>> out;
    for (const IpAddress& address : endpoint.addresses) {
        if (!enabled(family_of(address))) continue;
        for (SetElement& element : plan_endpoint(endpoint.network, address, options_)) {
            out.emplace_back(family_of(address), std::move(element));
        }
    }
    for (const PublishedPort& port : endpoint.ports) {
        if (!enabled(family_of(port.host_ip)) || endpoint.network.internal) continue;
        for (SetElement& element : plan_port(port)) {
            out.emplace_back(family_of(port.host_ip), std::move(element));
        }
    }
    return out;
}

void Firewall::add_port_rules(NftBatch& batch, Endpoint& endpoint) const {
    endpoint.rules.clear();
    if (endpoint.network.internal) return;
    for (const PublishedPort& port : endpoint.ports) {
        const NftFamily family = family_of(port.host_ip);
        const auto rule = plan_port_filter(endpoint.network, port, options_);
        if (!rule || !enabled(family)) continue;
        // The rule's number in the transaction stands in for the handle until it is known.
        const std::size_t index = batch.rule_count();
        add_filter_rule(batch, family, named(*rule, suffix_), NftBatch::Place::first);
        endpoint.rules.emplace_back(family, index);
    }
}

void Firewall::rebuild_locked() {
    NftBatch batch(/*want_handles=*/true);
    for (const NftFamily family : families()) rebuild_family(batch, family);
    for (auto& [id, endpoint] : endpoints_) {
        for (const auto& [family, element] : elements(endpoint)) {
            batch.add_element(family, table_, element.set, element.key,
                              element.data ? &*element.data : nullptr);
        }
        add_port_rules(batch, endpoint);
    }
    std::vector<std::uint64_t> handles;
    batch.commit(socket_, &handles);
    for (auto& [id, endpoint] : endpoints_) {
        for (auto& [family, rule] : endpoint.rules) rule = handles[rule];
    }
}

/// Builds everything, in tables that no other program can flush or delete while this daemon lives, and
/// that stay when it dies: the next one takes them over. Kernels that do not know such have ordinary
/// ones. A second daemon in the same network namespace has tables and chains of other names; its tables
/// go with it, for nobody would know whose they were.
void Firewall::claim_tables() {
    table_ = first_table;
    suffix_.clear();
    table_flags_ = table_owned | table_persistent;
    for (int number = 2;; ++number) {
        try {
            return rebuild_locked();
        } catch (const base::Error& error) {
            if (error.errno_value() != EPERM || number > most_tables) {
                if (table_flags_ == 0 || error.errno_value() == EPERM) throw;
                log::debug("nf_tables without owners of tables: {}", error.what());
                table_flags_ = 0;
                continue;
            }
        }
        suffix_ = fmt::format("-{}", number);
        table_ = first_table + suffix_;
        table_flags_ = table_owned;
    }
}

void Firewall::start(std::vector<FirewallNetwork> networks) {
    const base::Lock lock(mutex_);
    networks_ = std::move(networks);
    try {
        claim_tables();
    } catch (const base::Error& error) {
        if (!options_.ipv6 || !options_.ipv4) throw;
        // A kernel without IPv6 must not keep IPv4 from working.
        log::warn("ip6tables is enabled, but cannot set up ip6tables chains: {}", error.what());
        options_.ipv6 = false;
        claim_tables();
    }
    started_ = true;
}

void Firewall::add_network(const FirewallNetwork& network) {
    const base::Lock lock(mutex_);
    networks_.push_back(network);
    if (!started_) return;
    try {
        rebuild_locked();
    } catch (const base::Error&) {
        networks_.pop_back();
        throw;
    }
}

void Firewall::remove_network(const std::string& id) {
    const base::Lock lock(mutex_);
    std::erase_if(networks_, [&](const FirewallNetwork& network) { return network.id == id; });
    if (started_) rebuild_locked();
}

void Firewall::rebuild() {
    const base::Lock lock(mutex_);
    if (started_) rebuild_locked();
}

bool Firewall::is_damage(const NftRemoval& removal, const std::string& suffix) {
    if (removal.family != NftFamily::ip && removal.family != NftFamily::ip6) return false;
    if (removal.table == first_table + suffix) return true;
    if (removal.table != filter_table) return false;
    switch (removal.kind) {
        case NftRemoval::Kind::table:
            return true;
        case NftRemoval::Kind::set:
            return false;
        case NftRemoval::Kind::chain:
        case NftRemoval::Kind::rule:
            break;
    }
    if (std::ranges::any_of(filter_chains(), [&](const std::string& chain) {
            return removal.chain == chain + suffix;
        })) {
        return true;
    }
    // What users have in their chain is theirs, and so are their rules in FORWARD.
    if (removal.kind == NftRemoval::Kind::chain) {
        return removal.chain == "FORWARD" || removal.chain == user_chain;
    }
    if (removal.chain != "FORWARD") return false;
    if (removal.jump == user_chain || removal.jump == forward_chain + suffix) return true;
    // A second daemon has more of them, also for the first one's sake.
    return !suffix.empty() && std::ranges::any_of(filter_chains(), [&](const std::string& chain) {
        return removal.jump == chain || removal.jump == chain + suffix;
    });
}

std::string Firewall::suffix() {
    const base::Lock lock(mutex_);
    return suffix_;
}

std::uint32_t Firewall::port_id() {
    const base::Lock lock(mutex_);
    return socket_.port_id();
}

void Firewall::add(const FirewallNetwork& network, const std::string& endpoint_id,
                   const std::vector<IpAddress>& addresses,
                   const std::vector<PublishedPort>& ports) {
    const base::Lock lock(mutex_);
    Endpoint endpoint{network, addresses, ports, {}};
    if (!started_) {
        endpoints_.insert_or_assign(endpoint_id, std::move(endpoint));
        return;
    }
    NftBatch batch(/*want_handles=*/true);
    for (const auto& [family, element] : elements(endpoint)) {
        batch.add_element(family, table_, element.set, element.key,
                          element.data ? &*element.data : nullptr);
    }
    add_port_rules(batch, endpoint);
    try {
        std::vector<std::uint64_t> handles;
        batch.commit(socket_, &handles);
        for (auto& [family, rule] : endpoint.rules) rule = handles[rule];
        endpoints_.insert_or_assign(endpoint_id, std::move(endpoint));
    } catch (const base::Error& error) {
        // Most likely someone flushed the tables: build all of it, this endpoint included.
        log::debug("nf_tables refused an endpoint ({}), rebuilding", error.what());
        endpoints_.insert_or_assign(endpoint_id, std::move(endpoint));
        try {
            rebuild_locked();
        } catch (const base::Error&) {
            endpoints_.erase(endpoint_id);
            throw;
        }
    }
}

void Firewall::remove(const std::string& endpoint_id) noexcept {
    try {
        const base::Lock lock(mutex_);
        const auto found = endpoints_.find(endpoint_id);
        if (found == endpoints_.end()) return;
        const Endpoint endpoint = std::move(found->second);
        endpoints_.erase(found);
        if (!started_) return;
        NftBatch batch;
        for (const auto& [family, element] : elements(endpoint)) {
            batch.delete_element(family, table_, element.set, element.key);
        }
        for (const auto& [family, handle] : endpoint.rules) {
            batch.delete_rule(family, filter_table, "DOCKER" + suffix_, handle);
        }
        try {
            batch.commit(socket_);
        } catch (const base::Error& error) {
            log::debug("nf_tables refused a removal ({}), rebuilding", error.what());
            rebuild_locked();
        }
    } catch (const std::exception& error) {
        log::warn("remove firewall rules, ignoring: {}", error.what());
    }
}

void Firewall::make_forward_dropped(NftFamily family) {
    const base::Lock lock(mutex_);
    forward_dropped_[family == NftFamily::ip ? 0 : 1] = true;
}

void Firewall::drop_forward(NftFamily family) {
    const base::Lock lock(mutex_);
    if (!enabled(family)) return;
    NftBatch batch;
    batch.set_policy(family, filter_table, "FORWARD", /*accept=*/false);
    batch.commit(socket_);
    forward_dropped_[family == NftFamily::ip ? 0 : 1] = true;
}

}  // namespace dockerd::net

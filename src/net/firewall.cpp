#include "firewall.hpp"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "firewall_rules.hpp"
#include "netns.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

constexpr const char* first_table = "docker-bridges";
constexpr std::string_view user_chain = "DOCKER-USER";
constexpr const char* forward_chain = "DOCKER-FORWARD";

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
        for (SetElement& element : plan_port(endpoint.network, port, options_)) {
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
        add_filter_rule(batch, family, named(*rule), {NftBatch::Place::first});
        endpoint.rules.emplace_back(family, index);
    }
}

void Firewall::add_link_rules(NftBatch& batch, Link& link) const {
    link.rules.clear();
    for (const FilterRule& rule : plan_link(link.network, link.what)) {
        link.rules.push_back(batch.rule_count());
        add_filter_rule(batch, NftFamily::ip, named(rule), {NftBatch::Place::last});
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
    close_left_open();
    started_ = true;
}

void Firewall::add_network(const FirewallNetwork& network) {
    const base::Lock lock(mutex_);
    networks_.push_back(network);
    if (!started_) return;
    NftBatch batch(/*want_handles=*/true);
    for (const NftFamily family : families()) {
        for (const SetElement& element : plan_network(family, network, options_)) {
            batch.add_element(family, table_, element.set, element.key,
                              element.data ? &*element.data : nullptr);
        }
    }
    try {
        change_locked(batch);
    } catch (const base::Error&) {
        networks_.pop_back();
        throw;
    }
}

void Firewall::remove_network(const std::string& id) {
    const base::Lock lock(mutex_);
    const auto found = std::ranges::find(networks_, id, &FirewallNetwork::id);
    if (found == networks_.end()) return;
    const FirewallNetwork network = std::move(*found);
    networks_.erase(found);
    if (!started_) return;
    NftBatch batch(/*want_handles=*/true);
    for (const NftFamily family : families()) {
        for (const SetElement& element : plan_network(family, network, options_)) {
            batch.delete_element(family, table_, element.set, element.key);
        }
    }
    change_locked(batch);
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

namespace {

std::string localnet_sysctl(const std::string& bridge) {
    return fmt::format("net/ipv4/conf/{}/route_localnet", bridge);
}

}  // namespace

bool Firewall::is_on_loopback(const Endpoint& endpoint) const {
    return options_.loopback && endpoint.network.routes_loopback && !endpoint.network.internal &&
           std::ranges::any_of(endpoint.ports, net::is_on_loopback);
}

/// Lets the kernel carry packets between the bridge and 127.0.0.0/8, once the guards stand.
void Firewall::open_loopback(const Endpoint& endpoint) {
    const std::string& bridge = endpoint.network.bridge;
    if (!is_on_loopback(endpoint)) return;
    if (read_sysctl(localnet_sysctl(bridge)) == '1') {
        // Of a container that lives already: a daemon before did it.
        if (!started_) opened_bridges_.insert(bridge);
        return;
    }
    if (write_sysctl(localnet_sysctl(bridge), "1")) {
        opened_bridges_.insert(bridge);
    } else {
        log::warn("published ports of {} are not on the loopback: {}", bridge,
                  base::errno_text(errno));
    }
}

void Firewall::close_loopback(const std::string& bridge) noexcept {
    const bool used = std::ranges::any_of(endpoints_, [&](const auto& entry) {
        return entry.second.network.bridge == bridge && is_on_loopback(entry.second);
    });
    if (used || opened_bridges_.erase(bridge) == 0) return;
    (void)write_sysctl(localnet_sysctl(bridge), "0");  // the bridge may be gone
}

Firewall::~Firewall() {
    const base::Lock lock(mutex_);
    const bool leaves = started_ && !suffix_.empty() && endpoints_.empty();
    endpoints_.clear();
    while (!opened_bridges_.empty()) close_loopback(std::string(*opened_bridges_.begin()));
    if (!leaves) return;
    for (const NftFamily family : families()) {
        try {
            NftBatch batch;
            withdraw(batch, family);
            batch.commit(socket_);
        } catch (const std::exception& error) {
            log::debug("chains of this daemon stay: {}", error.what());
        }
    }
}

/// A daemon that was killed closes nothing; its containers may have ended since.
void Firewall::close_left_open() noexcept {
    for (const FirewallNetwork& network : networks_) {
        if (!network.own_bridge || !options_.loopback) continue;
        if (read_sysctl(localnet_sysctl(network.bridge)) != '1') continue;
        opened_bridges_.insert(network.bridge);
        close_loopback(network.bridge);
    }
}

void Firewall::add(const FirewallNetwork& network, const std::string& endpoint_id,
                   const std::vector<IpAddress>& addresses,
                   const std::vector<PublishedPort>& ports) {
    const base::Lock lock(mutex_);
    Endpoint endpoint{network, addresses, ports, {}};
    // Where the setting cannot be changed the proxy carries these connections.
    endpoint.network.routes_loopback = network.routes_loopback && !ports.empty() &&
                                       can_write_sysctl(localnet_sysctl(network.bridge));
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
        open_loopback(endpoint);
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

void Firewall::add_link(const FirewallNetwork& network, const ContainerLink& what) {
    const base::Lock lock(mutex_);
    if (!options_.ipv4 || network.icc || !what.parent.is_v4() || !what.child.is_v4()) return;
    if (std::ranges::find(links_, what, &Link::what) != links_.end()) return;
    links_.push_back({network, what, {}});
    if (!started_) return;
    try {
        NftBatch batch(/*want_handles=*/true);
        add_link_rules(batch, links_.back());
        std::vector<std::uint64_t> handles;
        try {
            batch.commit(socket_, &handles);
        } catch (const base::Error& error) {
            log::debug("nf_tables refused a link ({}), rebuilding", error.what());
            return rebuild_locked();
        }
        for (std::uint64_t& rule : links_.back().rules) rule = handles[rule];
    } catch (const base::Error&) {
        links_.pop_back();
        throw;
    }
}

void Firewall::remove_links(const IpAddress& parent, const IpAddress& child) noexcept {
    try {
        const base::Lock lock(mutex_);
        NftBatch batch;
        erase_links(batch, [&](const Link& link) {
            return link.what.parent == parent && link.what.child == child;
        });
        if (started_ && !batch.empty()) commit_removal(batch);
    } catch (const std::exception& error) {
        log::warn("remove firewall rules, ignoring: {}", error.what());
    }
}

template <typename Predicate>
void Firewall::erase_links(NftBatch& batch, Predicate predicate) {
    std::erase_if(links_, [&](const Link& link) {
        if (!predicate(link)) return false;
        for (const std::uint64_t handle : link.rules) {
            batch.delete_rule(NftFamily::ip, filter_table, "DOCKER" + suffix_, handle);
        }
        return true;
    });
}

void Firewall::commit_removal(NftBatch& batch) {
    try {
        batch.commit(socket_);
    } catch (const base::Error& error) {
        log::debug("nf_tables refused a removal ({}), rebuilding", error.what());
        rebuild_locked();
    }
}

void Firewall::remove(const std::string& endpoint_id, bool keep_links) noexcept {
    try {
        const base::Lock lock(mutex_);
        const auto found = endpoints_.find(endpoint_id);
        if (found == endpoints_.end()) return;
        const Endpoint endpoint = std::move(found->second);
        endpoints_.erase(found);
        NftBatch batch;
        // The address may be another container's next.
        if (!keep_links) {
            erase_links(batch, [&](const Link& link) {
                return link.network.id == endpoint.network.id &&
                       std::ranges::any_of(endpoint.addresses, [&](const IpAddress& address) {
                           return address == link.what.parent || address == link.what.child;
                       });
            });
        }
        if (!started_) return;
        for (const auto& [family, element] : elements(endpoint)) {
            batch.delete_element(family, table_, element.set, element.key);
        }
        for (const auto& [family, handle] : endpoint.rules) {
            batch.delete_rule(family, filter_table, "DOCKER" + suffix_, handle);
        }
        close_loopback(endpoint.network.bridge);
        commit_removal(batch);
    } catch (const std::exception& error) {
        log::warn("remove firewall rules, ignoring: {}", error.what());
    }
}

void Firewall::make_forward_dropped(NftFamily family) {
    const base::Lock lock(mutex_);
    forward_dropped_[index_of(family)] = true;
}

void Firewall::drop_forward(NftFamily family) {
    const base::Lock lock(mutex_);
    if (!enabled(family)) return;
    bool accepts = true;
    // Ours was made so.
    if (!list_rules(socket_, family, filter_table, "FORWARD", &accepts) || accepts) {
        NftBatch batch;
        batch.set_policy(family, filter_table, "FORWARD", /*accept=*/false);
        batch.commit(socket_);
    }
    forward_dropped_[index_of(family)] = true;
}

}  // namespace dockerd::net

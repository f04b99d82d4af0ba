#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/sys/netlink.hpp>

#include "firewall_plan.hpp"

namespace dockerd::net {

/// A rule as it stands in the kernel.
template <typename Rule>
struct PlacedRule {
    Rule rule;
    std::uint64_t handle = 0;
};

/// The packet filter of all bridge networks, as nf_tables.
///
/// Translation and the guards before routing live in tables of our own, `ip docker-bridges` and
/// `ip6 docker-bridges`, as sets and maps: publishing a port adds elements. Where the kernel can do
/// that, other programs cannot change these, and a flush of everything leaves them alone. What must hold
/// against a forward policy of the host, and what users steer through DOCKER-USER, lives in
/// iptables' filter tables with Docker's chains, written so that iptables lists it.
/// Every operation is one atomic transaction. The first daemon's rules stay when the object goes.
///
/// Thread: safe.
class Firewall {
public:
    explicit Firewall(FirewallOptions options);
    Firewall(const Firewall&) = delete;
    Firewall& operator=(const Firewall&) = delete;
    /// The tables stay, for containers may live; but from here on anybody can take the guards away. A second
    /// daemon in the namespace takes its chains along, unless it has containers that go on.
    ~Firewall();

    /// Replaces everything of ours by what `networks` and the endpoints added so far need. Before
    /// it, calls only collect.
    void start(std::vector<FirewallNetwork> networks);
    void add_network(const FirewallNetwork& network);
    void remove_network(const std::string& id);

    /// One container's addresses on a network, with its ports; nothing remains when it throws.
    void add(const FirewallNetwork& network, const std::string& endpoint_id,
             const std::vector<IpAddress>& addresses, const std::vector<PublishedPort>& ports);
    /// Takes an endpoint's elements and rules away again, and the links from and to it unless they are to
    /// stay. Never throws; logs.
    void remove(const std::string& endpoint_id, bool keep_links = false) noexcept;
    /// Lets a container reach another one's port where the network keeps its containers from each other; else
    /// nothing is needed. The rules go with either end. IPv4 only, as with Docker.
    void add_link(const FirewallNetwork& network, const ContainerLink& what);
    void remove_links(const IpAddress& parent, const IpAddress& child) noexcept;

    /// Forward policy DROP. Source: moby bridge/setup_ip_forwarding.go.
    void drop_forward(NftFamily family);
    /// The policy a chain gets that is not there, because somebody flushed it.
    void make_forward_dropped(NftFamily family);
    /// Puts everything back: after another program flushed or deleted it.
    void rebuild();
    /// Whether somebody took away what is ours, or what leads to it.
    static bool is_damage(const NftRemoval& removal, const std::string& suffix = {});
    /// What distinguishes the names of this daemon's tables and chains: "", "-2" for a second one in the
    /// namespace. It does not change after start().
    [[nodiscard]] std::string suffix();
    /// The number under which the kernel tells others of our own changes.
    [[nodiscard]] std::uint32_t port_id();

private:
    struct Endpoint {
        FirewallNetwork network;
        std::vector<IpAddress> addresses;
        std::vector<PublishedPort> ports;
        std::vector<std::pair<NftFamily, std::uint64_t>> rules;  ///< handles in DOCKER
    };

    struct Link {
        FirewallNetwork network;
        ContainerLink what;
        std::vector<std::uint64_t> rules;  ///< handles in DOCKER
    };

    /// The rules of a family that networks have, as they stand in the kernel.
    struct Built {
        std::map<std::string, std::vector<PlacedRule<FilterRule>>> filter;  ///< by chain, without suffix
        std::vector<PlacedRule<SourceRule>> source;
    };

    static std::size_t index_of(NftFamily family) { return family == NftFamily::ip ? 0 : 1; }
    [[nodiscard]] FilterRule named(FilterRule rule) const;
    void change_locked(NftBatch& batch);
    void claim_tables();
    void rebuild_locked();
    void rebuild_family(NftBatch& batch, NftFamily family);
    std::optional<std::vector<NftRuleHead>> list_forward(NftFamily family);
    void build_filter(NftBatch& batch, NftFamily family);
    void withdraw(NftBatch& batch, NftFamily family);
    std::vector<std::pair<NftFamily, SetElement>> elements(const Endpoint& endpoint) const;
    void add_port_rules(NftBatch& batch, Endpoint& endpoint) const;
    void add_link_rules(NftBatch& batch, Link& link) const;
    template <typename Predicate>
    void erase_links(NftBatch& batch, Predicate predicate);
    void commit_removal(NftBatch& batch);
    [[nodiscard]] bool is_on_loopback(const Endpoint& endpoint) const;
    void open_loopback(const Endpoint& endpoint);
    void close_loopback(const std::string& bridge) noexcept;
    void close_left_open() noexcept;
    [[nodiscard]] bool enabled(NftFamily family) const;
    [[nodiscard]] std::vector<NftFamily> families() const;

    base::Mutex mutex_;
    FirewallOptions options_;
    sys::NetlinkSocket socket_;  ///< the owner of the tables, for the kernel
    std::string table_;          ///< of our own: translation and guards
    std::uint32_t table_flags_ = 0;
    std::string suffix_;
    std::vector<FirewallNetwork> networks_;
    std::array<Built, 2> built_;  ///< by family, IPv4 and IPv6
    bool known_ = false;          ///< what `built_` says is true
    std::map<std::string, Endpoint> endpoints_;
    std::vector<Link> links_;
    std::set<std::string> opened_bridges_;  ///< those whose route_localnet was off before
    bool started_ = false;
    /// By family, IPv4 and IPv6: the policy is ours, and stood when it was looked at last.
    bool forward_dropped_[2] = {false, false};
};

}  // namespace dockerd::net

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/net/networks.hpp>

#include "announcer.hpp"
#include "conntrack.hpp"
#include "firewall.hpp"
#include "firewall_watch.hpp"
#include "forward_drop.hpp"
#include "ipam.hpp"
#include "link.hpp"
#include "link_remover.hpp"
#include "names/resolver.hpp"
#include "port_publisher.hpp"
#include "sublink.hpp"

namespace dockerd::net {

/// A network's addresses of one family.
struct NetworkSubnet {
    IpPrefix subnet;
    IpPrefix range;  ///< where addresses are given from; none: the whole subnet
    IpAddress gateway;
    unsigned gateway_bits = 0;  ///< of an IPAM driver, which may say other than the subnet; 0: as that
    std::map<std::string, IpAddress> aux;
    bool configured = false;          ///< the user named the subnet
    bool gateway_configured = false;  ///< and the gateway
    bool taken = false;               ///< the pool is this network's, to be released with it
    std::string pool_id;              ///< the IPAM driver's name of it; "" when it is our own

    /// What the network's end of a link has.
    [[nodiscard]] IpPrefix gateway_prefix() const {
        return gateway ? IpPrefix{gateway, gateway_bits == 0 ? subnet.bits : gateway_bits}
                       : IpPrefix();
    }
};

/// The subnet of `subnets` that has `address`; null when none has.
const NetworkSubnet* find_subnet(const std::vector<NetworkSubnet>& subnets,
                                 const IpAddress& address);

/// An auxiliary address, which was parsed before. Throws: permission_denied, when it is not the subnet's.
IpAddress aux_address(const NetworkSubnet& subnet, const std::string& name, const std::string& text);

/// How a bridge network's addresses of one family meet the world.
/// Source: moby bridge/bridge_linux.go, gwMode.
enum class GatewayMode {
    standard,         ///< not said: as nat
    nat,              ///< published ports are translated, all others closed
    nat_unprotected,  ///< ... and all others open to who has a route
    routed,           ///< no translation: published ports are reached by the container's address
    isolated,         ///< the bridge has no address; internal networks only
};

/// What the bridge driver makes of a network's options.
/// Source: moby bridge/bridge_linux.go, networkConfiguration.fromLabels.
struct BridgeSettings {
    std::string name;  ///< of the bridge device
    int mtu = 0;
    bool icc = true;
    bool masquerade = true;
    bool default_bridge = false;
    bool inhibit_ipv4 = false;
    GatewayMode mode4 = GatewayMode::standard;
    GatewayMode mode6 = GatewayMode::standard;
    IpAddress binding_ip;
    IpAddress snat4;
    IpAddress snat6;
    std::string interface_prefix = "eth";
    std::vector<std::string> trusted_interfaces;
    int creator = 0;  ///< 1: the device is ours, 2: it was there

    /// Whether the bridge itself answers in this family.
    [[nodiscard]] bool has_address(bool v6) const {
        return (v6 ? mode6 : mode4) != GatewayMode::isolated && (v6 || !inhibit_ipv4);
    }
};

/// A network as it stands.
struct Network {
    NetworkRecord record;
    BridgeSettings bridge;
    /// In the order they were asked for. A bridge has at most one of a family.
    std::vector<NetworkSubnet> v4;
    std::vector<NetworkSubnet> v6;
    int bridge_index = 0;
    std::optional<SublinkSettings> sublink;  ///< of a macvlan or ipvlan network
    bool plugin = false;                     ///< the driver is another program
    bool ipam_plugin = false;                ///< and so is who keeps the addresses
    std::string space = "LocalDefault";      ///< of the addresses, in the IPAM driver's words
    /// The text a record was loaded from, for drivers we only keep.
    std::map<std::string, std::string> foreign;
    /// Who had an address last: others may still remember that MAC.
    std::map<IpAddress, MacAddress> last_macs;
    Announcing announcing;
    bool deleting = false;

    /// Nobody is there who could be the gateway: no address is set aside for one.
    [[nodiscard]] bool is_without_gateway(bool ipv6) const;
};

/// Throws: invalid_argument, "failed to parse <option> value: ..."; internal, for a mode that the
///         network cannot have.
BridgeSettings parse_bridge_options(const model::StringMap& options, bool internal = false);
/// Of a bridge whose name nobody chose.
std::string own_bridge_name(const NetworkRecord& record);
/// Whether no other program is looked for.
bool is_builtin_driver(std::string_view driver);
bool is_builtin_ipam(std::string_view driver);
/// The prefix with the lowest number that none of the container's interfaces has.
std::string free_interface(const struct SandboxState& sandbox, const std::string& prefix);
/// The option's value; "" for the standard mode.
std::string_view gateway_mode_name(GatewayMode mode);

/// Refuses what a bridge with these settings and addresses cannot be.
/// Throws: permission_denied, invalid_argument with Docker's texts.
void validate_bridge(const Network& network);

/// Source: moby api/types/network/ipam.go, ValidateIPAM.
void validate_ipam(const model::Ipam& ipam, bool enable_ipv6);

/// Refuses what a configuration network, or one made from it, may not say.
void check_configuration(const model::NetworkCreate& request, const NetworkRecord& record);

/// The configurations of a family, in the request's order.
std::vector<model::IpamConfig> configs_of(const model::NetworkCreate& request, bool v6);

/// Records in local-kv.db's own form, and back. Keys as in NetworkStore.
std::map<std::string, std::string> encode_network(const Network& network);
std::vector<Network> decode_networks(const std::map<std::string, std::string>& records);

/// What a network was given is from the next start on what was asked for: inspect shows the gateway, and
/// addresses of a subnet that nobody chose can be.
/// Source: moby libnetwork/controller.go, reservePools.
void given_is_asked_for(Network& network);

/// The IPAM block that clients see.
/// Source: moby daemon/network.go, buildIPAMResources.
model::Ipam shown_ipam(const Network& network);
/// The subnets a user asked for.
std::vector<std::string> static_subnets(const Network& network);

/// Of which of the host's families an endpoint's ports are published.
struct PortRole {
    bool v4 = false;
    bool v6 = false;

    friend bool operator==(const PortRole&, const PortRole&) = default;
};

struct SandboxState {
    std::string id;
    std::string key;
    base::Fd netns;
    bool host = false;
    std::unique_ptr<Links> links;  ///< inside the namespace
    std::vector<EndpointInfo> endpoints;
    std::map<std::string, std::vector<BoundPort>> ports;  ///< by endpoint
    std::map<std::string, PortRole> port_roles;           ///< by endpoint
    std::map<std::string, std::int64_t> priorities;       ///< by endpoint: GwPriority
    DnsSettings dns;
    ResolverPorts resolver_ports;
    std::optional<std::uint64_t> resolver;  ///< its number, while it is served
    std::vector<EndpointInfo> left;  ///< were taken away, and nobody has taken over their lead yet
};

std::string encode_sandbox(const SandboxState& sandbox);
void decode_sandbox(std::string_view text, SandboxState& sandbox);

/// What Networks is made of. The files networks_*.cpp hold its parts.
///
/// Locks, in this order: change_mutex_ (one creation or removal at a time), then one of mutex_
/// (records and address pools, never held over a system call) and links_mutex_ (held over what the
/// kernel does one at a time anyway: changes of links in any namespace).
class NetworksImpl {
public:
    NetworksImpl(NetworksOptions options, NetworkStore& store);

    std::vector<NetworkRecord> list() const;
    std::optional<NetworkRecord> find(std::string_view reference) const;
    NetworkRecord get(std::string_view reference) const;
    NetworkRecord create(const model::NetworkCreate& request);
    void require_free_name(const std::string& name) const;
    void remove(std::string_view reference);
    std::unique_ptr<Sandbox> open_sandbox(base::Fd existing);
    std::unique_ptr<Sandbox> open_host_sandbox();
    EndpointInfo join(Sandbox& sandbox, const JoinRequest& request);
    void leave(Sandbox& sandbox, std::string_view network, const std::vector<PortMapping>& ports);
    void rename(Sandbox& sandbox, const std::string& container_name,
                const std::map<std::string, std::vector<std::string>>& dns_names);
    void close(Sandbox& sandbox) noexcept;
    void link(const IpAddress& parent, const IpAddress& child,
              const std::vector<std::string>& ports);
    void unlink(const IpAddress& parent, const IpAddress& child) noexcept;
    std::unique_ptr<Sandbox> restore(std::string_view saved, const std::string& container_id,
                                     const std::string& container_name,
                                     const std::vector<std::string>& networks);
    std::vector<EndpointInfo> settle(Sandbox& sandbox, const std::vector<PortMapping>& ports);
    void clean_stale();
    std::vector<IpAddress> host_gateways() const;

private:
    // networks_start.cpp
    void load();
    void ensure_simple(const std::string& name, const std::string& driver);
    void restore_network(Network& network);
    void take_pools(Network& network);
    std::vector<IpPrefix> reserved_subnets();
    void set_up_bridge(Network& network);
    void filter_bridged(const Network& network);
    void set_bridge_address(const Network& network, const NetworkSubnet& subnet);
    void start_firewall();
    void enable_forwarding(bool v6);
    void drop_forward();
    void save_locked();

    // networks_default_bridge.cpp
    void start_default_bridge();
    void remove_default_bridge_device() noexcept;
    void choose_default_subnets(Network& network, const std::vector<IpPrefix>& last);

    // networks_create.cpp
    class PendingName;
    void allocate(Network& network, const model::NetworkCreate& request);
    void describe(const model::NetworkCreate& request, NetworkRecord& record) const;
    void set_up_device(Network& network);
    void remove_device(const Network& network);
    std::shared_ptr<Network> take_out(std::string_view reference);
    void forget(const std::shared_ptr<Network>& network);
    void unfence(const Network& network) noexcept;
    void remove_bridged(const std::shared_ptr<Network>& network);
    void allocate_family(Network& network, std::vector<model::IpamConfig> configs, bool v6,
                         const std::vector<IpPrefix>& reserved);
    void allocate_subnet(const Network& network, NetworkSubnet& subnet,
                         const model::IpamConfig& config);
    void check_bridge(const Network& network) const;
    void release_subnets(Network& network);
    Network* find_locked(std::string_view reference) const;
    Network& get_locked(std::string_view reference) const;

    // networks_join.cpp
    /// A join under way.
    struct Joining {
        SandboxState& sandbox;
        const JoinRequest& request;
        std::shared_ptr<Network> network{};
        EndpointInfo info{};
        bool ipv6 = true;  ///< the container has IPv6
        bool announce = false;
        IpPrefix given4{}, given6{};  ///< by an IPAM driver
        MacAddress given_mac{};       ///< chosen already, for that driver
    };
    void assign(Joining& joining);
    void assign_addresses(Joining& joining, Network& network);
    bool has_ipv6(const SandboxState& sandbox, std::string_view network);
    IpPrefix assign_address(const Network& network, const std::string& wanted, bool v6);
    void release_address(const Network& network, const IpPrefix& address) noexcept;
    void plug(Joining& joining);
    void configure(Joining& joining);
    void wait_until_forwarding(const Joining& joining);
    void announce(const Joining& joining);
    void unplug(const SandboxState& sandbox, const EndpointInfo& endpoint) noexcept;
    void withdraw(const EndpointInfo& endpoint) noexcept;
    void forget_member(const EndpointInfo& endpoint) noexcept;
    void choose_gateway(SandboxState& sandbox);
    FirewallNetwork firewall_network(const Network& network) const;

    void keep(const std::shared_ptr<Network>& network);

    // networks_configuration.cpp
    NetworkRecord create_configuration(const model::NetworkCreate& request,
                                       const std::shared_ptr<Network>& network);
    model::NetworkCreate take_configuration(const model::NetworkCreate& request) const;
    void require_unused_locked(const std::string& configuration) const;

    // networks_sublink.cpp
    void check_parent(Network& network) const;
    void set_up_parent(Network& network);
    void release_parent(const Network& network) noexcept;
    void plug_sublink(const Network& network, const SandboxState& sandbox,
                      const EndpointInfo& info);
    void unplug_sublink(const SandboxState& sandbox, const EndpointInfo& info) noexcept;

    // networks_plugin.cpp
    NetworkDriverPtr find_driver(const std::string& name) const;
    static void create_at_driver(NetworkDriver& driver, const Network& network);
    void delete_at_driver(const NetworkRecord& record) noexcept;
    void show_member(const EndpointInfo& info);
    void join_at_driver(Joining& joining);
    void plug_foreign(Joining& joining, const DriverJoin& way);
    void give_link_back(const SandboxState& sandbox, const EndpointInfo& info) noexcept;
    void finish_at_driver(SandboxState& sandbox, EndpointInfo& info, const JoinRequest& request);
    void leave_at_driver(const SandboxState& sandbox, const EndpointInfo& info) noexcept;

    // networks_ipam.cpp
    IpamDriverPtr find_ipam(const std::string& name) const;
    void allocate_at_ipam(IpamDriver& ipam, Network& network, const model::NetworkCreate& request);
    void give_subnets_back(Network& network) noexcept;
    void replay_at_ipam(Network& network);
    void ask_addresses(Joining& joining);
    void ask_again(const Network& network, const EndpointInfo& endpoint) noexcept;
    void give_address_back(const Network& network, const IpPrefix& address) const noexcept;

    // networks_ports.cpp
    static bool leads_before(const SandboxState& sandbox, const EndpointInfo& one,
                             const EndpointInfo& other);
    /// The endpoints with the gateways that count; null where there is none.
    struct Leaders {
        const EndpointInfo* v4 = nullptr;
        const EndpointInfo* v6 = nullptr;
    };
    static Leaders leaders(const SandboxState& sandbox, const EndpointInfo* joining);
    static PortRole role_of(const EndpointInfo& endpoint, const Leaders& lead);
    void publish(SandboxState& sandbox, const Network& network, EndpointInfo& info, PortRole role,
                 const std::vector<PortMapping>& wanted);
    void republish(SandboxState& sandbox, EndpointInfo& info, PortRole role,
                   const std::vector<PortMapping>& wanted) noexcept;
    void move_ports(SandboxState& sandbox, const std::vector<PortMapping>& wanted) noexcept;
    void publish_joining(SandboxState& sandbox, const Network& network, EndpointInfo& info,
                         const JoinRequest& request);

    // networks_names.cpp
    void add_names(SandboxState& sandbox, const EndpointInfo& endpoint);
    void open_resolver(SandboxState& sandbox);
    void show_names(const SandboxState& sandbox);

    // networks_restore.cpp
    void take_leftovers(SandboxState& sandbox, const std::vector<std::string>& networks);
    void adopt(SandboxState& sandbox, EndpointInfo& endpoint, const std::string& container_id,
               const std::string& container_name);

    NetworksOptions options_;
    NetworkStore& store_;
    base::Fd home_;
    mutable base::Mutex change_mutex_;
    mutable base::Mutex mutex_;
    base::Mutex links_mutex_;
    Links links_;
    LinkRemover remover_;
    Announcer announcer_;
    Ipam ipam_;
    std::map<std::string, std::shared_ptr<Network>> networks_;  ///< by id
    std::set<std::string> pending_names_;  ///< of networks that a driver is making
    std::set<std::string> absent_ipams_;   ///< looked for in vain when the daemon started
    std::set<std::string> live_keys_;
    std::set<std::string> live_interfaces_;
    std::unique_ptr<Firewall> firewall_;  ///< null with --iptables=false
    std::unique_ptr<FirewallWatch> firewall_watch_;
    Conntrack conntrack_;
    PortPublisher publisher_;
    Resolver resolver_;
    bool firewall_started_ = false;
    bool announce_all_ = false;
    ForwardDrop forward_drop_;
};

}  // namespace dockerd::net

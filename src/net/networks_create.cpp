#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>

#include "netns.hpp"
#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

using base::ErrorKind;
using base::fail;

bool is_bridged(const model::NetworkCreate& request) {
    return request.driver.empty() || request.driver == "bridge" || request.driver == "default";
}

/// What a request asks for beyond what the drivers can.
void check_driver(const model::NetworkCreate& request) {
    if (request.driver == "host" || request.driver == "null") {
        // Source: moby libnetwork/drivers/host and null.
        fail(ErrorKind::permission_denied, fmt::format("only one instance of {} network is allowed",
                                                       base::quote(request.driver)));
    }
    if (request.scope == "swarm") {
        fail(ErrorKind::permission_denied,
             "cannot create a swarm scoped network when swarm is not active");
    }
    if (request.ingress) {
        fail(ErrorKind::permission_denied, "Ingress network can only be global scope network");
    }
}

/// The driver that gives no addresses is for networks of plugins, which are not made with it here.
/// Source: moby libnetwork/ipams/null; drivers/bridge/bridge_linux.go, ValidatePool.
[[noreturn]] void refuse_without_addresses(const model::NetworkCreate& request, const NetworkRecord& record) {
    if (!is_builtin_driver(record.driver)) {
        fail(ErrorKind::invalid_argument, "invalid ipam driver: \"null\"");
    }
    const model::Ipam ipam = request.ipam.value_or(model::Ipam());
    const bool has_subnet = std::ranges::any_of(ipam.config, [](const model::IpamConfig& config) {
        return !config.subnet.empty();
    });
    if (has_subnet) {
        fail(ErrorKind::invalid_argument,
             "null ipam driver does not handle specific address pool requests");
    }
    fail(ErrorKind::invalid_argument, fmt::format("ipv{} pool is empty", record.enable_ipv4 ? 4 : 6));
}

/// What is refused before the request's options are looked at.
/// Source: moby daemon/network.go, createNetwork.
void check_first(const model::NetworkCreate& request) {
    if (is_predefined_network(request.name)) {
        // Docker's text ends in a space. Source: moby daemon/network.go, PredefinedNetworkError.
        fail(ErrorKind::permission_denied,
             fmt::format("operation is not permitted on predefined {} network ", request.name));
    }
    if (request.driver == "overlay") {
        fail(ErrorKind::permission_denied,
             "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm "
             "join\" to connect this node to swarm and try again.");
    }
}

void check_name(const std::string& name) {
    if (base::trim(name).empty()) {
        fail(ErrorKind::invalid_argument, "invalid name: name is empty");
    }
}

/// An option as a switch for what the request leaves open.
bool option_or(const model::StringMap& options, const std::string& name,
               const std::optional<bool>& asked, bool otherwise) {
    if (asked) return *asked;
    const auto found = options.find(name);
    if (found == options.end()) return otherwise;
    if (found->second == "true" || found->second == "1") return true;
    if (found->second == "false" || found->second == "0") return false;
    fail(ErrorKind::invalid_argument,
         fmt::format("driver-opt {} is not a valid bool", base::quote(name)));
}

}  // namespace

std::vector<model::IpamConfig> configs_of(const model::NetworkCreate& request, bool v6) {
    std::vector<model::IpamConfig> out;
    if (!request.ipam) return out;
    for (const model::IpamConfig& config : request.ipam->config) {
        const auto subnet = IpPrefix::parse(config.subnet);
        if (subnet && subnet->address.is_v6() == v6) out.push_back(config);
    }
    return out;
}

const NetworkSubnet* find_subnet(const std::vector<NetworkSubnet>& subnets,
                                 const IpAddress& address) {
    const auto found = std::ranges::find_if(
        subnets, [&](const NetworkSubnet& subnet) { return subnet.subnet.contains(address); });
    return found == subnets.end() ? nullptr : &*found;
}

IpAddress aux_address(const NetworkSubnet& subnet, const std::string& name,
                      const std::string& text) {
    const IpAddress address = *IpAddress::parse(text);
    if (!subnet.subnet.contains(address)) {
        fail(ErrorKind::permission_denied,
             fmt::format("auxiliary address: ({}:{}) must belong to the master pool: {}", name,
                         text, subnet.subnet.str()));
    }
    return address;
}

/// Takes the gateway and the auxiliary addresses out of a pool that is taken.
/// Source: moby libnetwork/network.go, ipamAllocateVersion.
void NetworksImpl::allocate_subnet(const Network& network, NetworkSubnet& subnet,
                                   const model::IpamConfig& config) {
    const auto take = [&](const IpAddress& address, const std::string& what) {
        try {
            ipam_.take(subnet.subnet, address);
        } catch (const base::Error& error) {
            fail(ErrorKind::internal, fmt::format("{}: {}", what, error.what()));
        }
    };
    if (!config.gateway.empty()) {
        const IpAddress gateway = *IpAddress::parse(config.gateway);
        take(gateway, fmt::format("failed to allocate gateway ({})", config.gateway));
        subnet.gateway = gateway;
        subnet.gateway_configured = true;
    } else if (network.is_without_gateway(subnet.subnet.address.is_v6())) {
        // Source: moby bridge_linux.go and macvlan_network.go, GetSkipGwAlloc.
    } else if (const auto gateway = ipam_.take_any(subnet.subnet, subnet.range)) {
        subnet.gateway = *gateway;
    } else {
        fail(ErrorKind::internal,
             "failed to allocate gateway (): no available addresses on this pool");
    }
    for (const auto& [name, text] : config.aux_address) {
        const IpAddress address = aux_address(subnet, name, text);
        take(address, fmt::format("failed to allocate secondary ip address ({}:{})", name, text));
        subnet.aux[name] = address;
    }
}

/// Takes the subnets of one family. Those taken are the network's to release, also when a later
/// one throws.
void NetworksImpl::allocate_family(Network& network, std::vector<model::IpamConfig> configs,
                                   bool v6, const std::vector<IpPrefix>& reserved) {
    std::vector<NetworkSubnet>& subnets = v6 ? network.v6 : network.v4;
    if (configs.empty()) configs.emplace_back();
    for (const model::IpamConfig& config : configs) {
        NetworkSubnet subnet;
        if (!config.subnet.empty()) {
            if (!config.ip_range.empty()) subnet.range = *IpPrefix::parse(config.ip_range);
            subnet.subnet = ipam_.take_subnet(*IpPrefix::parse(config.subnet), subnet.range);
            subnet.configured = true;
        } else {
            subnet.subnet = ipam_.take_any_subnet(reserved, v6);
        }
        subnet.taken = true;
        subnets.push_back(std::move(subnet));
        allocate_subnet(network, subnets.back(), config);
    }
}

void NetworksImpl::release_subnets(Network& network) {
    for (std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
        for (NetworkSubnet& subnet : *subnets) {
            if (!subnet.taken) continue;
            // Several networks may share a pool, each with a range of its own.
            if (subnet.gateway) ipam_.release(subnet.subnet, subnet.gateway);
            for (const auto& [name, address] : subnet.aux) ipam_.release(subnet.subnet, address);
            ipam_.release_subnet(subnet.subnet, subnet.range);
            subnet.taken = false;
        }
    }
}

/// What is taken is the network's to give back, also when this throws.
void NetworksImpl::allocate(Network& network, const model::NetworkCreate& request) {
    if (network.ipam_plugin) {
        allocate_at_ipam(*find_ipam(network.record.ipam.driver), network, request);
    } else {
        const std::vector<IpPrefix> reserved = reserved_subnets();
        const base::Lock lock(mutex_);
        for (const bool v6 : {false, true}) {
            if (v6 ? network.record.enable_ipv6 : network.record.enable_ipv4) {
                allocate_family(network, configs_of(request, v6), v6, reserved);
            }
        }
    }
    network.record.ipam = shown_ipam(network);
    network.record.static_subnets = static_subnets(network);
}

/// What the driver refuses once the addresses are there. Pre: mutex_.
/// Source: moby bridge/bridge_linux.go, networkConfiguration.Conflicts.
void NetworksImpl::check_bridge(const Network& network) const {
    validate_bridge(network);
    const auto overlap = [](const std::vector<NetworkSubnet>& a,
                            const std::vector<NetworkSubnet>& b) {
        return !a.empty() && !b.empty() && a.front().subnet.overlaps(b.front().subnet);
    };
    for (const auto& [id, other] : networks_) {
        if (id == network.record.id) continue;
        if (other->record.driver != "bridge" || other->bridge.name.empty()) continue;
        const char* why = nullptr;
        if (other->bridge.name == network.bridge.name) {
            why = "networks have same bridge name";
        } else if (overlap(other->v4, network.v4)) {
            why = "networks have overlapping IPv4";
        } else if (overlap(other->v6, network.v6)) {
            why = "networks have overlapping IPv6";
        }
        if (why == nullptr) continue;
        fail(ErrorKind::permission_denied,
             fmt::format("cannot create network {} ({}): conflicts with network {} ({}): {}",
                         network.record.id, network.bridge.name, id, other->bridge.name, why));
    }
}

void NetworksImpl::require_free_name(const std::string& name) const {
    const base::Lock lock(mutex_);
    const bool taken = std::ranges::any_of(
        networks_, [&](const auto& entry) { return entry.second->record.name == name; });
    if (taken || pending_names_.contains(name)) {
        fail(ErrorKind::conflict, fmt::format("network with name {} already exists", name));
    }
}

/// Keeps a name from others while no lock does.
class NetworksImpl::PendingName {
public:
    PendingName(NetworksImpl& networks, const std::string& name) : networks_(networks), name_(name) {
        const base::Lock lock(networks_.mutex_);
        networks_.pending_names_.insert(name_);
    }
    PendingName(const PendingName&) = delete;
    PendingName& operator=(const PendingName&) = delete;
    ~PendingName() {
        const base::Lock lock(networks_.mutex_);
        networks_.pending_names_.erase(name_);
    }

private:
    NetworksImpl& networks_;
    std::string name_;
};

/// What the request says of the network itself.
void NetworksImpl::describe(const model::NetworkCreate& request, NetworkRecord& record) const {
    record.driver = is_bridged(request) ? "bridge" : request.driver;
    record.options = request.options;
    record.options.given = true;
    if (const auto defaults = options_.default_options.find(record.driver);
        defaults != options_.default_options.end() && request.config_from.empty()) {
        for (const auto& [option, value] : defaults->second) {
            record.options.emplace(option, value);
        }
    }
    // What the request says itself is not shown as an option of another word.
    // Source: moby daemon/network.go, createNetwork.
    const auto enabled = [&](const char* option, const std::optional<bool>& asked, bool otherwise) {
        if (asked) record.options.erase(option);
        return option_or(record.options, option, asked, otherwise);
    };
    record.enable_ipv4 = enabled("com.docker.network.enable_ipv4", request.enable_ipv4, true);
    record.enable_ipv6 = enabled("com.docker.network.enable_ipv6", request.enable_ipv6, false);
    record.ipam.driver = "default";
    if (request.ipam) {
        if (!request.ipam->driver.empty()) record.ipam.driver = request.ipam->driver;
        record.ipam.options = request.ipam->options;
    }
    record.labels = request.labels;
    record.labels.given = true;
}

NetworkRecord NetworksImpl::create(const model::NetworkCreate& asked) {
    model::NetworkCreate request = asked;
    check_first(request);
    auto network = std::make_shared<Network>();
    NetworkRecord& record = network->record;
    describe(request, record);
    if (request.ipam) validate_ipam(*request.ipam, record.enable_ipv6);
    check_name(request.name);
    require_free_name(request.name);
    // It may take its time, which nobody else has to wait for.
    const NetworkDriverPtr driver =
        is_builtin_driver(request.driver) ? nullptr : find_driver(request.driver);
    base::Lock change(change_mutex_);
    require_free_name(request.name);
    check_driver(request);
    record.name = request.name;
    record.id = base::random_id();
    record.created = base::WallTime::now();
    // Any word; only of "swarm" more is known.
    if (!request.scope.empty() && !request.config_only) record.scope = request.scope;
    record.internal = request.internal;
    record.attachable = request.attachable;
    check_configuration(request, record);
    if (request.config_only) return create_configuration(request, network);
    if (!request.config_from.empty()) {
        record.config_from = request.config_from;
        request = take_configuration(request);
        describe(request, record);
    }
    if (!record.enable_ipv4 && !record.enable_ipv6) {
        fail(ErrorKind::invalid_argument, "IPv4 or IPv6 must be enabled");
    }
    network->announcing = parse_announcing(record.options);
    network->sublink = parse_sublink(record.driver, record.options, record.internal);
    const bool bridged = record.driver == "bridge";
    if (bridged) {
        network->bridge = parse_bridge_options(record.options, record.internal);
        if (network->bridge.name.empty()) network->bridge.name = own_bridge_name(record);
    }
    if (record.ipam.driver == "null") refuse_without_addresses(request, record);
    network->plugin = driver != nullptr;
    network->ipam_plugin = !is_builtin_ipam(record.ipam.driver);
    // Other programs may take their time.
    std::optional<PendingName> pending;
    if (network->plugin || network->ipam_plugin) {
        pending.emplace(*this, request.name);
        change.unlock();
    }
    base::Undo release([&]() noexcept { give_subnets_back(*network); });
    allocate(*network, request);
    if (driver) create_at_driver(*driver, *network);
    if (pending) change.lock();
    if (bridged) {
        const base::Lock lock(mutex_);
        check_bridge(*network);
    }
    if (!driver) set_up_device(*network);
    base::Undo remove([&]() noexcept {
        try {
            remove_device(*network);
        } catch (const std::exception& error) {
            log::warn("{}, ignoring", error.what());
        }
    });
    const bool fenced = bridged && firewall_ && firewall_started_;
    if (fenced) firewall_->add_network(firewall_network(*network));
    base::Undo unfence([&]() noexcept {
        try {
            if (fenced) firewall_->remove_network(record.id);
        } catch (const std::exception& error) {
            log::warn("{}, ignoring", error.what());
        }
    });
    keep(network);
    unfence.dismiss();
    remove.dismiss();
    release.dismiss();
    return record;
}

/// Into the list and onto the disk, or neither.
void NetworksImpl::keep(const std::shared_ptr<Network>& network) {
    const base::Lock lock(mutex_);
    networks_.emplace(network->record.id, network);
    try {
        save_locked();
    } catch (...) {  // of whatever kind, nothing of it stays
        networks_.erase(network->record.id);
        throw;
    }
}

/// The bridge, or the link that containers' links are on.
void NetworksImpl::set_up_device(Network& network) {
    if (network.sublink) {
        set_up_parent(network);
    } else {
        set_up_bridge(network);
    }
}

namespace {

/// Whether there is a bridge that the daemon made.
bool has_own_bridge(const Network& network) {
    return network.record.driver == "bridge" && network.bridge.creator == 1 &&
           network.bridge_index != 0;
}

}  // namespace

/// Takes away what the daemon made.
void NetworksImpl::remove_device(const Network& network) {
    if (network.sublink) return release_parent(network);
    if (network.plugin) return delete_at_driver(network.record);
    if (!has_own_bridge(network)) return;
    remover_.remove(network.bridge_index);
}

/// Takes a network that may go out of the list, so that nobody joins it any more.
std::shared_ptr<Network> NetworksImpl::take_out(std::string_view reference) {
    const base::Lock lock(mutex_);
    const Network& found = get_locked(reference);
    if (is_predefined_network(found.record.name)) {
        fail(ErrorKind::permission_denied,
             fmt::format("{} is a pre-defined network and cannot be removed", found.record.name));
    }
    if (!found.record.members.empty()) {
        std::vector<std::string> active;
        for (const NetworkMember& member : found.record.members) {
            active.push_back(fmt::format("name:\"{}\" id:\"{}\"", member.name,
                                         base::short_id(member.endpoint_id)));
        }
        fail(ErrorKind::permission_denied,
             fmt::format("error while removing network: network {} has active endpoints ({})",
                         found.record.name, base::join(active, ", ")));
    }
    if (found.record.config_only) require_unused_locked(found.record.name);
    std::shared_ptr<Network> network = networks_.at(found.record.id);
    networks_.erase(network->record.id);
    network->deleting = true;
    return network;
}

/// Off the disk; where that fails, it is back in the list. Who joins it waits with the link until
/// the change is over, so its bridge may still be away.
void NetworksImpl::forget(const std::shared_ptr<Network>& network) {
    const base::Lock lock(mutex_);
    try {
        save_locked();
    } catch (...) {  // of whatever kind, all of it stays
        network->deleting = false;
        networks_.emplace(network->record.id, network);
        throw;
    }
}

void NetworksImpl::unfence(const Network& network) noexcept {
    if (!firewall_ || network.record.driver != "bridge" || !firewall_started_) return;
    try {
        firewall_->remove_network(network.record.id);
    } catch (const std::exception& error) {
        log::warn("remove network {}: {}, ignoring", network.record.name, error.what());
    }
}

/// The bridge is marked before anything is forgotten, so that whenever this daemon dies, the next one
/// takes the bridge away, and makes it anew if the network is still on the disk.
void NetworksImpl::remove_bridged(const std::shared_ptr<Network>& network) {
    const auto attempt = [&](const auto& step) {
        try {
            const base::Lock lock(links_mutex_);
            step();
            return true;
        } catch (const std::exception& error) {
            log::warn("remove network {}: {}, ignoring", network->record.name, error.what());
            return false;
        }
    };
    const int bridge = network->bridge_index;
    const bool marked = attempt([&] { links_.set_alias(bridge, LinkRemover::retired); });
    base::Undo unmark([&]() noexcept {
        if (marked) (void)attempt([&] { links_.set_alias(bridge, ""); });
    });
    forget(network);
    unmark.dismiss();
    unfence(*network);
    if (!marked) return;  // somebody else has taken it away
    // With its addresses go its routes: the subnet is free.
    for (const std::vector<NetworkSubnet>* subnets : {&network->v4, &network->v6}) {
        if (subnets->empty()) continue;
        const IpPrefix own = subnets->front().gateway_prefix();
        if (!own || !network->bridge.has_address(own.address.is_v6())) continue;
        (void)attempt([&] { links_.remove_address(bridge, own); });
    }
    // A name that was chosen can be another link's from here on.
    const bool chosen = network->bridge.name != own_bridge_name(network->record);
    if (!chosen && attempt([&] { remover_.retire(bridge); })) return;
    try {
        remover_.remove(bridge);
    } catch (const std::exception& error) {
        log::warn("remove network {}: {}, ignoring", network->record.name, error.what());
    }
}

void NetworksImpl::remove(std::string_view reference) {
    base::Lock change(change_mutex_);
    const std::shared_ptr<Network> network = take_out(reference);
    if (has_own_bridge(*network)) {
        remove_bridged(network);
    } else {
        forget(network);
        if (network->record.config_only) return;  // it had nothing but its record
        if (network->plugin) change.unlock();     // a driver may take its time
        try {
            remove_device(*network);
        } catch (const std::exception& error) {
            log::warn("remove network {}: {}, ignoring", network->record.name, error.what());
        }
        unfence(*network);
    }
    if (!network->plugin) change.unlock();  // as may who gave the addresses
    give_subnets_back(*network);
}

}  // namespace dockerd::net

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/net/etc_files.hpp>

#include "netns.hpp"
#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

constexpr const char* default_bridge_name = "docker0";

/// The host's nameservers, as prefixes of one address.
std::vector<IpPrefix> nameservers() {
    std::vector<IpPrefix> out;
    std::ifstream file(host_resolv_conf_path(ResolverKind::legacy));
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string keyword;
        std::string text;
        if (!(words >> keyword >> text) || keyword != "nameserver") continue;
        if (const auto address = IpAddress::parse(text)) {
            out.push_back({*address, address->bits()});
        }
    }
    return out;
}

std::string bool_text(bool value) { return value ? "true" : "false"; }

}  // namespace

NetworksImpl::NetworksImpl(NetworksOptions options, NetworkStore& store)
    : options_(std::move(options)),
      store_(store),
      home_(current_netns()),
      ipam_(options_.address_pools),
      publisher_(options_.userland_proxy),
      resolver_(home_) {
    std::error_code error;
    std::filesystem::create_directories(options_.exec_root + "/netns", error);
    if (error) base::throw_errno(error.value(), "create " + options_.exec_root + "/netns");
    if (options_.iptables) {
        firewall_ = std::make_unique<Firewall>(
            FirewallOptions{.ipv4 = true,
                            .ipv6 = options_.ip6tables,
                            .hairpin = !options_.userland_proxy,
                            .allow_direct_routing = options_.allow_direct_routing});
    }
    load();
    ensure_simple("none", "null");
    ensure_simple("host", "host");
    if (options_.bridge != "none") start_default_bridge();
    for (const auto& [id, network] : networks_) {
        const bool bridged = network->record.driver == "bridge" && network->record.name != "bridge";
        if (bridged || network->sublink) {
            restore_network(*network);
        }
    }
    const base::Lock lock(mutex_);
    save_locked();
}

void NetworksImpl::load() {
    for (Network& network : decode_networks(store_.load())) {
        // The default bridge follows the daemon's flags; only its id is kept.
        if (network.record.name == "bridge" && options_.bridge == "none") continue;
        std::string id = network.record.id;
        networks_.emplace(std::move(id), std::make_shared<Network>(std::move(network)));
    }
}

void NetworksImpl::save_locked() {
    std::map<std::string, std::string> records;
    for (const auto& [id, network] : networks_) records.merge(encode_network(*network));
    store_.save(records);
}

void NetworksImpl::ensure_simple(const std::string& name, const std::string& driver) {
    if (find_locked(name) != nullptr) return;
    auto network = std::make_shared<Network>();
    network->record.name = name;
    network->record.id = base::random_id();
    network->record.created = base::WallTime::now();
    network->record.driver = driver;
    network->record.ipam.driver = "default";
    network->record.options.given = true;
    network->record.labels.given = true;
    networks_.emplace(network->record.id, std::move(network));
}

std::vector<IpPrefix> NetworksImpl::reserved_subnets() {
    std::vector<IpPrefix> out = nameservers();
    const base::Lock lock(links_mutex_);
    for (const IpPrefix& route : links_.on_link_routes()) out.push_back(route);
    return out;
}

/// Source: moby daemon/daemon_unix.go, initBridgeDriver.
void NetworksImpl::start_default_bridge() {
    Network* network = find_locked("bridge");
    if (network == nullptr) {
        auto fresh = std::make_shared<Network>();
        fresh->record.id = base::random_id();
        network = fresh.get();
        networks_.emplace(fresh->record.id, std::move(fresh));
    }
    NetworkRecord& record = network->record;
    record.name = "bridge";
    record.created = base::WallTime::now();
    record.driver = "bridge";
    record.ipam.driver = "default";
    record.labels.given = true;
    record.options = {};
    record.options.given = true;
    const bool own = options_.bridge.empty();
    const std::string name = own ? default_bridge_name : options_.bridge;
    record.options["com.docker.network.bridge.default_bridge"] = "true";
    record.options["com.docker.network.bridge.enable_icc"] = bool_text(options_.icc);
    record.options["com.docker.network.bridge.enable_ip_masquerade"] =
        bool_text(options_.ip_masquerade);
    record.options["com.docker.network.bridge.host_binding_ipv4"] =
        options_.default_host_ip ? options_.default_host_ip.str() : "0.0.0.0";
    record.options["com.docker.network.bridge.name"] = name;
    record.options["com.docker.network.driver.mtu"] = std::to_string(options_.mtu);
    network->bridge = parse_bridge_options(record.options);
    network->v4.clear();
    network->v6.clear();
    {
        const base::Lock lock(links_mutex_);
        if (!own && !links_.find(name)) {
            // Source: moby bridge/setup_device_linux.go, setupDevice.
            base::fail(base::ErrorKind::permission_denied,
                       fmt::format("bridge device with non default name {} must be created "
                                   "manually",
                                   name));
        }
    }
    choose_default_subnet(*network);
    set_up_bridge(*network);
    record.ipam = shown_ipam(*network);
    record.static_subnets = static_subnets(*network);
}

/// --bip, or what the bridge has already, or the first free of the pools.
/// Source: moby daemon/daemon_unix.go, getDefaultBridgeIPAMConf, selectBIP.
void NetworksImpl::choose_default_subnet(Network& network) {
    NetworkSubnet chosen;
    if (!options_.fixed_cidr.empty()) {
        const auto range = IpPrefix::parse(options_.fixed_cidr);
        if (!range) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("parse fixed-cidr failed: invalid CIDR address: {}",
                                   options_.fixed_cidr));
        }
        chosen.range = range->masked();
    }
    std::optional<IpPrefix> address;
    if (!options_.bip.empty()) {
        address = IpPrefix::parse(options_.bip);
        if (!address) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("parse bip failed: invalid CIDR address: {}", options_.bip));
        }
    } else {
        const base::Lock lock(links_mutex_);
        if (const auto link = links_.find(network.bridge.name)) {
            for (const IpPrefix& present : links_.addresses(link->index, /*v6=*/false)) {
                if (chosen.range && !present.contains(chosen.range.address)) continue;
                address = present;
                break;
            }
        }
    }
    if (address) {
        chosen.subnet = ipam_.take_subnet(*address);
        chosen.gateway = address->address;
        chosen.configured = true;
        chosen.gateway_configured = true;
        ipam_.take(chosen.subnet, chosen.gateway);
    } else {
        chosen.subnet = chosen.range ? ipam_.take_subnet(chosen.range)
                                     : ipam_.take_any_subnet(reserved_subnets());
        chosen.gateway = ipam_.take_any(chosen.subnet).value();
    }
    if (options_.default_gateway) {
        chosen.aux["DefaultGatewayIPv4"] = options_.default_gateway;
        if (options_.default_gateway != chosen.gateway &&
            chosen.subnet.contains(options_.default_gateway)) {
            ipam_.take(chosen.subnet, options_.default_gateway);
        }
    }
    chosen.taken = true;
    network.v4.push_back(std::move(chosen));
}

/// A user's network after a restart: its subnets are taken again and its bridge is made if it is
/// gone. A failure leaves the network in the list, without connectivity.
void NetworksImpl::restore_network(Network& network) {
    try {
        if (!network.sublink) {
            const int creator = network.bridge.creator;
            network.bridge =
                parse_bridge_options(network.record.options, network.record.internal);
            network.announcing = parse_announcing(network.record.options);
            network.bridge.creator = creator;
            if (network.bridge.name.empty()) {
                network.bridge.name = "br-" + network.record.id.substr(0, 12);
            }
        }
        for (std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
            for (NetworkSubnet& subnet : *subnets) {
                ipam_.take_subnet(subnet.subnet, subnet.range);
                subnet.taken = true;
                if (subnet.gateway) ipam_.take(subnet.subnet, subnet.gateway);
                for (const auto& [name, address] : subnet.aux) {
                    if (address != subnet.gateway) ipam_.take(subnet.subnet, address);
                }
            }
        }
        set_up_device(network);
    } catch (const base::Error& error) {
        log::error("Failed to restore network {}: {}", network.record.name, error.what());
    }
}

void NetworksImpl::set_bridge_address(const Network& network, const NetworkSubnet& subnet) {
    const IpPrefix wanted{subnet.gateway, subnet.subnet.bits};
    const bool v6 = wanted.address.is_v6();
    if (!network.bridge.has_address(v6)) return;
    const IpPrefix link_local{*IpAddress::parse("fe80::"), 64};
    bool there = false;
    std::optional<IpPrefix> other;
    for (const IpPrefix& present : links_.addresses(network.bridge_index, v6)) {
        if (present == wanted || (v6 && present.address == wanted.address)) {
            there = true;
        } else if (v6) {
            // From an earlier configuration. The kernel's own address stays.
            if (!link_local.contains(present.address)) {
                links_.remove_address(network.bridge_index, present);
            }
        } else if (!other || (!subnet.subnet.contains(other->address) &&
                              subnet.subnet.contains(present.address))) {
            other = present;
        }
    }
    if (there) return;
    // An IPv4 address in the subnet, or else the first, is from an earlier configuration.
    if (other) links_.remove_address(network.bridge_index, *other);
    links_.add_address(network.bridge_index, wanted);
}

/// Source: moby bridge/bridge_linux.go, createNetwork.
void NetworksImpl::set_up_bridge(Network& network) {
    const std::string& name = network.bridge.name;
    const base::Lock lock(links_mutex_);
    const auto existing = links_.find(name);
    if (existing && existing->kind != "bridge") {
        base::fail(base::ErrorKind::permission_denied,
                   fmt::format("existing interface {} is not a bridge", name));
    }
    const bool ours = !existing;
    if (network.bridge.creator == 0) network.bridge.creator = ours ? 1 : 2;
    network.bridge_index =
        ours ? links_.create_bridge(name, MacAddress::random(), network.bridge.mtu)
             : existing->index;
    try {
        if (ours || network.bridge.default_bridge) {
            // A container's router advertisements must not reach the host's routing table. The
            // file is missing without IPv6.
            (void)write_sysctl(fmt::format("net/ipv6/conf/{}/accept_ra", name), "0");
        }
        if (!ours && network.bridge.mtu > 0) {
            links_.set_mtu(network.bridge_index, network.bridge.mtu);
        }
        if (!network.v4.empty()) set_bridge_address(network, network.v4.front());
        if (!network.v6.empty()) {
            // Isolated, it has not even the kernel's own address.
            (void)write_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", name),
                               network.bridge.has_address(/*v6=*/true) ? "0" : "1");
            set_bridge_address(network, network.v6.front());
        }
        if (!network.v4.empty() && options_.ip_forward) enable_forwarding(/*v6=*/false);
        if (!network.v6.empty() && options_.ip_forward) enable_forwarding(/*v6=*/true);
        if (!options_.userland_proxy) {
            (void)write_sysctl(fmt::format("net/ipv4/conf/{}/route_localnet", name), "1");
        }
        if (options_.iptables && (!network.bridge.icc || !options_.userland_proxy)) {
            // Frames between two ports of one bridge pass the filter only so.
            (void)write_sysctl("net/bridge/bridge-nf-call-iptables", "1");
            if (!network.v6.empty()) (void)write_sysctl("net/bridge/bridge-nf-call-ip6tables", "1");
        }
        links_.set_up(network.bridge_index);
    } catch (const base::Error&) {
        try {
            if (ours) links_.remove(network.bridge_index);
        } catch (const base::Error& error) {
            log::warn("delete bridge {}, ignoring: {}", name, error.what());
        }
        throw;
    }
}

/// Source: moby bridge/setup_ip_forwarding.go.
void NetworksImpl::enable_forwarding(bool v6) {
    const std::vector<std::string> names =
        v6 ? std::vector<std::string>{"net/ipv6/conf/default/forwarding",
                                      "net/ipv6/conf/all/forwarding"}
           : std::vector<std::string>{"net/ipv4/ip_forward"};
    for (const std::string& name : names) {
        if (read_sysctl(name) == '1') continue;
        if (!write_sysctl(name, "1\n")) {
            base::throw_errno(errno, fmt::format("failed to set IP forwarding '/proc/sys/{}' = "
                                                 "'1'",
                                                 name));
        }
        forwarding_changed_[v6 ? 1 : 0] = true;
    }
}

/// Builds all rules in one transaction. Deferred until the first container needs them or all live
/// ones are adopted: a rebuild without those would cut their ports off.
void NetworksImpl::start_firewall() {
    if (!firewall_ || firewall_started_) return;
    std::vector<FirewallNetwork> networks;
    {
        const base::Lock lock(mutex_);
        for (const auto& [id, network] : networks_) {
            if (network->bridge_index != 0) networks.push_back(firewall_network(*network));
        }
    }
    firewall_->start(std::move(networks));
    if (!options_.ip_forward_no_drop) {
        if (forwarding_changed_[0]) firewall_->drop_forward(NftFamily::ip);
        if (forwarding_changed_[1]) firewall_->drop_forward(NftFamily::ip6);
    }
    try {
        firewall_watch_ = std::make_unique<FirewallWatch>(*firewall_);
    } catch (const std::exception& error) {
        log::warn("the firewall is not watched: {}", error.what());
    }
    firewall_started_ = true;
}

namespace {

Access access_of(GatewayMode mode) {
    switch (mode) {
        case GatewayMode::nat_unprotected:
            return Access::open;
        case GatewayMode::routed:
            return Access::routed;
        case GatewayMode::standard:
        case GatewayMode::nat:
        case GatewayMode::isolated:
            break;
    }
    return Access::translated;
}

}  // namespace

FirewallNetwork NetworksImpl::firewall_network(const Network& network) const {
    FirewallNetwork out;
    out.id = network.record.id;
    out.bridge = network.bridge.name;
    if (!network.v4.empty()) out.subnet4 = network.v4.front().subnet;
    if (!network.v6.empty()) out.subnet6 = network.v6.front().subnet;
    out.internal = network.record.internal;
    out.icc = network.bridge.icc;
    out.masquerade = network.bridge.masquerade;
    out.snat4 = network.bridge.snat4;
    out.snat6 = network.bridge.snat6;
    out.access4 = access_of(network.bridge.mode4);
    out.access6 = access_of(network.bridge.mode6);
    out.trusted_interfaces = network.bridge.trusted_interfaces;
    return out;
}

}  // namespace dockerd::net

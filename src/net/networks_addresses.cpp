#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/mutex.hpp>

#include "networks_impl.hpp"

namespace dockerd::net {

namespace {

/// "veth" and seven hex digits. Source: moby libnetwork/netutils, GenerateIfaceName.
std::string veth_name() { return "veth" + base::random_hex(4).substr(0, 7); }

}  // namespace

/// The address that is wanted, or one of the first subnet that has any left.
/// Source: moby libnetwork/endpoint.go, assignAddressVersion.
IpPrefix NetworksImpl::assign_address(const Network& network, const std::string& wanted, bool v6) {
    const std::vector<NetworkSubnet>& subnets = v6 ? network.v6 : network.v4;
    if (wanted.empty()) {
        for (const NetworkSubnet& subnet : subnets) {
            const auto address = ipam_.take_any(subnet.subnet, subnet.range);
            if (address) return {*address, subnet.subnet.bits};
        }
        base::fail(base::ErrorKind::internal,
                   fmt::format("no available IPv{} addresses on this network's address pools: {} "
                               "({})",
                               v6 ? 6 : 4, network.record.name, network.record.id));
    }
    const auto address = IpAddress::parse(wanted);
    const NetworkSubnet* subnet = address ? find_subnet(subnets, *address) : nullptr;
    if (subnet == nullptr) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("invalid address {}: It does not belong to any of this network's "
                               "subnets",
                               wanted));
    }
    ipam_.take(subnet->subnet, *address);
    return {*address, subnet->subnet.bits};
}

void NetworksImpl::release_address(const Network& network, const IpPrefix& address) noexcept {
    if (!address || network.ipam_plugin) return;
    const auto& subnets = address.address.is_v6() ? network.v6 : network.v4;
    const NetworkSubnet* subnet = find_subnet(subnets, address.address);
    if (subnet != nullptr) ipam_.release(subnet->subnet, address.address);
}

namespace {

/// Where an endpoint with this address finds the way out. A bridge's may be another one than the
/// bridge itself.
IpAddress gateway_of(const Network& network, const IpAddress& address) {
    const bool v6 = address.is_v6();
    const NetworkSubnet* subnet = find_subnet(v6 ? network.v6 : network.v4, address);
    if (subnet == nullptr) return {};
    const auto other = subnet->aux.find(v6 ? "DefaultGatewayIPv6" : "DefaultGatewayIPv4");
    return network.sublink || other == subnet->aux.end() ? subnet->gateway : other->second;
}

}  // namespace

/// The endpoint's addresses, its gateways and the name of its interface.
void NetworksImpl::assign_addresses(Joining& joining, Network& network) {
    EndpointInfo& info = joining.info;
    const model::EndpointSettings& settings = joining.request.settings;
    if (network.sublink && network.sublink->kind == SublinkSettings::Kind::ipvlan) {
        if (!settings.mac_address.empty()) {
            base::fail(base::ErrorKind::internal,
                       "ipvlan interfaces do not support custom mac address assignment");
        }
    } else {
        const auto mac = !joining.given_mac.is_none()   ? joining.given_mac
                         : settings.mac_address.empty() ? MacAddress::random()
                                                        : MacAddress::parse(settings.mac_address);
        if (!mac) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("invalid MAC address: {}", settings.mac_address));
        }
        info.mac = *mac;
    }
    const bool gateways =
        !network.record.internal &&
        !(network.sublink && (network.sublink->internal || network.sublink->routes()));
    info.leads_by_link =
        network.sublink && network.sublink->routes() && !network.sublink->internal;
    const auto wanted = settings.ipam_config.value_or(model::EndpointIpamConfig());
    const auto choose = [&](bool v6) {
        if (network.ipam_plugin) return v6 ? joining.given6 : joining.given4;
        return assign_address(network, v6 ? wanted.ipv6_address : wanted.ipv4_address, v6);
    };
    if (!network.v4.empty()) {
        info.ipv4 = choose(/*v6=*/false);
        if (gateways) info.gateway = gateway_of(network, info.ipv4.address);
    }
    if (!network.v6.empty() && joining.ipv6) {
        try {
            info.ipv6 = choose(/*v6=*/true);
        } catch (const base::Error&) {
            release_address(network, info.ipv4);
            throw;
        }
        if (gateways) info.ipv6_gateway = gateway_of(network, info.ipv6.address);
    }
    for (const IpPrefix& address : {info.ipv4, info.ipv6}) {
        if (!address) continue;
        const auto [last, is_new] = network.last_macs.try_emplace(address.address, info.mac);
        // Others than containers may be there.
        const bool shared = network.sublink || network.bridge.creator == 2;
        const bool another = is_new ? announce_all_ : last->second != info.mac;
        if (shared || another) joining.announce = true;
        last->second = info.mac;
    }
    const auto name = settings.driver_opts.find("com.docker.network.endpoint.ifname");
    info.interface = name != settings.driver_opts.end()
                         ? name->second
                         : free_interface(joining.sandbox, network.bridge.interface_prefix);
}

/// Takes addresses and writes the member down; nothing is kept when it throws.
void NetworksImpl::assign(Joining& joining) {
    const base::Lock lock(mutex_);
    Network& network = get_locked(joining.request.network);
    // An IPAM driver may have been asked for addresses of one that had the name before.
    const bool another = network.ipam_plugin && joining.network.get() != &network;
    if (network.deleting || another) {
        base::fail(base::ErrorKind::not_found,
                   fmt::format("network {} not found", joining.request.network));
    }
    if (network.record.config_only) {
        base::fail(base::ErrorKind::permission_denied,
                   "cannot create endpoint on configuration-only network");
    }
    if (!network.foreign.empty()) {
        base::fail(base::ErrorKind::not_implemented,
                   fmt::format("network {} (driver {}) is only kept by this daemon: no container "
                               "can be connected to it",
                               network.record.name, network.record.driver));
    }
    joining.network = networks_.at(network.record.id);
    EndpointInfo& info = joining.info;
    info.endpoint_id = base::random_id();
    info.network_id = network.record.id;
    info.network_name = network.record.name;
    info.driver = network.record.driver;
    info.dns_names = joining.request.settings.dns_names;
    info.links = joining.request.links;
    const bool taken = std::ranges::any_of(network.record.members, [&](const auto& member) {
        return member.name == joining.request.container_name;
    });
    if (taken) {
        base::fail(base::ErrorKind::permission_denied,
                   fmt::format("endpoint with name {} already exists in network {}",
                               joining.request.container_name, network.record.name));
    }
    if (info.driver == "bridge") {
        assign_addresses(joining, network);
        info.host_interface = veth_name();
        live_interfaces_.insert(info.host_interface);
    } else if (network.sublink || network.plugin) {
        assign_addresses(joining, network);
    }
    if (network.plugin) {
        // All else is up to the driver.
        if (joining.request.settings.mac_address.empty()) info.mac = joining.given_mac;
        info.gateway = {};
        info.ipv6_gateway = {};
        info.interface.clear();
        joining.announce = false;
    }
    network.record.members.push_back(
        {joining.request.container_id, joining.request.container_name, info.endpoint_id,
         info.mac.is_none() ? "" : info.mac.str(), info.ipv4.str(), info.ipv6.str()});
}

}  // namespace dockerd::net

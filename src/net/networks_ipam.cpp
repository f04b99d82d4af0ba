#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>

#include "networks_impl.hpp"

/// Networks whose addresses another program gives.
namespace dockerd::net {

namespace log = base::log;
using base::ErrorKind;
using base::fail;

namespace {

/// Each of these calls is made once, and what it fails with changes nothing.
template <typename Call>
void tell(const Network& network, const char* what, Call call) noexcept {
    try {
        call();
    } catch (const std::exception& error) {
        log::warn("network {}, IPAM plugin, {}: {}, ignoring", network.record.name, what,
                  error.what());
    }
}

/// Source: moby libnetwork/network.go, createEndpoint.
model::StringMap options_of(const MacAddress& mac) {
    model::StringMap out;
    if (!mac.is_none()) out["com.docker.network.endpoint.macaddress"] = mac.str();
    return out;
}

/// Source: moby libnetwork/network.go, ipamAllocateVersion.
void ask_gateway(IpamDriver& ipam, const IpPrefix& came_with, const std::string& wanted,
                 bool needless, NetworkSubnet& subnet) {
    IpPrefix gateway = wanted.empty() ? came_with : IpPrefix();
    if (!gateway && (!wanted.empty() || !needless)) {
        const model::StringMap options{
            {"RequestAddressType", "com.docker.network.gateway"}};
        try {
            gateway = ipam.request_address(
                subnet.pool_id, IpAddress::parse(wanted).value_or(IpAddress()), options);
        } catch (const base::Error& error) {
            fail(ErrorKind::internal,
                 fmt::format("failed to allocate gateway ({}): {}", wanted, error.what()));
        }
    }
    subnet.gateway = gateway.address;
    subnet.gateway_configured = !wanted.empty();
    if (gateway && gateway.bits != subnet.subnet.bits) subnet.gateway_bits = gateway.bits;
}

void ask_aux(IpamDriver& ipam, const model::IpamConfig& config, NetworkSubnet& subnet) {
    for (const auto& [name, text] : config.aux_address) {
        const IpAddress address = aux_address(subnet, name, text);
        try {
            subnet.aux[name] = ipam.request_address(subnet.pool_id, address, {}).address;
        } catch (const base::Error& error) {
            fail(ErrorKind::internal,
                 fmt::format("failed to allocate secondary ip address ({}:{}): {}", name, text,
                             error.what()));
        }
    }
}

}  // namespace

bool is_builtin_ipam(std::string_view driver) {
    return driver.empty() || driver == "default" || driver == "null";
}

IpamDriverPtr NetworksImpl::find_ipam(const std::string& name) const {
    if (!options_.find_ipam) {
        fail(ErrorKind::not_found, fmt::format("plugin {} not found", base::quote(name)));
    }
    return options_.find_ipam(name);
}

/// What is taken is the network's to give back, also when a later step throws.
void NetworksImpl::allocate_at_ipam(IpamDriver& ipam, Network& network,
                                    const model::NetworkCreate& request) {
    const std::vector<IpPrefix> reserved = reserved_subnets();
    network.space = ipam.local_space();
    for (const bool v6 : {false, true}) {
        if (!(v6 ? network.record.enable_ipv6 : network.record.enable_ipv4)) continue;
        std::vector<model::IpamConfig> configs = configs_of(request, v6);
        if (configs.empty()) configs.emplace_back();
        std::vector<NetworkSubnet>& subnets = v6 ? network.v6 : network.v4;
        for (const model::IpamConfig& config : configs) {
            const IpamDriver::Pool pool = ipam.request_pool({.space = network.space,
                                                             .subnet = config.subnet,
                                                             .range = config.ip_range,
                                                             .options = network.record.ipam.options,
                                                             .v6 = v6,
                                                             .reserved = reserved});
            NetworkSubnet subnet;
            subnet.subnet = pool.subnet.masked();
            subnet.range = IpPrefix::parse(config.ip_range).value_or(IpPrefix());
            subnet.pool_id = pool.id;
            subnet.configured = !config.subnet.empty();
            subnet.taken = true;
            subnets.push_back(std::move(subnet));
            ask_gateway(ipam, pool.gateway, config.gateway, network.is_without_gateway(v6),
                        subnets.back());
            ask_aux(ipam, config, subnets.back());
        }
    }
}

/// The network's subnets, and what was taken out of them, are free again.
void NetworksImpl::give_subnets_back(Network& network) noexcept {
    if (!network.ipam_plugin) {
        const base::Lock lock(mutex_);
        return release_subnets(network);
    }
    IpamDriverPtr ipam;
    tell(network, "release pools", [&] { ipam = find_ipam(network.record.ipam.driver); });
    if (!ipam) return;
    for (std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
        for (NetworkSubnet& subnet : *subnets) {
            if (!std::exchange(subnet.taken, false)) continue;
            const auto release = [&](const IpAddress& address) {
                tell(network, "release address",
                     [&] { ipam->release_address(subnet.pool_id, address); });
            };
            if (subnet.gateway) release(subnet.gateway);
            for (const auto& [name, address] : subnet.aux) release(address);
            tell(network, "release pool", [&] { ipam->release_pool(subnet.pool_id); });
        }
    }
}

/// A driver may want to be told again, by a daemon that starts, what it gave. One that is not there does
/// not keep the network from working.
/// Source: moby libnetwork/controller.go, reservePools.
void NetworksImpl::replay_at_ipam(Network& network) {
    const std::string& name = network.record.ipam.driver;
    for (std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
        for (NetworkSubnet& subnet : *subnets) subnet.taken = true;
    }
    if (absent_ipams_.contains(name)) return;
    IpamDriverPtr ipam;
    tell(network, "look for it", [&] { ipam = find_ipam(name); });
    if (!ipam) absent_ipams_.insert(name);
    if (!ipam || !ipam->wants_replay()) return;
    given_is_asked_for(network);
    for (const bool v6 : {false, true}) {
        for (NetworkSubnet& subnet : v6 ? network.v6 : network.v4) {
            tell(network, "request pool", [&] {
                subnet.pool_id = ipam->request_pool({.space = network.space,
                                                     .subnet = subnet.subnet.str(),
                                                     .range = subnet.range.str(),
                                                     .options = network.record.ipam.options,
                                                     .v6 = v6,
                                                     .reserved = {}})
                                     .id;
            });
            const auto take = [&](const IpAddress& address, const model::StringMap& options) {
                tell(network, "request address", [&] {
                    (void)ipam->request_address(subnet.pool_id, address, options);
                });
            };
            if (subnet.gateway) {
                take(subnet.gateway, {{"RequestAddressType", "com.docker.network.gateway"}});
            }
            for (const auto& [aux, address] : subnet.aux) take(address, {});
        }
    }
}

/// The addresses of an endpoint, before anything else knows of it.
/// Source: moby libnetwork/endpoint.go, assignAddressVersion.
void NetworksImpl::ask_addresses(Joining& joining) {
    {
        const base::Lock lock(mutex_);
        const Network& found = get_locked(joining.request.network);
        // What nobody can join is refused where all others are.
        if (!found.ipam_plugin || found.deleting || !found.foreign.empty()) return;
        joining.network = networks_.at(found.record.id);
    }
    const Network& network = *joining.network;
    const auto ipam = find_ipam(network.record.ipam.driver);
    const model::EndpointSettings& settings = joining.request.settings;
    if (ipam->wants_mac()) {
        joining.given_mac =
            MacAddress::parse(settings.mac_address).value_or(MacAddress::random());
    }
    const model::StringMap options = options_of(joining.given_mac);
    const auto wanted = settings.ipam_config.value_or(model::EndpointIpamConfig());
    const auto ask = [&](const std::vector<NetworkSubnet>& subnets, const std::string& text) {
        if (subnets.empty()) return IpPrefix();
        const IpAddress address = IpAddress::parse(text).value_or(IpAddress());
        const NetworkSubnet* const subnet =
            address ? find_subnet(subnets, address) : &subnets.front();
        if (subnet == nullptr) {
            fail(ErrorKind::invalid_argument,
                 fmt::format("invalid address {}: It does not belong to any of this network's "
                             "subnets",
                             text));
        }
        return ipam->request_address(subnet->pool_id, address, options);
    };
    joining.given4 = ask(network.v4, wanted.ipv4_address);
    base::Undo release([&]() noexcept { give_address_back(network, joining.given4); });
    if (joining.ipv6) joining.given6 = ask(network.v6, wanted.ipv6_address);
    release.dismiss();
}

/// What a running container has.
void NetworksImpl::ask_again(const Network& network, const EndpointInfo& endpoint) noexcept {
    tell(network, "request address", [&] {
        if (absent_ipams_.contains(network.record.ipam.driver)) return;
        const auto ipam = find_ipam(network.record.ipam.driver);
        if (!ipam->wants_replay()) return;
        const auto options = options_of(ipam->wants_mac() ? endpoint.mac : MacAddress());
        for (const IpAddress& address : {endpoint.ipv4.address, endpoint.ipv6.address}) {
            const auto* const subnet =
                find_subnet(address.is_v6() ? network.v6 : network.v4, address);
            if (subnet == nullptr) continue;
            tell(network, "request address",
                 [&] { (void)ipam->request_address(subnet->pool_id, address, options); });
        }
    });
}

void NetworksImpl::give_address_back(const Network& network,
                                     const IpPrefix& address) const noexcept {
    if (!address) return;
    tell(network, "release address", [&] {
        const auto* const subnet =
            find_subnet(address.address.is_v6() ? network.v6 : network.v4, address.address);
        if (subnet == nullptr) return;
        find_ipam(network.record.ipam.driver)->release_address(subnet->pool_id, address.address);
    });
}

}  // namespace dockerd::net

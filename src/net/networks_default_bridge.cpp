#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>

#include "default_bridge.hpp"
#include "networks_impl.hpp"

/// The network "bridge", which follows the daemon's flags.
namespace dockerd::net {

namespace log = base::log;

namespace {

constexpr const char* default_bridge_name = "docker0";

std::string bool_text(bool value) { return value ? "true" : "false"; }

}  // namespace

/// Takes docker0 away, unless a container of an earlier daemon still lives on it.
/// Source: moby daemon/daemon_unix.go, removeDefaultBridgeInterface.
void NetworksImpl::remove_default_bridge_device() noexcept {
    try {
        const base::Lock lock(links_mutex_);
        const auto device = links_.find(default_bridge_name);
        if (!device || device->kind != "bridge") return;
        const auto links = links_.list();
        const bool used = std::ranges::any_of(
            links, [&](const Link& link) { return link.master == device->index; });
        if (!used) links_.remove(device->index);
    } catch (const base::Error& error) {
        log::warn("Failed to remove bridge interface ({}): {}", default_bridge_name, error.what());
    }
}

/// Source: moby daemon/daemon_unix.go, configureNetworking and initBridgeDriver.
void NetworksImpl::start_default_bridge() {
    const bool own = options_.bridge.empty();
    // So that other pools take effect.
    const bool other_pools = own && options_.own_pools && !options_.live_restore;
    if (other_pools) remove_default_bridge_device();
    Network* network = find_locked("bridge");
    if (network == nullptr) {
        auto fresh = std::make_shared<Network>();
        fresh->record.id = base::random_id();
        fresh->record.created = base::WallTime::now();
        network = fresh.get();
        networks_.emplace(fresh->record.id, std::move(fresh));
    }
    NetworkRecord& record = network->record;
    record.name = "bridge";
    record.driver = "bridge";
    record.enable_ipv6 = options_.ipv6;
    record.ipam.driver = "default";
    record.labels.given = true;
    const auto name = record.options.find("com.docker.network.bridge.name");
    const std::string last_device =
        name == record.options.end() || other_pools ? std::string() : name->second;
    record.options = {};
    record.options.given = true;
    const std::string bridge = "com.docker.network.bridge.";
    record.options[bridge + "default_bridge"] = "true";
    record.options[bridge + "enable_icc"] = bool_text(options_.icc);
    record.options[bridge + "enable_ip_masquerade"] = bool_text(options_.ip_masquerade);
    record.options[bridge + "host_binding_ipv4"] =
        options_.default_host_ip ? options_.default_host_ip.str() : "0.0.0.0";
    record.options[bridge + "name"] = own ? default_bridge_name : options_.bridge;
    record.options["com.docker.network.driver.mtu"] = std::to_string(options_.mtu);
    network->bridge = parse_bridge_options(record.options);
    // What docker0 had stays its own, also when a boot has taken the device.
    std::vector<IpPrefix> last;
    for (std::vector<NetworkSubnet>* subnets : {&network->v4, &network->v6}) {
        for (const NetworkSubnet& subnet : *subnets) {
            if (own && last_device == default_bridge_name && subnet.gateway) {
                last.push_back({subnet.gateway, subnet.subnet.bits});
            }
        }
        subnets->clear();
    }
    choose_default_subnets(*network, last);
    base::in_context("error creating default \"bridge\" network", [&] {
        {
            const base::Lock lock(links_mutex_);
            if (!own && !links_.find(options_.bridge)) {
                // Source: moby bridge/setup_device_linux.go, setupDevice.
                base::fail(base::ErrorKind::permission_denied,
                           fmt::format("bridge device with non default name {} must be created "
                                       "manually",
                                       options_.bridge));
            }
        }
        set_up_bridge(*network);
    });
    record.ipam = shown_ipam(*network);
    record.static_subnets = static_subnets(*network);
}

/// `last` are the addresses the bridge had when an earlier daemon wrote its record.
void NetworksImpl::choose_default_subnets(Network& network, const std::vector<IpPrefix>& last) {
    std::vector<model::IpamConfig> configs;
    for (const bool v6 : {false, true}) {
        if (v6 && !options_.ipv6) break;
        std::vector<IpPrefix> present;
        {
            const base::Lock lock(links_mutex_);
            const auto link = links_.find(network.bridge.name);
            if (link) present = links_.addresses(link->index, v6);
            for (const IpPrefix& address : last) {
                if (!link && address.address.is_v6() == v6) present.push_back(address);
            }
        }
        configs.push_back(plan_default_bridge(
            {.v6 = v6,
             .managed = options_.bridge.empty(),
             .bip = v6 ? options_.bip6 : options_.bip,
             .fixed_cidr = v6 ? options_.fixed_cidr_v6 : options_.fixed_cidr,
             .gateway = v6 ? options_.default_gateway_v6 : options_.default_gateway},
            std::move(present)));
    }
    const std::vector<IpPrefix> reserved = reserved_subnets();
    base::in_context("error creating default \"bridge\" network", [&] {
        const base::Lock lock(mutex_);
        for (std::size_t i = 0; i < configs.size(); ++i) {
            allocate_family(network, {configs[i]}, /*v6=*/i == 1, reserved);
        }
        check_bridge(network);
    });
}

}  // namespace dockerd::net

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "metrics/metrics.hpp"
#include "plan_input.hpp"
#include "validate.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;

/// Which networks a container can be in at once.
// Source: moby daemon/container_operations.go, updateNetworkSettings; runconfig/errors.go.
void check_compatible(const Container& container, const net::NetworkRecord& network,
                      const net::Networks& networks) DOCKERD_REQUIRES(container.operation) {
    const auto refuse_shared = [] {
        base::fail(ErrorKind::invalid_argument,
                   "container sharing network namespace with another container or host cannot be "
                   "connected to any other network");
    };
    const auto& record = container.record;
    // Differs from Docker: also while the container does not run; there it then cannot start.
    if (model::is_container_mode(record.host_config.network_mode)) refuse_shared();
    if (record.host_config.network_mode != "host" && network.driver == "host") {
        base::fail(ErrorKind::invalid_argument,
                   "cannot connect container to host network - container must be created in host "
                   "network mode");
    }
    for (const auto& [name, endpoint] : record.network.networks) {
        const auto present = networks.find(name);
        if (!present) continue;
        if (present->name == network.name) return;
        if (present->driver == "host" || network.driver == "host") refuse_shared();
        if (present->name == "none" || network.name == "none") {
            base::fail(ErrorKind::invalid_argument,
                       "container cannot be connected to multiple networks with one of the "
                       "networks in private (none) mode");
        }
    }
}

/// By force a name may also be that of an endpoint whose container is gone: none is left here.
/// Source: moby daemon/container_operations.go, ForceEndpointDelete.
ContainerRef find_to_disconnect(const ContainerIndex& index,
                                const model::NetworkDisconnect& request) {
    try {
        return index.get(request.container);
    } catch (const base::Error&) {
        if (!request.force) throw;
        base::fail(ErrorKind::not_found, fmt::format("endpoint {} not found", request.container));
    }
}

}  // namespace

/// Gives a running container its end of the network.
void Containers::join_network(Container& container, const net::NetworkRecord& network,
                              store::EndpointRecord endpoint) {
    auto& record = container.record;
    net::JoinRequest join;
    join.network = network.id;
    join.container_id = container.id;
    join.container_name = record.name.substr(1);
    join.settings = endpoint.settings;
    join.ports = wanted_ports(record);
    join.exposed_ports = exposed_ports(record.config);
    join.links = network_links(endpoint);
    join.dns = dns_settings(record, options_.dns);
    // Known to the next daemon, should this one die on the way: it is not in the container's file.
    join.before_plug = [this, id = container.id](const std::string& state) {
        write_network_state(id, state);
    };
    net::EndpointInfo info;
    try {
        info = parts_.networks.join(*container.sandbox, join);
    } catch (const base::Error&) {
        save_network_state(container);
        throw;
    }
    info.fill(endpoint.settings);
    edit_own_hosts(record, endpoint.settings, /*add=*/true);
    record.network.networks[network.name] = std::move(endpoint);
    show_ports(container);
    save_network_state(container);
    tell_parents_address(record);
    try {
        open_links(record);
    } catch (const base::Error& error) {
        base::log::warn("container {}: its links: {}", container.id, error.what());
    }
    rewrite_resolv_conf(record);
}

// Source: moby daemon/container_operations.go, ConnectToNetwork.
void Containers::connect_network(const net::NetworkRecord& network,
                                 const model::NetworkConnect& request) {
    const base::ScopeTimer timer(metrics().network_actions["connect"]);
    const auto container = index_.get(request.container);
    const base::Lock lock(container->operation);
    auto& record = container->record;
    if (container->removing || record.state.dead) {
        base::fail(ErrorKind::conflict,
                   fmt::format("container {} is marked for removal and cannot be connected or "
                               "disconnected to the network",
                               container->id));
    }
    if (request.endpoint_config) {
        validate_endpoint(network.name, *request.endpoint_config, parts_.networks);
    }
    check_compatible(*container, network, parts_.networks);
    // A container that does not run only has its settings replaced.
    if (container->sandbox && record.network.networks.contains(network.name)) {
        base::fail(ErrorKind::permission_denied,
                   fmt::format("endpoint with name {} already exists in network {}",
                               record.name.substr(1), network.name));
    }
    store::EndpointRecord endpoint;
    const auto known = record.network.networks.find(network.name);
    std::optional<store::EndpointRecord> before;
    if (known != record.network.networks.end()) before = known->second;
    if (request.endpoint_config) {
        endpoint.settings = *request.endpoint_config;
        endpoint.desired_mac_address = endpoint.settings.mac_address;
    } else if (known != record.network.networks.end()) {
        endpoint = known->second;
    }
    if (!net::is_predefined_network(network.name)) {
        endpoint.settings.dns_names = dns_names(record, endpoint);
    }
    if (container->sandbox) {
        join_network(*container, network, std::move(endpoint));
    } else {
        record.network.networks[network.name] = std::move(endpoint);
    }
    try {
        parts_.files.save(record);
    } catch (const base::Error&) {
        auto taken = record.network.networks.extract(network.name);
        if (container->sandbox) {
            leave_network(*container, network, taken.mapped().settings);
            rewrite_resolv_conf(record);
        } else if (before) {
            record.network.networks.emplace(network.name, *before);
        }
        publish(*container);
        throw;
    }
    if (container->sandbox) {
        log_network_event(record, "connect", network.id, network.name, network.driver);
    }
    publish(*container);
}

/// Takes a running container, whose record is without the network already, off it.
void Containers::leave_network(Container& container, const net::NetworkRecord& network,
                               const model::EndpointSettings& settings) {
    const auto& joined = container.sandbox->endpoints();
    if (std::ranges::find(joined, network.id, &net::EndpointInfo::network_id) != joined.end()) {
        parts_.networks.leave(*container.sandbox, network.id, wanted_ports(container.record));
    }
    edit_own_hosts(container.record, settings, /*add=*/false);
    show_ports(container);
    save_network_state(container);
}

// Source: moby daemon/container_operations.go, DisconnectFromNetwork.
void Containers::disconnect_network(const net::NetworkRecord& network,
                                    const model::NetworkDisconnect& request) {
    const auto container = find_to_disconnect(index_, request);
    const base::Lock lock(container->operation);
    auto& record = container->record;
    if (record.state.running && record.host_config.network_mode == "host" &&
        network.driver == "host") {
        base::fail(ErrorKind::invalid_argument,
                   "container cannot be disconnected from host network or connected to host "
                   "network");
    }
    const auto found = record.network.networks.find(network.name);
    if (found == record.network.networks.end()) {
        base::fail(ErrorKind::internal,
                   fmt::format("container {} is not connected to {}network {}", container->id,
                               container->sandbox ? "" : "the ", network.name));
    }
    // Written down before anything is done: should the daemon die on the way, the next one goes on.
    auto endpoint = record.network.networks.extract(found);
    try {
        parts_.files.save(record);
    } catch (const base::Error&) {
        record.network.networks.insert(std::move(endpoint));
        throw;
    }
    if (container->sandbox) {
        leave_network(*container, network, endpoint.mapped().settings);
        log_network_event(record, "disconnect", network.id, network.name, network.driver);
        save_relaxed(record);
    }
    publish(*container);
}

std::vector<std::string> Containers::used_networks() const {
    std::vector<std::string> out;
    for (const auto& snapshot : snapshots()) {
        for (const auto& [name, endpoint] : snapshot->network.networks) out.push_back(name);
    }
    return out;
}

}  // namespace dockerd::engine

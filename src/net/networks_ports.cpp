#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>

#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

/// Whether `one` leads outside rather than `other`, both having a gateway or a route of their own.
/// Source: moby libnetwork/sandbox.go, Endpoint.Less.
bool NetworksImpl::leads_before(const SandboxState& sandbox, const EndpointInfo& one,
                                const EndpointInfo& other) {
    const auto rank = [&](const EndpointInfo& endpoint) {
        const auto priority = sandbox.priorities.find(endpoint.endpoint_id);
        return std::pair(priority == sandbox.priorities.end() ? 0 : -priority->second,
                         endpoint.network_name);
    };
    return rank(one) < rank(other);
}

/// Reserves the ports, opens the firewall, then serves what the kernel does not translate.
void NetworksImpl::publish(SandboxState& sandbox, const Network& network, EndpointInfo& info,
                           PortRole role, const std::vector<PortMapping>& wanted) {
    std::vector<BoundPort> bound;
    bool shielded = false;
    const base::Undo undo([&]() noexcept {
        // Both are empty once everything went well.
        if (shielded && firewall_) firewall_->remove(info.endpoint_id);
        publisher_.release(bound);
    });
    if (!wanted.empty() && (role.v4 || role.v6)) {
        bound =
            publisher_.bind(wanted, {.container4 = role.v4 ? info.ipv4.address : IpAddress(),
                                     .container6 = role.v6 ? info.ipv6.address : IpAddress(),
                                     .v6_to_v4 = role.v4 && role.v6,
                                     .default_host_ip = network.bridge.binding_ip,
                                     .direct4 = network.bridge.mode4 == GatewayMode::routed,
                                     .direct6 = network.bridge.mode6 == GatewayMode::routed});
    }
    if (firewall_) {
        std::vector<PublishedPort> ports;
        for (const BoundPort& port : bound) ports.push_back(port.port);
        firewall_->add(firewall_network(network), info.endpoint_id,
                       {info.ipv4.address, info.ipv6.address}, ports);
        shielded = true;
    }
    std::vector<PublishedPort> published;
    for (const BoundPort& port : bound) published.push_back(port.port);
    // Who has sent before goes on past the rules that are there now.
    conntrack_.forget_ports(published);
    publisher_.serve(bound);
    info.ports = std::move(published);
    sandbox.ports[info.endpoint_id] = std::move(bound);
    sandbox.port_roles[info.endpoint_id] = role;
    bound.clear();
    shielded = false;
}

/// The default bridge's containers alone have links that are rules.
void NetworksImpl::link(const IpAddress& parent, const IpAddress& child,
                        const std::vector<std::string>& ports) {
    if (!firewall_) return;
    FirewallNetwork network;
    {
        const base::Lock lock(mutex_);
        const Network* const bridge = find_locked("bridge");
        if (bridge == nullptr) return;
        network = firewall_network(*bridge);
    }
    for (const std::string& text : ports) {
        const auto [port, protocol] = parse_container_port(text);
        if (port == 0) continue;
        firewall_->add_link(network, {parent, child, protocol, port});
    }
}

void NetworksImpl::unlink(const IpAddress& parent, const IpAddress& child) noexcept {
    if (firewall_) firewall_->remove_links(parent, child);
}

/// Gives the endpoint's ports back, if it has any, and publishes `wanted`.
void NetworksImpl::republish(SandboxState& sandbox, EndpointInfo& info, PortRole role,
                             const std::vector<PortMapping>& wanted) noexcept {
    std::shared_ptr<Network> network;
    try {
        {
            const base::Lock lock(mutex_);
            network = networks_.at(info.network_id);
        }
        if (const auto ports = sandbox.ports.find(info.endpoint_id); ports != sandbox.ports.end()) {
            publisher_.release(ports->second);
            sandbox.ports.erase(ports);
        }
        if (firewall_) firewall_->remove(info.endpoint_id, /*keep_links=*/true);
        conntrack_.forget_ports(info.ports);
        info.ports.clear();
        publish(sandbox, *network, info, role, wanted);
    } catch (const std::exception& error) {
        log::error("endpoint {}: publishing its ports: {}", info.endpoint_id, error.what());
        if (!network) return;
        try {
            // Without ports it still has rules that keep others out.
            publish(sandbox, *network, info, {}, {});
        } catch (const std::exception& again) {
            log::error("endpoint {}: its rules: {}", info.endpoint_id, again.what());
        }
    }
}

/// By whose gateways the container leads outside, `joining` included. The first endpoint with both
/// families' leads for both, whichever one-family endpoints there are.
/// Source: moby libnetwork/default_gateway.go, selectGatewayEndpoint.
NetworksImpl::Leaders NetworksImpl::leaders(const SandboxState& sandbox,
                                            const EndpointInfo* joining) {
    std::vector<const EndpointInfo*> endpoints;
    for (const EndpointInfo& endpoint : sandbox.endpoints) endpoints.push_back(&endpoint);
    if (joining != nullptr) endpoints.push_back(joining);
    std::ranges::sort(endpoints, [&](const EndpointInfo* one, const EndpointInfo* other) {
        return leads_before(sandbox, *one, *other);
    });
    Leaders out;
    for (const EndpointInfo* endpoint : endpoints) {
        const bool v4 = endpoint->gateway || (endpoint->leads_by_link && endpoint->ipv4);
        const bool v6 = endpoint->ipv6_gateway || (endpoint->leads_by_link && endpoint->ipv6);
        if (v4 && v6) return {endpoint, endpoint};
        if (v4 && out.v4 == nullptr) out.v4 = endpoint;
        if (v6 && out.v6 == nullptr) out.v6 = endpoint;
    }
    return out;
}

/// Ports are published on the network that leads outside, and on no other; of both families when
/// none leads outside with the other.
/// Source: moby libnetwork/endpoint.go, updateExternalConnectivity.
PortRole NetworksImpl::role_of(const EndpointInfo& endpoint, const Leaders& lead) {
    if (endpoint.driver != "bridge") return {};
    const bool first4 = lead.v4 == &endpoint;
    const bool first6 = lead.v6 == &endpoint;
    return {first4 || (first6 && lead.v4 == nullptr), first6 || (first4 && lead.v6 == nullptr)};
}

/// After a change of endpoints each has the ports that are its own now.
void NetworksImpl::move_ports(SandboxState& sandbox,
                              const std::vector<PortMapping>& wanted) noexcept {
    const Leaders lead = leaders(sandbox, nullptr);
    // First what is given back, then what is taken: some of it is the same.
    for (EndpointInfo& endpoint : sandbox.endpoints) {
        if (!endpoint.ports.empty() &&
            sandbox.port_roles[endpoint.endpoint_id] != role_of(endpoint, lead)) {
            republish(sandbox, endpoint, {}, {});
        }
    }
    for (EndpointInfo& endpoint : sandbox.endpoints) {
        const PortRole role = role_of(endpoint, lead);
        if ((role.v4 || role.v6) && endpoint.ports.empty() && !wanted.empty()) {
            republish(sandbox, endpoint, role, wanted);
        }
    }
}

/// For an endpoint about to join: where it leads, others give their ports back.
void NetworksImpl::publish_joining(SandboxState& sandbox, const Network& network,
                                   EndpointInfo& info, const JoinRequest& request) {
    const Leaders lead = leaders(sandbox, &info);
    base::Undo put_back([&]() noexcept { move_ports(sandbox, request.ports); });
    for (EndpointInfo& other : sandbox.endpoints) {
        const PortRole role = role_of(other, lead);
        if (!other.ports.empty() && sandbox.port_roles[other.endpoint_id] != role) {
            republish(sandbox, other, role, request.ports);
        }
    }
    base::in_context(
        fmt::format("driver failed programming external connectivity on endpoint {} ({})",
                    request.container_name, info.endpoint_id),
        [&] { publish(sandbox, network, info, role_of(info, lead), request.ports); });
    put_back.dismiss();
}

}  // namespace dockerd::net

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>

#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

/// Whether `one` leads outside rather than `other`, both having a gateway.
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
                           const std::vector<PortMapping>& wanted) {
    std::vector<BoundPort> bound;
    bool shielded = false;
    const base::Undo undo([&]() noexcept {
        // Both are empty once everything went well.
        if (shielded && firewall_) firewall_->remove(info.endpoint_id);
        publisher_.release(bound);
    });
    if (!wanted.empty()) {
        bound =
            publisher_.bind(wanted, {.container4 = info.ipv4.address,
                                     .container6 = info.ipv6.address,
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
    publisher_.serve(bound);
    info.ports.clear();
    for (const BoundPort& port : bound) info.ports.push_back(port.port);
    sandbox.ports[info.endpoint_id] = std::move(bound);
    bound.clear();
    shielded = false;
}

/// Publishes the ports anew: where `info`'s network is, `wanted` alone.
void NetworksImpl::republish(SandboxState& sandbox, EndpointInfo& info,
                             const std::vector<PortMapping>& wanted) noexcept {
    try {
        std::shared_ptr<Network> network;
        {
            const base::Lock lock(mutex_);
            network = networks_.at(info.network_id);
        }
        if (const auto ports = sandbox.ports.find(info.endpoint_id); ports != sandbox.ports.end()) {
            publisher_.release(ports->second);
            sandbox.ports.erase(ports);
        }
        info.ports.clear();
        if (firewall_) firewall_->remove(info.endpoint_id);
        publish(sandbox, *network, info, wanted);
    } catch (const std::exception& error) {
        log::error("endpoint {}: publishing its ports: {}", info.endpoint_id, error.what());
    }
}

/// The endpoint by whose gateway the container leads outside; null when none does.
EndpointInfo* NetworksImpl::leading_endpoint(SandboxState& sandbox) {
    EndpointInfo* best = nullptr;
    for (EndpointInfo& endpoint : sandbox.endpoints) {
        if (!endpoint.gateway && !endpoint.ipv6_gateway) continue;
        if (best == nullptr || leads_before(sandbox, endpoint, *best)) best = &endpoint;
    }
    return best;
}

/// Ports are published on the network that leads outside, and on no other.
/// Source: moby libnetwork/sandbox.go, Sandbox.getGatewayEndpoint; bridge, ProgramExternalConnectivity.
void NetworksImpl::move_ports(SandboxState& sandbox,
                              const std::vector<PortMapping>& wanted) noexcept {
    EndpointInfo* const leading = leading_endpoint(sandbox);
    for (EndpointInfo& endpoint : sandbox.endpoints) {
        if (&endpoint != leading && !endpoint.ports.empty()) republish(sandbox, endpoint, {});
    }
    if (leading == nullptr || leading->driver != "bridge") return;
    if (leading->ports.empty() && !wanted.empty()) republish(sandbox, *leading, wanted);
}

/// For an endpoint about to join: with its network in the lead, others give their ports back.
void NetworksImpl::publish_joining(SandboxState& sandbox, const Network& network,
                                   EndpointInfo& info, const JoinRequest& request) {
    bool leads = info.gateway || info.ipv6_gateway;
    for (const EndpointInfo& other : sandbox.endpoints) {
        const bool may_lead = other.gateway || other.ipv6_gateway;
        leads = leads && !(may_lead && leads_before(sandbox, other, info));
    }
    base::Undo put_back([&]() noexcept { move_ports(sandbox, request.ports); });
    if (leads) {
        for (EndpointInfo& other : sandbox.endpoints) {
            if (!other.ports.empty()) republish(sandbox, other, {});
        }
    }
    base::in_context(
        fmt::format("driver failed programming external connectivity on endpoint {} ({})",
                    request.container_name, info.endpoint_id),
        [&] {
            publish(sandbox, network, info, leads ? request.ports : std::vector<PortMapping>());
        });
    put_back.dismiss();
}

}  // namespace dockerd::net

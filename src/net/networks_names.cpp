#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "netns.hpp"
#include "networks_impl.hpp"

/// What Networks tells the resolver.
namespace dockerd::net {

namespace log = base::log;

/// Opens the sandbox's resolver, again when an earlier daemon had opened it. A container whose
/// kernel refuses it runs without names.
/// Source: moby libnetwork/sandbox_dns_unix.go, startResolver.
void NetworksImpl::open_resolver(SandboxState& sandbox) {
    try {
        ResolverSockets sockets;
        {
            NetnsVisit visit(home_);
            visit.enter(sandbox.netns);
            sockets = open_resolver_sockets(sandbox.resolver_ports);
        }
        sandbox.resolver_ports = sockets.ports;
        base::Fd netns(::fcntl(sandbox.netns.get(), F_DUPFD_CLOEXEC, 0));
        if (!netns) base::throw_errno(errno, "duplicate network namespace");
        sandbox.resolver = resolver_.add(std::move(sockets), std::move(netns), sandbox.dns);
    } catch (const std::exception& error) {
        log::error("Resolver Start failed for sandbox {}: {}", sandbox.id, error.what());
    }
}

/// Others find the endpoint from now on, and its container the others.
void NetworksImpl::add_names(SandboxState& sandbox, const EndpointInfo& endpoint) {
    if (sandbox.host || is_predefined_network(endpoint.network_name)) {
        show_names(sandbox);
        return;
    }
    if (!sandbox.resolver) open_resolver(sandbox);
    resolver_.add_names(endpoint.network_id,
                        {endpoint.endpoint_id, endpoint.dns_names, endpoint.ipv4.address,
                         endpoint.ipv6.address});
    show_names(sandbox);
}

/// Tells the resolver which networks the container is on.
void NetworksImpl::show_names(const SandboxState& sandbox) {
    if (!sandbox.resolver) return;
    std::vector<NamePlace> places;
    bool outside = false;
    for (const EndpointInfo& endpoint : sandbox.endpoints) {
        NamePlace place;
        place.network_id = endpoint.network_id;
        place.network_name = endpoint.network_name;
        place.aliases = endpoint.links;
        const auto priority = sandbox.priorities.find(endpoint.endpoint_id);
        if (priority != sandbox.priorities.end()) place.priority = priority->second;
        place.gateways = (endpoint.gateway ? 1U : 0U) + (endpoint.ipv6_gateway ? 1U : 0U);
        {
            const base::Lock lock(mutex_);
            const auto network = networks_.find(endpoint.network_id);
            place.internal = network != networks_.end() && network->second->record.internal;
        }
        outside = outside || (!place.internal && (place.gateways > 0 || endpoint.leads_by_link));
        places.push_back(std::move(place));
    }
    resolver_.show(*sandbox.resolver, std::move(places), outside);
}

void NetworksImpl::rename(Sandbox& handle, const std::string& container_name,
                          const std::map<std::string, std::vector<std::string>>& dns_names) {
    SandboxState& sandbox = *handle.state_;
    for (EndpointInfo& endpoint : sandbox.endpoints) {
        {
            const base::Lock lock(mutex_);
            Network* network = find_locked(endpoint.network_id);
            if (network == nullptr) continue;
            for (auto& member : network->record.members) {
                if (member.endpoint_id == endpoint.endpoint_id) member.name = container_name;
            }
        }
        const auto names = dns_names.find(endpoint.network_id);
        if (names == dns_names.end()) continue;
        endpoint.dns_names = names->second;
        add_names(sandbox, endpoint);
    }
}

}  // namespace dockerd::net

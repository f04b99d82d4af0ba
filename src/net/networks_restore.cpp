#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "netns.hpp"
#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

/// "veth" and seven hex digits: a name this module gives.
bool is_own_veth(std::string_view name) {
    return name.size() == 11 && name.starts_with("veth") &&
           std::ranges::all_of(name.substr(4), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

}  // namespace

/// Takes one endpoint's address, membership, ports and rules over.
void NetworksImpl::adopt(SandboxState& sandbox, EndpointInfo& endpoint,
                         const std::string& container_id, const std::string& container_name) {
    std::shared_ptr<Network> network;
    {
        const base::Lock lock(mutex_);
        Network* found = find_locked(endpoint.network_id);
        // The predefined networks may have a new id, as with Docker after an unclean restart.
        if (found == nullptr && is_predefined_network(endpoint.network_name)) {
            found = find_locked(endpoint.network_name);
        }
        if (found == nullptr) {
            log::warn("container {}: network {} is gone", container_name, endpoint.network_name);
            return;
        }
        endpoint.network_id = found->record.id;
        network = networks_.at(found->record.id);
        try {
            for (const IpAddress& address : {endpoint.ipv4.address, endpoint.ipv6.address}) {
                if (network->ipam_plugin) continue;
                const auto& subnets = address.is_v6() ? network->v6 : network->v4;
                const NetworkSubnet* subnet = find_subnet(subnets, address);
                if (subnet != nullptr) ipam_.take(subnet->subnet, address);
            }
        } catch (const base::Error& error) {
            log::warn("container {}: address {}: {}", container_name, endpoint.ipv4.str(),
                      error.what());
        }
        if (!endpoint.host_interface.empty()) live_interfaces_.insert(endpoint.host_interface);
        network->record.members.push_back({container_id, container_name, endpoint.endpoint_id,
                                           endpoint.mac.is_none() ? "" : endpoint.mac.str(),
                                           endpoint.ipv4.str(), endpoint.ipv6.str()});
    }
    if (network->ipam_plugin) ask_again(*network, endpoint);
    if (endpoint.driver != "bridge") return;
    std::vector<BoundPort> bound = publisher_.bind_again(endpoint.ports);
    if (firewall_) {
        std::vector<PublishedPort> ports;
        for (const BoundPort& port : bound) ports.push_back(port.port);
        firewall_->add(firewall_network(*network), endpoint.endpoint_id,
                       {endpoint.ipv4.address, endpoint.ipv6.address}, ports);
    }
    publisher_.serve(bound);
    sandbox.ports.emplace(endpoint.endpoint_id, std::move(bound));
}

/// Ends what a death cut off. Nothing of such an endpoint is adopted: another container may have its
/// address since. A link that is merely missing says nothing: a container may have deleted its own.
void NetworksImpl::take_leftovers(SandboxState& sandbox, const std::vector<std::string>& networks) {
    const auto left = std::ranges::stable_partition(
        sandbox.endpoints, [&](const EndpointInfo& endpoint) {
            return std::ranges::find(networks, endpoint.network_name) != networks.end();
        });
    for (const EndpointInfo& endpoint : left) {
        log::info("sandbox {}: leaving network {}, as an earlier daemon was about to", sandbox.id,
                  endpoint.network_name);
        unplug(sandbox, endpoint);
        conntrack_.forget_ports(endpoint.ports);
        sandbox.priorities.erase(endpoint.endpoint_id);
        sandbox.left.push_back(endpoint);
    }
    sandbox.endpoints.erase(left.begin(), left.end());
}

std::unique_ptr<Sandbox> NetworksImpl::restore(std::string_view saved,
                                               const std::string& container_id,
                                               const std::string& container_name,
                                               const std::vector<std::string>& networks) {
    auto state = std::make_unique<SandboxState>();
    decode_sandbox(saved, *state);
    if (state->host) {
        state->netns.reset(::fcntl(home_.get(), F_DUPFD_CLOEXEC, 0));
    } else {
        if (!is_netns_mount(state->key)) {
            base::throw_errno(ENOENT, fmt::format("network namespace {}", state->key));
        }
        state->netns.reset(::open(state->key.c_str(), O_RDONLY | O_CLOEXEC));
    }
    if (!state->netns) base::throw_errno(errno, fmt::format("open {}", state->key));
    if (!state->host) {
        NetnsVisit visit(home_);
        visit.enter(state->netns);
        state->links = std::make_unique<Links>();
    }
    take_leftovers(*state, networks);
    for (EndpointInfo& endpoint : state->endpoints) {
        adopt(*state, endpoint, container_id, container_name);
    }
    const Leaders lead = leaders(*state, nullptr);
    for (const EndpointInfo& endpoint : state->endpoints) {
        state->port_roles[endpoint.endpoint_id] = role_of(endpoint, lead);
    }
    // Its rules still lead to the ports of the last one.
    if (state->resolver_ports.udp != 0) open_resolver(*state);
    for (const EndpointInfo& endpoint : state->endpoints) add_names(*state, endpoint);
    const base::Lock lock(mutex_);
    live_keys_.insert(state->key);
    // Who had which address before is not known any more.
    announce_all_ = true;
    return std::unique_ptr<Sandbox>(new Sandbox(std::move(state)));
}

std::vector<EndpointInfo> NetworksImpl::settle(Sandbox& handle,
                                               const std::vector<PortMapping>& ports) {
    SandboxState& sandbox = *handle.state_;
    std::vector<EndpointInfo> left = std::exchange(sandbox.left, {});
    if (left.empty()) return left;
    // All others keep the routes they have: these may be the container's own.
    if (sandbox.links) choose_gateway(sandbox);
    move_ports(sandbox, ports);
    return left;
}

void NetworksImpl::clean_stale() {
    {
        const base::Lock change(change_mutex_);
        start_firewall();
    }
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(options_.exec_root + "/netns", error)) {
        const std::string path = entry.path().string();
        const base::Lock lock(mutex_);
        if (live_keys_.contains(path) || entry.path().filename() == "default") continue;
        if (!unmount_netns(path)) log::warn("unmount {}, ignoring", path);
    }
    std::vector<Link> stale;
    {
        const base::Lock links(links_mutex_);
        const std::vector<Link> all = links_.list();
        const base::Lock lock(mutex_);
        for (const Link& link : all) {
            const bool ours = std::ranges::any_of(networks_, [&](const auto& entry) {
                return entry.second->bridge_index != 0 && entry.second->bridge_index == link.master;
            });
            if (ours && link.kind == "veth" && is_own_veth(link.name) &&
                !live_interfaces_.contains(link.name)) {
                stale.push_back(link);
            }
        }
    }
    for (const Link& link : stale) {
        try {
            const base::Lock links(links_mutex_);
            links_.remove(link.index);
            log::info("removed stale interface {}", link.name);
        } catch (const base::Error& failure) {
            log::debug("{}, ignoring", failure.what());
        }
    }
}

}  // namespace dockerd::net

#include <dockerd/net/networks.hpp>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "networks_impl.hpp"

namespace dockerd::net {

bool is_predefined_network(std::string_view name) {
    return name == "bridge" || name == "host" || name == "none" || name == "default";
}

Sandbox::Sandbox(std::unique_ptr<SandboxState> state) : state_(std::move(state)) {}
Sandbox::~Sandbox() = default;
const std::string& Sandbox::id() const { return state_->id; }
const std::string& Sandbox::key() const { return state_->key; }
const base::Fd& Sandbox::netns() const { return state_->netns; }
bool Sandbox::is_host() const { return state_->host; }
const std::vector<EndpointInfo>& Sandbox::endpoints() const { return state_->endpoints; }
std::string Sandbox::save() const { return encode_sandbox(*state_); }

void EndpointInfo::fill(model::EndpointSettings& settings) const {
    settings.network_id = network_id;
    settings.endpoint_id = endpoint_id;
    settings.gateway = gateway.str();
    settings.ip_address = ipv4.address.str();
    settings.ip_prefix_len = ipv4 ? ipv4.bits : 0;
    settings.ipv6_gateway = ipv6_gateway.str();
    settings.global_ipv6_address = ipv6.address.str();
    settings.global_ipv6_prefix_len = ipv6 ? ipv6.bits : 0;
    settings.mac_address = mac.is_none() ? std::string() : mac.str();
}

Networks::Networks(NetworksOptions options, NetworkStore& store)
    : impl_(std::make_unique<NetworksImpl>(std::move(options), store)) {}
Networks::~Networks() = default;
std::vector<NetworkRecord> Networks::list() const { return impl_->list(); }
NetworkRecord Networks::get(std::string_view reference) const { return impl_->get(reference); }
std::optional<NetworkRecord> Networks::find(std::string_view reference) const {
    return impl_->find(reference);
}
NetworkRecord Networks::create(const model::NetworkCreate& request) {
    return impl_->create(request);
}
void Networks::link(const IpAddress& parent, const IpAddress& child,
                    const std::vector<std::string>& ports) {
    impl_->link(parent, child, ports);
}
void Networks::unlink(const IpAddress& parent, const IpAddress& child) noexcept {
    impl_->unlink(parent, child);
}
void Networks::remove(std::string_view reference) { impl_->remove(reference); }
std::unique_ptr<Sandbox> Networks::open_sandbox(base::Fd existing) {
    return impl_->open_sandbox(std::move(existing));
}
std::unique_ptr<Sandbox> Networks::open_host_sandbox() { return impl_->open_host_sandbox(); }
EndpointInfo Networks::join(Sandbox& sandbox, const JoinRequest& request) {
    return impl_->join(sandbox, request);
}
void Networks::leave(Sandbox& sandbox, std::string_view network,
                     const std::vector<PortMapping>& ports) {
    impl_->leave(sandbox, network, ports);
}
void Networks::rename(Sandbox& sandbox, const std::string& container_name,
                      const std::map<std::string, std::vector<std::string>>& dns_names) {
    impl_->rename(sandbox, container_name, dns_names);
}
void Networks::close(std::unique_ptr<Sandbox> sandbox) noexcept {
    if (sandbox) impl_->close(*sandbox);
}
std::unique_ptr<Sandbox> Networks::restore(std::string_view saved, const std::string& container_id,
                                           const std::string& container_name,
                                           const std::vector<std::string>& networks) {
    return impl_->restore(saved, container_id, container_name, networks);
}
std::vector<EndpointInfo> Networks::settle(Sandbox& sandbox, const std::vector<PortMapping>& ports) {
    return impl_->settle(sandbox, ports);
}
void Networks::clean_stale() { impl_->clean_stale(); }
std::vector<IpAddress> Networks::host_gateways() const { return impl_->host_gateways(); }

std::vector<NetworkRecord> NetworksImpl::list() const {
    const base::Lock lock(mutex_);
    std::vector<NetworkRecord> out;
    for (const auto& [id, network] : networks_) out.push_back(network->record);
    return out;
}

Network* NetworksImpl::find_locked(std::string_view reference) const {
    if (const auto found = networks_.find(std::string(reference)); found != networks_.end()) {
        return found->second.get();
    }
    Network* match = nullptr;
    for (const auto& [id, network] : networks_) {
        if (network->record.name == reference) return network.get();
    }
    std::size_t matches = 0;
    for (const auto& [id, network] : networks_) {
        if (!std::string_view(id).starts_with(reference)) continue;
        ++matches;
        match = network.get();
    }
    if (matches > 1) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("network {} is ambiguous ({} matches found based on ID prefix)",
                               reference, matches));
    }
    return match;
}

Network& NetworksImpl::get_locked(std::string_view reference) const {
    Network* found = find_locked(reference);
    if (found == nullptr) {
        // Source: moby libnetwork/error.go, ErrNoSuchNetwork.
        base::fail(base::ErrorKind::not_found, fmt::format("network {} not found", reference));
    }
    return *found;
}

std::optional<NetworkRecord> NetworksImpl::find(std::string_view reference) const {
    const base::Lock lock(mutex_);
    const Network* found = find_locked(reference);
    if (found == nullptr) return std::nullopt;
    return found->record;
}

NetworkRecord NetworksImpl::get(std::string_view reference) const {
    const base::Lock lock(mutex_);
    return get_locked(reference).record;
}

std::vector<IpAddress> NetworksImpl::host_gateways() const {
    if (!options_.host_gateway_ips.empty()) return options_.host_gateway_ips;
    const base::Lock lock(mutex_);
    std::vector<IpAddress> out;
    const Network* bridge = find_locked("bridge");
    if (bridge == nullptr) return out;
    for (const NetworkSubnet& subnet : bridge->v4) out.push_back(subnet.gateway);
    for (const NetworkSubnet& subnet : bridge->v6) out.push_back(subnet.gateway);
    return out;
}

}  // namespace dockerd::net

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "networks_impl.hpp"

/// Configuration networks: what other networks are made with, kept under a name.
namespace dockerd::net {

using base::ErrorKind;
using base::fail;

namespace {

/// The subnet as it is asked for; nobody has taken it.
NetworkSubnet asked_subnet(const model::IpamConfig& config) {
    NetworkSubnet out;
    out.subnet = *IpPrefix::parse(config.subnet);
    out.configured = true;
    if (!config.ip_range.empty()) out.range = *IpPrefix::parse(config.ip_range);
    out.gateway_configured = !config.gateway.empty();
    if (out.gateway_configured) out.gateway = *IpAddress::parse(config.gateway);
    for (const auto& [name, text] : config.aux_address) out.aux[name] = *IpAddress::parse(text);
    return out;
}

}  // namespace

// Source: moby libnetwork/network.go, validateConfiguration.
void check_configuration(const model::NetworkCreate& request, const NetworkRecord& record) {
    if (request.config_only &&
        (request.ingress || request.internal || request.attachable || !request.scope.empty())) {
        fail(ErrorKind::permission_denied,
             "configuration network can only contain network specific fields. Network operator "
             "fields like [ ingress | internal | attachable | scope ] are not supported.");
    }
    if (request.config_from.empty()) {
        (void)parse_announcing(record.options);
        return;
    }
    if (request.config_only) {
        fail(ErrorKind::permission_denied,
             "a configuration network cannot depend on another configuration network");
    }
    const bool own_ipam = request.ipam &&
                          (!request.ipam->config.empty() || !request.ipam->options.empty() ||
                           (!request.ipam->driver.empty() && request.ipam->driver != "default"));
    if (own_ipam || !record.enable_ipv4 || record.enable_ipv6 || !request.labels.empty()) {
        fail(ErrorKind::permission_denied,
             "user specified configurations are not supported if the network depends on a "
             "configuration network");
    }
    if (!request.options.empty()) {
        fail(ErrorKind::permission_denied,
             "network driver options are not supported if the network depends on a configuration "
             "network");
    }
}

/// Keeps what others will ask for by its name.
NetworkRecord NetworksImpl::create_configuration(const model::NetworkCreate& request,
                                                 const std::shared_ptr<Network>& network) {
    NetworkRecord& record = network->record;
    // As Docker has it: no daemon that does not know such networks can use one.
    record.driver = "null";
    record.config_only = true;
    for (const bool v6 : {false, true}) {
        if (!(v6 ? record.enable_ipv6 : record.enable_ipv4)) continue;
        for (const model::IpamConfig& config : configs_of(request, v6)) {
            (v6 ? network->v6 : network->v4).push_back(asked_subnet(config));
        }
    }
    record.ipam = shown_ipam(*network);
    keep(network);
    return record;
}

/// The request with what the configuration network says.
// Source: moby libnetwork/network.go, applyConfigurationTo.
model::NetworkCreate NetworksImpl::take_configuration(const model::NetworkCreate& request) const {
    const base::Lock lock(mutex_);
    for (const auto& [id, other] : networks_) {
        const NetworkRecord& configuration = other->record;
        if (!configuration.config_only || configuration.name != request.config_from) continue;
        model::NetworkCreate out = request;
        out.enable_ipv4 = configuration.enable_ipv4;
        out.enable_ipv6 = configuration.enable_ipv6;
        out.labels = configuration.labels;
        out.options = configuration.options;
        out.ipam = configuration.ipam;
        return out;
    }
    fail(ErrorKind::not_found, fmt::format("configuration network {} does not exist",
                                           base::quote(request.config_from)));
}

void NetworksImpl::require_unused_locked(const std::string& configuration) const {
    for (const auto& [id, other] : networks_) {
        if (other->record.config_from != configuration) continue;
        fail(ErrorKind::permission_denied,
             fmt::format("error while removing network: configuration network {} is in use",
                         base::quote(configuration)));
    }
}

}  // namespace dockerd::net

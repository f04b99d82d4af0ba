#include "networks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "../prune_filter.hpp"

namespace dockerd::engine {
namespace {

using base::Error;
using base::ErrorKind;

// Source: moby libnetwork/datastore; every key of ours lies below it.
constexpr std::string_view key_head = "docker/network/v1.0/";

NetworkDetails details_of(const net::NetworkRecord& record) {
    NetworkDetails out;
    out.name = record.name;
    out.id = record.id;
    out.created = record.created;
    out.scope = record.scope;
    out.driver = record.driver;
    out.enable_ipv4 = record.enable_ipv4;
    out.enable_ipv6 = record.enable_ipv6;
    out.ipam = record.ipam;
    out.internal = record.internal;
    out.attachable = record.attachable;
    out.ingress = record.ingress;
    out.config_only = record.config_only;
    out.config_from = record.config_from;
    out.options = record.options;
    out.labels = record.labels;
    out.labels.given = true;  // an object, also where the record has none
    for (const auto& member : record.members) {
        out.containers[member.container_id] = {.name = member.name,
                                               .endpoint_id = member.endpoint_id,
                                               .mac_address = member.mac_address,
                                               .ipv4_address = member.ipv4_address,
                                               .ipv6_address = member.ipv6_address};
    }
    return out;
}

bool matches(const model::Filters& filters, const net::NetworkRecord& network) {
    if (!filters.exact_match("driver", network.driver)) return false;
    if (!filters.match("name", network.name)) return false;
    const auto& ids = filters.get("id");
    const bool id_fits = ids.empty() || std::ranges::any_of(ids, [&](const std::string& part) {
                             return network.id.find(part) != std::string::npos;
                         });
    if (!id_fits) return false;
    if (!filters.match_labels("label", network.labels)) return false;
    if (!filters.exact_match("scope", network.scope)) return false;
    for (const auto& type : filters.get("type")) {
        if (type != "custom" && type != "builtin") {
            base::fail(ErrorKind::invalid_argument,
                       fmt::format("invalid filter: 'type'='{}'", type));
        }
        if (net::is_predefined_network(network.name) != (type == "builtin")) return false;
    }
    return true;
}

}  // namespace

std::map<std::string, std::string> KvNetworkStore::load() {
    std::map<std::string, std::string> out;
    for (auto& [key, value] : file_.list(key_head)) {
        out.emplace(key.substr(key_head.size()), std::move(value));
    }
    return out;
}

void KvNetworkStore::save(const std::map<std::string, std::string>& records) {
    std::map<std::string, std::optional<std::string>> changes;
    for (const auto& [key, value] : file_.list(key_head)) {
        if (!records.contains(key.substr(key_head.size()))) changes[key] = std::nullopt;
    }
    for (const auto& [key, value] : records) {
        const std::string full = std::string(key_head) + key;
        if (file_.find(full) != value) changes[full] = value;
    }
    if (!changes.empty()) file_.update(changes);
}

void NetworkManager::set_endpoint_changes(ChangeEndpoint connect, RemoveEndpoint disconnect) {
    connect_ = std::move(connect);
    disconnect_ = std::move(disconnect);
}

void NetworkManager::set_usage(std::function<std::vector<std::string>()> used_network_names) {
    used_network_names_ = std::move(used_network_names);
}

// Source: moby daemon/network.go, GetNetworks; daemon/network/filter.go.
std::vector<NetworkDetails> NetworkManager::list(const model::Filters& filters) {
    filters.validate({"dangling", "driver", "id", "label", "name", "scope", "type"});
    std::vector<NetworkDetails> out;
    for (const auto& network : networks_.list()) {
        if (!matches(filters, network)) continue;
        if (filters.contains("dangling")) {
            const bool unused =
                network.members.empty() && !net::is_predefined_network(network.name);
            if (unused != filters.get_bool("dangling", false)) continue;
        }
        out.push_back(details_of(network));
    }
    return out;
}

NetworkDetails NetworkManager::inspect(std::string_view reference, const std::string& scope) {
    const auto network = networks_.get(reference);
    if (!scope.empty() && scope != network.scope) {
        base::fail(ErrorKind::not_found, fmt::format("network {} not found", reference));
    }
    return details_of(network);
}

NetworkService::CreateResult NetworkManager::create(const model::NetworkCreate& request) {
    const auto network = networks_.create(request);
    events_.network("create", network.id, network.name, network.driver);
    return {.id = network.id, .warning = {}};
}

void NetworkManager::remove(std::string_view reference) {
    const auto network = networks_.get(reference);
    networks_.remove(network.id);
    events_.network("destroy", network.id, network.name, network.driver);
}

void NetworkManager::connect(std::string_view reference, const model::NetworkConnect& request) {
    connect_(networks_.get(reference), request);
}

void NetworkManager::disconnect(std::string_view reference,
                                const model::NetworkDisconnect& request) {
    disconnect_(networks_.get(reference), request);
}

// Source: moby daemon/prune.go, localNetworksPrune.
std::vector<std::string> NetworkManager::prune(const model::Filters& filters) {
    filters.validate({"label", "label!", "until"});
    const auto until = prune_until(filters);
    std::set<std::string> used;
    if (used_network_names_) {
        for (auto& name : used_network_names_()) used.insert(std::move(name));
    }
    std::vector<std::string> deleted;
    for (const auto& network : networks_.list()) {
        if (net::is_predefined_network(network.name)) continue;
        if (!network.members.empty() || used.contains(network.name)) continue;
        if (until && network.created > *until) continue;
        if (!filters.match_labels("label", network.labels)) continue;
        if (filters.contains("label!") && filters.match_labels("label!", network.labels)) continue;
        try {
            remove(network.id);
            deleted.push_back(network.name);
        } catch (const Error& error) {
            base::log::warn("could not remove local network {}: {}", network.name, error.what());
        }
    }
    events_.pruned("network", 0);
    return deleted;
}

}  // namespace dockerd::engine

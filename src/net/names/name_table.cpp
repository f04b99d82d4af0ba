#include "name_table.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include <dockerd/base/strings.hpp>

namespace dockerd::net {
void sort_places(std::vector<NamePlace>& places) {
    std::ranges::stable_sort(places, [](const NamePlace& a, const NamePlace& b) {
        return std::tuple(-a.priority, a.internal, 2 - a.gateways, std::string_view(a.network_name)) <
               std::tuple(-b.priority, b.internal, 2 - b.gateways, std::string_view(b.network_name));
    });
}

void NameTable::add(const std::string& network_id, const EndpointNames& endpoint) {
    remove(network_id, endpoint.endpoint_id);
    if (endpoint.names.empty() || (!endpoint.ipv4 && !endpoint.ipv6)) return;
    Network& network = networks_[network_id];
    for (const std::string& name : endpoint.names) {
        auto& entries = network.names[base::to_lower(name)];
        const bool known = std::ranges::find(entries, endpoint.endpoint_id, &Entry::endpoint_id) !=
                           entries.end();
        // Two names may differ in nothing but case.
        if (!known) entries.push_back({endpoint.endpoint_id, endpoint.ipv4, endpoint.ipv6});
    }
    for (const IpAddress& address : {endpoint.ipv4, endpoint.ipv6}) {
        if (!address) continue;
        network.reverse[address].emplace_back(endpoint.endpoint_id, endpoint.names.front());
    }
    network.endpoints.emplace(endpoint.endpoint_id, endpoint);
}

void NameTable::remove(const std::string& network_id, const std::string& endpoint_id) {
    const auto found = networks_.find(network_id);
    if (found == networks_.end()) return;
    Network& network = found->second;
    const auto endpoint = network.endpoints.find(endpoint_id);
    if (endpoint == network.endpoints.end()) return;
    for (const std::string& name : endpoint->second.names) {
        const auto entries = network.names.find(base::to_lower(name));
        if (entries == network.names.end()) continue;
        std::erase_if(entries->second,
                      [&](const Entry& entry) { return entry.endpoint_id == endpoint_id; });
        if (entries->second.empty()) network.names.erase(entries);
    }
    for (const IpAddress& address : {endpoint->second.ipv4, endpoint->second.ipv6}) {
        const auto owners = network.reverse.find(address);
        if (owners == network.reverse.end()) continue;
        std::erase_if(owners->second, [&](const auto& owner) { return owner.first == endpoint_id; });
        if (owners->second.empty()) network.reverse.erase(owners);
    }
    network.endpoints.erase(endpoint);
    if (network.endpoints.empty()) networks_.erase(found);
}

NameTable::Found NameTable::lookup(const std::string& network_id, std::string_view lower,
                                   bool v6) const {
    const auto network = networks_.find(network_id);
    if (network == networks_.end()) return std::nullopt;
    const auto entries = network->second.names.find(lower);
    if (entries == network->second.names.end()) return std::nullopt;
    std::vector<IpAddress> out;
    for (const Entry& entry : entries->second) {
        const IpAddress& address = v6 ? entry.ipv6 : entry.ipv4;
        if (address && std::ranges::find(out, address) == out.end()) out.push_back(address);
    }
    return out;
}

/// First what only this container says, then the names of the networks. `network` "" is any.
NameTable::Found NameTable::resolve_in(const std::vector<NamePlace>& places, std::string_view name,
                                       std::string_view lower, std::string_view network,
                                       bool v6) const {
    for (const bool by_alias : {true, false}) {
        for (const NamePlace& place : places) {
            if (!network.empty() && network != place.network_name) continue;
            const auto alias = place.aliases.find(name);
            if ((alias != place.aliases.end()) != by_alias) continue;
            Found found = by_alias ? lookup(place.network_id, base::to_lower(alias->second), v6)
                                   : lookup(place.network_id, lower, v6);
            if (found) return found;
        }
    }
    return std::nullopt;
}

std::optional<std::vector<IpAddress>> NameTable::resolve(const std::vector<NamePlace>& places,
                                                         std::string_view name, bool v6) const {
    if (name.ends_with('.')) name.remove_suffix(1);
    const std::string lower = base::to_lower(name);
    if (auto found = resolve_in(places, name, lower, "", v6)) return found;
    // "a.b.c" may be "a.b" in the network "c", or "a" in the network "b.c".
    for (auto dot = name.rfind('.'); dot != std::string_view::npos;) {
        auto found = resolve_in(places, name.substr(0, dot), std::string_view(lower).substr(0, dot),
                                name.substr(dot + 1), v6);
        if (found) return found;
        dot = dot == 0 ? std::string_view::npos : name.rfind('.', dot - 1);
    }
    return std::nullopt;
}

std::string NameTable::name_of(const std::vector<NamePlace>& places,
                               const IpAddress& address) const {
    for (const NamePlace& place : places) {
        const auto network = networks_.find(place.network_id);
        if (network == networks_.end()) continue;
        const auto owners = network->second.reverse.find(address);
        if (owners == network->second.reverse.end()) continue;
        return owners->second.front().second + "." + place.network_name;
    }
    return {};
}

}  // namespace dockerd::net

#include <fmt/format.h>

#include <algorithm>

#include <dockerd/base/log.hpp>
#include <dockerd/model/namespace_mode.hpp>
#include <dockerd/net/network.hpp>

#include "containers.hpp"

/// Legacy links (`--link`) of containers on the default bridge.
namespace dockerd::engine {
namespace {

using base::Error;
using base::ErrorKind;

/// The container's place on the default bridge, or null.
const model::EndpointSettings* on_bridge(const ContainerSnapshot& container) {
    const auto found = container.network.networks.find("bridge");
    return found == container.network.networks.end() ? nullptr : &found->second;
}

std::optional<net::IpAddress> bridge_address(const ContainerSnapshot& container) {
    const auto* const place = on_bridge(container);
    return place == nullptr ? std::nullopt : net::IpAddress::parse(place->ip_address);
}

}  // namespace

/// The container a link means. One that shares another's network stands for that one.
// Source: moby daemon/daemon_unix.go, registerLinks.
ContainerRef Containers::linked_container(std::string name) const {
    // Records of other engines can name containers that share each other's network in a circle.
    constexpr int most_hops = 64;
    for (int hops = 0; hops < most_hops; ++hops) {
        ContainerRef child;
        try {
            child = index_.get(name);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::not_found && !name.empty()) throw;
            base::fail(ErrorKind::invalid_argument,
                       fmt::format("could not get container for {}: {}", name, error.what()));
        }
        const std::string mode = child->snapshot()->host_config->network_mode;
        if (mode == "host") {
            base::fail(ErrorKind::invalid_argument,
                       "conflicting options: host type networking can't be used with links. This "
                       "would result in undefined behavior");
        }
        if (!model::is_container_mode(mode)) return child;
        name = model::joined_container(mode);
    }
    base::fail(ErrorKind::invalid_argument,
               fmt::format("could not get container for {}: too many shared networks", name));
}

void Containers::register_links(const store::ContainerRecord& record) {
    if (!net::is_predefined_network(record.host_config.network_mode)) return;
    for (const auto& text : record.host_config.links) {
        const auto [reference, alias] = parse_link(text);
        const auto child = linked_container(reference);
        if (child->id == record.id) continue;  // has taken the other's name since
        add_link({.name = record.name + "/" + alias, .parent = record.id, .child = child->id});
    }
}

/// Leaves out a link whose name is taken.
void Containers::add_link(const LinkIndex::Link& link) {
    try {
        index_.reserve_name(link.name.substr(1), link.child);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::conflict) throw;
        base::log::warn("link {} is left out: {}", link.name, error.what());
        return;
    }
    links_.add(link);
    show_links_of(link.child);
}

/// Takes the container's links to others away.
void Containers::release_links(const std::string& id) noexcept {
    for (const auto& link : links_.remove_parent(id)) {
        index_.release_name(link.name.substr(1), link.child);
        show_links_of(link.child);
    }
}

/// Gives links the container's new name.
void Containers::rename_links(const std::string& id, const std::string& name) {
    for (auto link : links_.remove_parent(id)) {
        index_.release_name(link.name.substr(1), link.child);
        link.name = "/" + name + link.name.substr(link.name.rfind('/'));
        add_link(link);
    }
}

/// Other names of the same link may be left; then the way stays open.
void Containers::close_link(const LinkIndex::Link& link) noexcept {
    const auto same = [&](const LinkIndex::Link& other) { return other.child == link.child; };
    if (std::ranges::any_of(links_.children(link.parent), same)) return;
    const auto address_of = [&](const std::string& id) -> std::optional<net::IpAddress> {
        const auto container = index_.find_id(id);
        return container ? bridge_address(*container->snapshot()) : std::nullopt;
    };
    const auto parent = address_of(link.parent);
    const auto child = address_of(link.child);
    if (parent && child) parts_.networks.unlink(*parent, *child);
}

// Source: moby daemon/delete.go, rmLink.
void Containers::remove_link(std::string_view reference) {
    std::string name(reference);
    if (!name.starts_with('/')) name = "/" + name;
    const auto slash = name.rfind('/');
    if (slash == 0) {
        base::fail(ErrorKind::internal,
                   "Conflict, cannot remove the default link name of the container");
    }
    const auto link = links_.find(name);
    if (!link) {
        base::fail(ErrorKind::internal, fmt::format("Cannot get parent {} for link name {}",
                                                    name.substr(0, slash), name));
    }
    links_.remove(name);
    index_.release_name(name.substr(1), link->child);
    close_link(*link);
    show_links_of(link->child);
}

void Containers::name_by_links(ContainerSnapshot& snapshot) const {
    snapshot.link_names.clear();
    for (const auto& link : links_.parents(snapshot.id)) snapshot.link_names.push_back(link.name);
}

/// Shows a container anew whose links have changed.
void Containers::show_links_of(const std::string& id) noexcept {
    const auto container = index_.find_id(id);
    if (!container) return;
    container->amend_snapshot([this](ContainerSnapshot& next) { name_by_links(next); });
}

/// "/child:/parent/alias", as inspect shows them.
// Source: moby daemon/inspect.go, getInspectData.
model::Strings Containers::shown_links(const std::string& id) const {
    model::Strings out;
    for (const auto& link : links_.children(id)) {
        const auto child = index_.find_id(link.child);
        if (child) out.push_back(child->snapshot()->name + ":" + link.name);
    }
    return out;
}

/// What a container's environment tells of those it is linked to.
/// Throws: internal, "Cannot link to a non running container: /child AS /parent/alias".
// Source: moby daemon/container_operations_unix.go, setupLinkedContainers.
std::vector<std::string> Containers::linked_environment(const store::ContainerRecord& record) const {
    std::vector<std::string> out;
    if (!record.network.networks.contains("bridge")) return out;
    for (const auto& link : links_.children(record.id)) {
        const auto container = index_.find_id(link.child);
        const auto child = container ? container->snapshot() : nullptr;
        if (!child || !child->state.running) {
            base::fail(ErrorKind::internal,
                       fmt::format("Cannot link to a non running container: {} AS {}",
                                   child ? child->name : link.child, link.name));
        }
        const auto* place = on_bridge(*child);
        if (place == nullptr) {
            base::fail(ErrorKind::internal,
                       fmt::format("container {} not attached to default bridge network",
                                   child->id));
        }
        const auto variables = link_environment(link.name, place->ip_address, *child->config);
        out.insert(out.end(), variables.begin(), variables.end());
    }
    return out;
}

/// The lines of /etc/hosts for those a container is linked to.
// Source: moby daemon/container_operations_unix.go, addLegacyLinks.
std::vector<std::pair<std::string, net::IpAddress>> Containers::linked_hosts(
    const store::ContainerRecord& record) const {
    std::vector<std::pair<std::string, net::IpAddress>> out;
    if (!record.network.networks.contains("bridge")) return out;
    for (const auto& link : links_.children(record.id)) {
        const auto container = index_.find_id(link.child);
        if (!container) continue;
        const auto child = container->snapshot();
        const auto* place = on_bridge(*child);
        if (place == nullptr) {
            base::fail(ErrorKind::internal,
                       fmt::format("Cannot link to {}, as it does not belong to the default network",
                                   child->name));
        }
        const std::string alias = link.name.substr(link.name.rfind('/') + 1);
        std::string names = alias + " " + child->config->hostname;
        if (alias != child->name.substr(1)) names += " " + child->name.substr(1);
        for (const auto& text : {place->ip_address, place->global_ipv6_address}) {
            if (const auto address = net::IpAddress::parse(text)) out.emplace_back(names, *address);
        }
    }
    return out;
}

/// Lets the container and those that it is linked to, or that are linked to it, reach each other where
/// --icc=false keeps all others apart.
// Source: moby libnetwork/drivers/bridge/bridge_linux.go, link.
void Containers::open_links(const store::ContainerRecord& record) {
    const auto place = record.network.networks.find("bridge");
    if (place == record.network.networks.end()) return;
    const auto own = net::IpAddress::parse(place->second.settings.ip_address);
    if (!own) return;
    const auto running = [&](const std::string& id) -> ContainerPtr {
        const auto container = index_.find_id(id);
        auto snapshot = container ? container->snapshot() : nullptr;
        return snapshot && snapshot->state.running ? snapshot : nullptr;
    };
    for (const auto& link : links_.children(record.id)) {
        const auto child = running(link.child);
        const auto address = child ? bridge_address(*child) : std::nullopt;
        if (address) parts_.networks.link(*own, *address, exposed_ports(*child->config));
    }
    for (const auto& link : links_.parents(record.id)) {
        const auto parent = running(link.parent);
        const auto address = parent ? bridge_address(*parent) : std::nullopt;
        if (address) parts_.networks.link(*address, *own, exposed_ports(record.config));
    }
}

/// Tells running containers that are linked to this one its new address.
void Containers::tell_parents_address(const store::ContainerRecord& record) {
    const auto place = record.network.networks.find("bridge");
    if (place == record.network.networks.end()) return;
    const std::string& address = place->second.settings.ip_address;
    for (const auto& link : links_.parents(record.id)) {
        const auto parent = index_.find_id(link.parent);
        if (!parent || !parent->snapshot()->state.running || address.empty()) continue;
        edit_hosts(link.parent, [&](const std::string& text) {
            return replace_address(text, link.name.substr(link.name.rfind('/') + 1), address);
        });
    }
}

}  // namespace dockerd::engine

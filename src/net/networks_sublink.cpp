#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "networks_impl.hpp"

/// The macvlan and ipvlan drivers: parents of networks.
namespace dockerd::net {

namespace log = base::log;
using base::ErrorKind;
using base::fail;

/// One parent serves several macvlan networks, unless one has it for itself, or one ipvlan network.
/// Pre: change_mutex_. Source: moby libnetwork/drivers/{macvlan,ipvlan}, createNetwork.
void NetworksImpl::check_parent(Network& network) const {
    SublinkSettings& own = *network.sublink;
    const base::Lock lock(mutex_);
    for (const auto& [id, other] : networks_) {
        if (!other->sublink || id == network.record.id) continue;
        const SublinkSettings& theirs = *other->sublink;
        if (theirs.parent != own.parent) continue;
        own.created_parent = own.created_parent || theirs.created_parent;
        if (theirs.kind != own.kind) continue;
        if (own.kind == SublinkSettings::Kind::ipvlan) {
            fail(ErrorKind::internal, fmt::format("network {} is already using parent interface {}",
                                                  dummy_parent(own.kind, id), own.parent));
        }
        if (own.mode == "passthru") {
            fail(ErrorKind::internal,
                 fmt::format("cannot use mode passthru, macvlan network {} is already using "
                             "parent interface {}",
                             id, own.parent));
        }
        if (theirs.mode == "passthru") {
            fail(ErrorKind::internal,
                 fmt::format("macvlan network {} is already using parent interface {} in mode "
                             "passthru",
                             id, own.parent));
        }
    }
}

/// Makes the parent if it is a VLAN's or the network's own, and not there.
void NetworksImpl::set_up_parent(Network& network) {
    SublinkSettings& own = *network.sublink;
    if (own.parent.empty()) own.parent = dummy_parent(own.kind, network.record.id);
    check_parent(network);
    const base::Lock lock(links_mutex_);
    if (links_.find(own.parent)) return;
    if (own.parent == dummy_parent(own.kind, network.record.id)) {
        links_.create_dummy(own.parent);
    } else {
        const auto [parent, number] = parse_vlan(own.parent);
        const auto link = links_.find(parent);
        if (!link) {
            fail(ErrorKind::internal,
                 fmt::format("-o parent interface was not found on the host: {}", parent));
        }
        base::in_context(fmt::format("failed to create {} vlan link", own.parent), [&] {
            links_.create_vlan(own.parent, link->index, static_cast<std::uint16_t>(number));
        });
    }
    own.created_parent = true;
}

/// The parent goes with the last network on it, if one of them made it.
void NetworksImpl::release_parent(const Network& network) noexcept {
    const SublinkSettings& own = *network.sublink;
    if (!own.created_parent) return;
    {
        const base::Lock lock(mutex_);
        const bool shared = std::ranges::any_of(networks_, [&](const auto& entry) {
            return entry.second.get() != &network && entry.second->sublink &&
                   entry.second->sublink->parent == own.parent;
        });
        if (shared) return;
    }
    try {
        const base::Lock lock(links_mutex_);
        if (const auto link = links_.find(own.parent)) links_.remove(link->index);
    } catch (const base::Error& error) {
        log::warn("link {} was not deleted, continuing the delete network operation: {}",
                  own.parent, error.what());
    }
}

/// Makes the container's link in its namespace.
/// Source: moby libnetwork/drivers/macvlan/macvlan_setup.go, createMacVlan.
void NetworksImpl::plug_sublink(const Network& network, const SandboxState& sandbox,
                                const EndpointInfo& info) {
    const SublinkSettings& own = *network.sublink;
    const base::Lock lock(links_mutex_);
    const auto parent = links_.find(own.parent);
    if (!parent) {
        fail(ErrorKind::internal, fmt::format("the requested parent interface {} was not found on "
                                              "the Docker host",
                                              own.parent));
    }
    base::in_context(fmt::format("failed to create the {} port", own.name()), [&] {
        links_.create_sublink(own, info.interface, parent->index, info.mac, sandbox.netns.get());
    });
}

/// What is on a parent is not left to the end of its namespace: until then its address is taken.
void NetworksImpl::unplug_sublink(const SandboxState& sandbox, const EndpointInfo& info) noexcept {
    try {
        const base::Lock lock(links_mutex_);
        if (!sandbox.links) return;
        // The container may have one of that name and another kind.
        const auto link = sandbox.links->find(info.interface);
        if (link && link->kind == info.driver) sandbox.links->remove(link->index);
    } catch (const base::Error& error) {
        log::warn("remove interface {}: {}, ignoring", info.interface, error.what());
    }
}

}  // namespace dockerd::net

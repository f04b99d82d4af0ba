#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>

#include "networks_impl.hpp"

/// Networks of drivers that other programs are.
namespace dockerd::net {

namespace log = base::log;
using base::ErrorKind;
using base::fail;

namespace {

/// What a request asks of a driver whose containers it knows nothing of.
DriverPorts ports_of(const JoinRequest& request) {
    return {.exposed = request.exposed_ports, .published = request.ports};
}

/// Each of these calls is made once, and what it fails with changes nothing.
template <typename Call>
void tell(const char* what, Call call) noexcept {
    try {
        call();
    } catch (const std::exception& error) {
        log::warn("network plugin, {}: {}, ignoring", what, error.what());
    }
}

std::vector<DriverSubnet> subnets_of(const Network& network, bool v6) {
    std::vector<DriverSubnet> out;
    for (const NetworkSubnet& subnet : v6 ? network.v6 : network.v4) {
        DriverSubnet one{.space = network.space,
                         .pool = subnet.subnet,
                         .gateway = subnet.gateway_prefix(),
                         .aux = {}};
        for (const auto& [name, address] : subnet.aux) {
            one.aux[name] = {address, subnet.subnet.bits};
        }
        out.push_back(std::move(one));
    }
    return out;
}

/// Takes over what the driver chose. It may not choose what has been chosen already.
/// Source: moby libnetwork/endpoint.go, SetMacAddress and SetIPAddress.
void take_interface(const DriverInterface& chosen, EndpointInfo& info) {
    const auto refuse = [](const char* what, const std::string& problem) {
        fail(ErrorKind::internal,
             fmt::format("driver modified interface {}: endpoint interface {}", what, problem));
    };
    if (!chosen.mac.is_none()) {
        if (!info.mac.is_none()) {
            refuse("MAC address", fmt::format("MAC address present ({}). Cannot be modified with {}.",
                                              info.mac.str(), chosen.mac.str()));
        }
        info.mac = chosen.mac;
    }
    const auto take = [&](const IpPrefix& wanted, IpPrefix& own) {
        if (!wanted) return;
        if (own) {
            refuse("address", fmt::format("IP present ({}). Cannot be modified with ({}).",
                                          own.str(), wanted.str()));
        }
        own = wanted;
    };
    take(chosen.ipv4, info.ipv4);
    take(chosen.ipv6, info.ipv6);
}

}  // namespace

bool is_builtin_driver(std::string_view driver) {
    return driver.empty() || driver == "default" || driver == "bridge" || driver == "host" ||
           driver == "null" || driver == "overlay" || is_sublink(driver);
}

NetworkDriverPtr NetworksImpl::find_driver(const std::string& name) const {
    if (!options_.find_driver) {
        fail(ErrorKind::not_found, fmt::format("plugin {} not found", base::quote(name)));
    }
    return options_.find_driver(name);
}

void NetworksImpl::create_at_driver(NetworkDriver& driver, const Network& network) {
    driver.create_network(network.record, subnets_of(network, /*v6=*/false),
                          subnets_of(network, /*v6=*/true));
}

void NetworksImpl::delete_at_driver(const NetworkRecord& record) noexcept {
    tell("delete network", [&] { find_driver(record.driver)->delete_network(record.id); });
}

/// The network's members show what the driver chose.
void NetworksImpl::show_member(const EndpointInfo& info) {
    const base::Lock lock(mutex_);
    const auto network = networks_.find(info.network_id);
    if (network == networks_.end()) return;
    for (NetworkMember& member : network->second->record.members) {
        if (member.endpoint_id != info.endpoint_id) continue;
        member.mac_address = info.mac.is_none() ? "" : info.mac.str();
        member.ipv4_address = info.ipv4.str();
        member.ipv6_address = info.ipv6.str();
    }
}

/// Source: moby libnetwork/endpoint.go, sbJoin; drivers/remote/driver.go.
void NetworksImpl::join_at_driver(Joining& joining) {
    EndpointInfo& info = joining.info;
    const JoinRequest& request = joining.request;
    const auto driver = find_driver(info.driver);
    const auto context = fmt::format("failed to create endpoint {} on network {}",
                                     request.container_name, info.network_name);
    const DriverInterface chosen = base::in_context(context, [&] {
        return driver->create_endpoint(info.network_id, info.endpoint_id,
                                       {.ipv4 = info.ipv4, .ipv6 = info.ipv6, .mac = info.mac},
                                       ports_of(request), request.settings.driver_opts);
    });
    base::Undo remove([&]() noexcept {
        tell("delete endpoint", [&] { driver->delete_endpoint(info.network_id, info.endpoint_id); });
    });
    try {
        take_interface(chosen, info);
    } catch (const base::Error& error) {
        throw base::Error(error.kind(), fmt::format("{}: {}; rolled back", context, error.what()));
    }
    show_member(info);
    const DriverJoin way = driver->join(info.network_id, info.endpoint_id,
                                        joining.sandbox.key, ports_of(request));
    base::Undo leave([&]() noexcept {
        tell("leave", [&] { driver->leave(info.network_id, info.endpoint_id); });
    });
    info.gateway = way.gateway;
    info.ipv6_gateway = way.ipv6_gateway;
    base::Undo unplug([&]() noexcept { give_link_back(joining.sandbox, info); });
    if (!way.source.empty()) plug_foreign(joining, way);
    unplug.dismiss();
    leave.dismiss();
    remove.dismiss();
}

/// Moves the driver's link into the container, and sets it up there.
void NetworksImpl::plug_foreign(Joining& joining, const DriverJoin& way) {
    EndpointInfo& info = joining.info;
    SandboxState& sandbox = joining.sandbox;
    info.interface = free_interface(sandbox, way.prefix);
    base::in_context(fmt::format("failed to add interface {} to sandbox", way.source), [&] {
        const base::Lock lock(links_mutex_);
        const auto link = links_.find(way.source);
        if (!link) {
            fail(ErrorKind::internal, fmt::format("failed to get link by name {}: Link not found",
                                                  base::quote(way.source)));
        }
        links_.move(link->index, sandbox.netns.get(), info.interface);
        info.source_interface = way.source;
        const auto moved = sandbox.links->find(info.interface);
        if (!moved) base::throw_errno(ENODEV, "find interface " + info.interface);
        if (!info.mac.is_none()) sandbox.links->set_mac(moved->index, info.mac);
    });
    configure(joining);
    const base::Lock lock(links_mutex_);
    const auto link = sandbox.links->find(info.interface);
    if (!link) base::throw_errno(ENODEV, "find interface " + info.interface);
    for (const DriverJoin::Route& route : way.routes) {
        sandbox.links->add_route(link->index, route.destination, route.next_hop);
    }
}

/// The link is the driver's again, by its old name.
/// Source: moby libnetwork/osl/interface_linux.go, RemoveInterface.
void NetworksImpl::give_link_back(const SandboxState& sandbox, const EndpointInfo& info) noexcept {
    if (info.source_interface.empty() || !sandbox.links) return;
    try {
        const base::Lock lock(links_mutex_);
        if (const auto link = sandbox.links->find(info.interface)) {
            sandbox.links->move(link->index, home_.get(), info.source_interface);
        }
    } catch (const base::Error& error) {
        log::warn("interface {}: {}, ignoring", info.interface, error.what());
    }
}

/// After the join: whether this is the container's way out, and what the driver says of it.
void NetworksImpl::finish_at_driver(SandboxState& sandbox, EndpointInfo& info,
                                    const JoinRequest& request) {
    const auto driver = find_driver(info.driver);
    const Leaders lead = leaders(sandbox, nullptr);
    const auto leads = [&](const EndpointInfo* one) {
        return one != nullptr && one->endpoint_id == info.endpoint_id;
    };
    if (leads(lead.v4) || leads(lead.v6)) {
        driver->open_outside(info.network_id, info.endpoint_id, ports_of(request));
        info.opened_outside = true;
    }
    tell("endpoint info", [&] { driver->ask_endpoint(info.network_id, info.endpoint_id); });
}

void NetworksImpl::leave_at_driver(const SandboxState& sandbox, const EndpointInfo& info) noexcept {
    give_link_back(sandbox, info);
    NetworkDriverPtr driver;
    tell("leave", [&] { driver = find_driver(info.driver); });
    if (!driver) return;
    const std::string& network = info.network_id;
    const std::string& endpoint = info.endpoint_id;
    if (info.opened_outside) {
        tell("revoke external connectivity", [&] { driver->close_outside(network, endpoint); });
    }
    tell("leave", [&] { driver->leave(network, endpoint); });
    tell("delete endpoint", [&] { driver->delete_endpoint(network, endpoint); });
}

}  // namespace dockerd::net

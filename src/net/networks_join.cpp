#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>

#include "netns.hpp"
#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

/// Source: moby libnetwork/osl/interface_linux.go, generateIfaceName.
std::string free_interface(const SandboxState& sandbox, const std::string& prefix) {
    for (unsigned number = 0;; ++number) {
        const std::string name = fmt::format("{}{}", prefix, number);
        if (std::ranges::find(sandbox.endpoints, name, &EndpointInfo::interface) ==
            sandbox.endpoints.end()) {
            return name;
        }
    }
}

std::unique_ptr<Sandbox> NetworksImpl::open_sandbox(base::Fd existing) {
    auto impl = std::make_unique<SandboxState>();
    impl->id = base::random_id();
    impl->key = fmt::format("{}/netns/{}", options_.exec_root, impl->id.substr(0, 12));
    {
        NetnsVisit visit(home_);
        if (existing) {
            visit.enter(existing);
            impl->netns = std::move(existing);
        } else {
            visit.enter_new();
            impl->netns = current_netns();
        }
        impl->links = std::make_unique<Links>();
        constexpr int loopback = 1;
        impl->links->set_up(loopback);
    }
    mount_netns(impl->netns, impl->key);
    const base::Lock lock(mutex_);
    live_keys_.insert(impl->key);
    return std::unique_ptr<Sandbox>(new Sandbox(std::move(impl)));
}

std::unique_ptr<Sandbox> NetworksImpl::open_host_sandbox() {
    auto impl = std::make_unique<SandboxState>();
    impl->id = base::random_id();
    impl->key = options_.exec_root + "/netns/default";
    impl->host = true;
    impl->netns.reset(::fcntl(home_.get(), F_DUPFD_CLOEXEC, 0));
    if (!impl->netns) base::throw_errno(errno, "duplicate network namespace");
    const base::Lock lock(change_mutex_);
    if (!is_netns_mount(impl->key)) {
        (void)unmount_netns(impl->key);  // a plain file left from before a reboot
        mount_netns(impl->netns, impl->key);
    }
    const base::Lock records(mutex_);
    live_keys_.insert(impl->key);
    return std::unique_ptr<Sandbox>(new Sandbox(std::move(impl)));
}

/// Whether a container has IPv6, should the network give it some: its loopback then has an address.
/// Source: moby libnetwork/osl/namespace_linux.go, IPv6LoEnabled.
bool NetworksImpl::has_ipv6(const SandboxState& sandbox, std::string_view network) {
    {
        const base::Lock lock(mutex_);
        if (!sandbox.links || get_locked(network).v6.empty()) return true;
    }
    constexpr int loopback = 1;
    const base::Lock lock(links_mutex_);
    return !sandbox.links->addresses(loopback, /*v6=*/true).empty();
}

namespace {

void erase_member(Network& network, const EndpointInfo& endpoint) {
    std::erase_if(network.record.members, [&](const NetworkMember& member) {
        return member.endpoint_id == endpoint.endpoint_id;
    });
}

}  // namespace

void NetworksImpl::forget_member(const EndpointInfo& endpoint) noexcept {
    std::shared_ptr<Network> network;
    {
        const base::Lock lock(mutex_);
        live_interfaces_.erase(endpoint.host_interface);
        const auto found = networks_.find(endpoint.network_id);
        if (found == networks_.end()) return;
        network = found->second;
        release_address(*network, endpoint.ipv4);
        release_address(*network, endpoint.ipv6);
        if (!network->ipam_plugin) {
            erase_member(*network, endpoint);
            return;
        }
    }
    // Until its addresses are free, the endpoint keeps the network from being removed.
    give_address_back(*network, endpoint.ipv4);
    give_address_back(*network, endpoint.ipv6);
    const base::Lock lock(mutex_);
    erase_member(*network, endpoint);
}

/// Makes the pair, its far end in the container's namespace from the first moment.
void NetworksImpl::plug(Joining& joining) {
    EndpointInfo& info = joining.info;
    const Network& network = *joining.network;
    const base::Lock lock(links_mutex_);
    try {
        links_.create_veth({.host_name = info.host_interface,
                            .bridge_index = network.bridge_index,
                            .peer_name = info.interface,
                            .peer_mac = info.mac,
                            .mtu = network.bridge.mtu,
                            .peer_netns = joining.sandbox.netns.get()});
    } catch (const base::Error& error) {
        const int reason = error.errno_value();
        if (reason != EEXIST && reason != EINVAL && reason != ERANGE) throw;
        // The container has an interface of that name, or none can have it.
        // Source: moby libnetwork/osl/interface_linux.go, createInterface.
        base::fail(base::ErrorKind::internal,
                   fmt::format("failed to add interface {0} to sandbox: error renaming interface "
                               "\"{0}\" to \"{1}\": {2}",
                               info.host_interface, info.interface, base::errno_text(reason)));
    }
    // Without the proxy a container reaches its own published port through the bridge.
    if (!options_.userland_proxy) links_.set_hairpin(info.host_interface);
}

namespace {

/// Writes "net.ipv4.conf.IFNAME.forwarding=1" for the interface in this thread's network
/// namespace. Nothing but settings of that interface: all others are the host's, whichever
/// namespace this is.
/// Source: moby libnetwork/osl/interface_linux.go, setSysctls, and its errors.
void set_interface_sysctl(const std::string& setting, const std::string& interface) {
    const auto equals = setting.find('=');
    if (equals == std::string::npos) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("expected sysctl '{}' to have format name=value", setting));
    }
    std::vector<std::string> path = base::split(setting.substr(0, equals), '.');
    if (path.size() != 5 || path[0] != "net") {
        base::fail(base::ErrorKind::internal,
                   fmt::format("expected sysctl '{}' to have format net.X.Y.IFNAME.Z", setting));
    }
    path[3] = interface;
    const std::string name = base::join(path, "/");
    // A dot separates, so no part is "..": what is named lies below net/X/Y/interface.
    if (!write_sysctl(name, setting.substr(equals + 1).c_str())) {
        base::fail(base::ErrorKind::internal,
                   errno == ENOENT
                       ? fmt::format("/proc/sys/{} is not a sysctl file", name)
                       : fmt::format("unable to write to '/proc/sys/{}': open /proc/sys/{}: {}",
                                     name, name, base::errno_text(errno)));
    }
}

/// What the container's end answers to: what the pools gave, and the link-local addresses asked for.
/// Source: moby libnetwork/endpoint.go, linkLocalMask.
std::vector<IpPrefix> addresses_of(const EndpointInfo& info,
                                   const model::EndpointSettings& settings) {
    std::vector<IpPrefix> out;
    if (info.ipv4) out.push_back(info.ipv4);
    if (info.ipv6) out.push_back(info.ipv6);
    const auto& wanted = settings.ipam_config;
    if (!wanted) return out;
    for (const std::string& text : wanted->link_local_ips) {
        const auto address = IpAddress::parse(text);
        if (address) out.push_back({*address, address->is_v6() ? 64U : 16U});
    }
    return out;
}

}  // namespace

/// Sets up the container's end: IPv6 off unless wanted, addresses, up, default route.
/// Source: moby libnetwork/osl/interface_linux.go, AddInterface.
void NetworksImpl::configure(Joining& joining) {
    const EndpointInfo& info = joining.info;
    {
        NetnsVisit visit(home_);
        visit.enter(joining.sandbox.netns);
        // Under the lock: while another thread holds the kernel's lock of all links, this write does
        // not wait for it but is begun again and again, and burns a processor (addrconf_disable_ipv6).
        const base::Lock lock(links_mutex_);
        // The file is missing when the kernel has no IPv6: then there is nothing to switch.
        (void)write_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", info.interface),
                           info.ipv6 ? "0" : "1");
        const auto& options = joining.request.settings.driver_opts;
        if (const auto sysctls = options.find("com.docker.network.endpoint.sysctls");
            sysctls != options.end()) {
            for (const std::string& setting : base::split(sysctls->second, ',')) {
                set_interface_sysctl(setting, info.interface);
            }
        }
    }
    const base::Lock lock(links_mutex_);
    const auto link = joining.sandbox.links->find(info.interface);
    if (!link) base::throw_errno(ENODEV, "find interface " + info.interface);
    IpAddress gateway4 = info.gateway;
    IpAddress gateway6 = info.ipv6_gateway;
    if (info.leads_by_link) {
        if (info.ipv4) gateway4 = IpAddress::v4(0);
        if (info.ipv6) gateway6 = IpAddress::v6({});
    }
    const bool first = joining.sandbox.endpoints.empty();
    joining.sandbox.links->configure(link->index, addresses_of(info, joining.request.settings),
                                     first ? gateway4 : IpAddress(),
                                     first ? gateway6 : IpAddress());
}

/// A bridge's port forwards only once the kernel's link watch has run, shortly after the far end
/// came up. A container that is faster would lose its first packet and wait a second for ARP.
void NetworksImpl::wait_until_forwarding(const Joining& joining) {
    const std::string& bridge = joining.network->bridge.name;
    try {
        for (int attempt = 0; attempt < 50; ++attempt) {
            if (attempt > 0) ::usleep(200);
            const base::Lock lock(links_mutex_);
            // With its first port the bridge itself comes up, in the same lazy way.
            if (attempt == 0) {
                links_.sync_carrier(joining.info.host_interface);
                links_.sync_carrier(bridge);
            }
            const auto port = links_.find(joining.info.host_interface);
            if (!port) return;
            const auto device = port->running ? links_.find(bridge) : std::nullopt;
            if (device && device->running) return;
        }
    } catch (const base::Error& error) {
        // Then the first packet may be lost, no more.
        log::debug("{}, ignoring", error.what());
    }
}

/// Tells who knew an address with another MAC: the host by its table, the others by frames from the
/// container's interface.
void NetworksImpl::announce(const Joining& joining) {
    const EndpointInfo& info = joining.info;
    if (!joining.announce || info.mac.is_none()) return;
    const int bridge = joining.network->bridge_index;
    for (const IpPrefix& address : {info.ipv4, info.ipv6}) {
        if (!address || bridge == 0) continue;
        try {
            const base::Lock lock(links_mutex_);
            links_.set_neighbour(bridge, address.address, info.mac);
        } catch (const base::Error& error) {
            // Mostly the host does not remember the address at all (ENOENT).
            if (error.errno_value() != ENOENT) log::debug("{}, ignoring", error.what());
        }
    }
    if (joining.network->announcing.count == 0) return;
    try {
        Announcement what{.socket = {},
                          .interface = 0,
                          .mac = info.mac,
                          .ipv4 = info.ipv4.address,
                          .ipv6 = info.ipv6.address};
        {
            NetnsVisit visit(home_);
            visit.enter(joining.sandbox.netns);
            // Protocol 0 receives nothing.
            what.socket.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        }
        if (!what.socket) base::throw_errno(errno, "packet socket");
        {
            const base::Lock lock(links_mutex_);
            const auto link = joining.sandbox.links->find(info.interface);
            if (!link) return;
            what.interface = link->index;
        }
        announcer_.announce(info.endpoint_id, std::move(what), joining.network->announcing);
    } catch (const base::Error& error) {
        // The neighbours find out by themselves, only later.
        log::debug("announce address: {}, ignoring", error.what());
    }
}

/// Default routes lead by the endpoints that lead outside.
void NetworksImpl::choose_gateway(SandboxState& sandbox) {
    for (const bool v6 : {false, true}) {
        const Leaders lead = leaders(sandbox, nullptr);
        const EndpointInfo* best = v6 ? lead.v6 : lead.v4;
        if (best == nullptr) continue;
        IpAddress way = v6 ? best->ipv6_gateway : best->gateway;
        if (!way) way = v6 ? IpAddress::v6({}) : IpAddress::v4(0);  // by the link itself
        try {
            if (const auto link = sandbox.links->find(best->interface)) {
                sandbox.links->set_default_route(link->index, way);
            }
        } catch (const base::Error& error) {
            // A container may have its link down. It is connected all the same.
            log::warn("container's sandbox {}: {}", sandbox.id, error.what());
        }
    }
}

EndpointInfo NetworksImpl::join(Sandbox& handle, const JoinRequest& request) {
    SandboxState& sandbox = *handle.state_;
    Joining joining{sandbox, request};
    joining.ipv6 = !request.ipv6_disabled && has_ipv6(sandbox, request.network);
    ask_addresses(joining);
    base::Undo give_back([&]() noexcept {
        if (!joining.network) return;
        give_address_back(*joining.network, joining.given4);
        give_address_back(*joining.network, joining.given6);
    });
    assign(joining);
    give_back.dismiss();
    base::Undo forget([&]() noexcept {
        sandbox.priorities.erase(joining.info.endpoint_id);
        sandbox.port_roles.erase(joining.info.endpoint_id);
        forget_member(joining.info);
    });
    sandbox.priorities[joining.info.endpoint_id] = request.settings.gw_priority;
    if (request.before_plug) {
        sandbox.endpoints.push_back(joining.info);
        const base::Undo not_yet([&]() noexcept { sandbox.endpoints.pop_back(); });
        request.before_plug(encode_sandbox(sandbox));
    }
    if (joining.info.driver == "bridge") {
        {
            const base::Lock lock(change_mutex_);
            start_firewall();
        }
        plug(joining);
        base::Undo unplug([&]() noexcept {
            try {
                const base::Lock lock(links_mutex_);
                links_.remove(joining.info.host_interface);
            } catch (const base::Error& error) {
                log::warn("{}, ignoring", error.what());
            }
        });
        configure(joining);
        publish_joining(sandbox, *joining.network, joining.info, request);
        wait_until_forwarding(joining);
        announce(joining);
        unplug.dismiss();
    } else if (joining.network->sublink) {
        plug_sublink(*joining.network, sandbox, joining.info);
        base::Undo unplug([&]() noexcept { unplug_sublink(sandbox, joining.info); });
        configure(joining);
        announce(joining);
        unplug.dismiss();
    } else if (joining.network->plugin) {
        join_at_driver(joining);
    }
    sandbox.endpoints.push_back(joining.info);
    if (joining.network->plugin) {
        base::Undo out([&]() noexcept {
            leave_at_driver(sandbox, joining.info);
            sandbox.endpoints.pop_back();
        });
        finish_at_driver(sandbox, joining.info, request);
        sandbox.endpoints.back() = joining.info;
        out.dismiss();
    }
    forget.dismiss();
    if (sandbox.endpoints.size() > 1 && sandbox.links) choose_gateway(sandbox);
    // One that publishes nothing itself may lead outside now.
    if (joining.info.driver != "bridge") move_ports(sandbox, request.ports);
    if (!sandbox.resolver) sandbox.dns = request.dns;
    add_names(sandbox, joining.info);
    return joining.info;
}

/// The endpoint's link away, if it is there.
void NetworksImpl::unplug(const SandboxState& sandbox, const EndpointInfo& endpoint) noexcept {
    if (is_sublink(endpoint.driver)) return unplug_sublink(sandbox, endpoint);
    if (!is_builtin_driver(endpoint.driver)) return leave_at_driver(sandbox, endpoint);
    if (endpoint.host_interface.empty()) return;
    try {
        std::optional<Link> link;
        {
            const base::Lock lock(links_mutex_);
            link = links_.find(endpoint.host_interface);
        }
        if (link) remover_.remove(link->index);
    } catch (const base::Error& error) {
        if (error.errno_value() != ENODEV) log::warn("{}, ignoring", error.what());
    }
}

/// Ports and rules of an endpoint away, and its address free for the next.
void NetworksImpl::withdraw(const EndpointInfo& endpoint) noexcept {
    resolver_.remove_names(endpoint.network_id, endpoint.endpoint_id);
    announcer_.forget(endpoint.endpoint_id);
    if (endpoint.driver == "bridge") {
        if (firewall_) firewall_->remove(endpoint.endpoint_id);
        // Nothing that is under way may reach who has the address, or the port, next.
        conntrack_.forget_ports(endpoint.ports);
    }
    forget_member(endpoint);
}

void NetworksImpl::leave(Sandbox& handle, std::string_view reference,
                         const std::vector<PortMapping>& ports) {
    SandboxState& sandbox = *handle.state_;
    const std::string id = get(reference).id;
    const auto found = std::ranges::find(sandbox.endpoints, id, &EndpointInfo::network_id);
    if (found == sandbox.endpoints.end()) {
        base::fail(base::ErrorKind::not_found,
                   fmt::format("container is not connected to network {}", reference));
    }
    const EndpointInfo endpoint = *found;
    sandbox.endpoints.erase(found);
    sandbox.priorities.erase(endpoint.endpoint_id);
    sandbox.port_roles.erase(endpoint.endpoint_id);
    if (const auto bound = sandbox.ports.find(endpoint.endpoint_id); bound != sandbox.ports.end()) {
        publisher_.release(bound->second);
        sandbox.ports.erase(bound);
    }
    unplug(sandbox, endpoint);
    withdraw(endpoint);
    show_names(sandbox);
    if (sandbox.links) choose_gateway(sandbox);
    move_ports(sandbox, ports);
}

void NetworksImpl::close(Sandbox& handle) noexcept {
    SandboxState& sandbox = *handle.state_;
    if (sandbox.resolver) resolver_.remove(*sandbox.resolver);
    sandbox.resolver.reset();
    for (auto& [endpoint, ports] : sandbox.ports) publisher_.release(ports);
    for (const EndpointInfo& endpoint : sandbox.endpoints) {
        // The kernel removes the interface with the namespace, some time later. Until then it must
        // not answer for an address that the next container may get at once.
        if (is_sublink(endpoint.driver)) {
            unplug_sublink(sandbox, endpoint);
        } else if (!is_builtin_driver(endpoint.driver)) {
            leave_at_driver(sandbox, endpoint);
        } else if (sandbox.links && endpoint.ipv4) {
            try {
                if (const auto link = sandbox.links->find(endpoint.interface)) {
                    sandbox.links->remove_address(link->index, endpoint.ipv4);
                }
            } catch (const base::Error& error) {
                log::debug("{}, ignoring", error.what());
            }
        }
        withdraw(endpoint);
    }
    sandbox.endpoints.clear();
    if (sandbox.host) return;
    if (!unmount_netns(sandbox.key)) log::warn("unmount {}, ignoring", sandbox.key);
    const base::Lock lock(mutex_);
    live_keys_.erase(sandbox.key);
}

}  // namespace dockerd::net

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/net/etc_files.hpp>

#include "netns.hpp"
#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

/// The host's nameservers, as prefixes of one address.
std::vector<IpPrefix> nameservers() {
    std::vector<IpPrefix> out;
    std::ifstream file(host_resolv_conf_path(ResolverKind::legacy));
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string keyword;
        std::string text;
        if (!(words >> keyword >> text) || keyword != "nameserver") continue;
        if (const auto address = IpAddress::parse(text)) {
            out.push_back({*address, address->bits()});
        }
    }
    return out;
}

}  // namespace

NetworksImpl::NetworksImpl(NetworksOptions options, NetworkStore& store)
    : options_(std::move(options)),
      store_(store),
      home_(current_netns()),
      ipam_(base::in_context("error obtaining controller instance",
                             [&] { return Ipam(options_.address_pools); })),
      publisher_(options_.userland_proxy),
      resolver_(home_),
      forward_drop_(options_.exec_root) {
    std::error_code error;
    std::filesystem::create_directories(options_.exec_root + "/netns", error);
    if (error) base::throw_errno(error.value(), "create " + options_.exec_root + "/netns");
    if (options_.iptables || options_.ip6tables) {
        firewall_ = std::make_unique<Firewall>(
            FirewallOptions{.ipv4 = options_.iptables,
                            .ipv6 = options_.ip6tables,
                            .hairpin = !options_.userland_proxy,
                            .allow_direct_routing = options_.allow_direct_routing});
    }
    // Who had which address on a bridge that is there already is not known.
    for (const Link& link : links_.list()) {
        if (link.kind == "bridge" && link.alias == LinkRemover::retired) {
            remover_.retire(link.index);
        } else if (link.kind == "bridge") {
            announce_all_ = true;
        }
    }
    remover_.settle();  // what a daemon that was killed had not removed
    load();
    ensure_simple("none", "null");
    ensure_simple("host", "host");
    // Before the default bridge, which is to take a subnet that is nobody's.
    for (const auto& [id, network] : networks_) {
        const bool bridged = network->record.driver == "bridge" && network->record.name != "bridge";
        if (bridged || network->sublink || network->plugin) restore_network(*network);
    }
    if (options_.bridge == "none") {
        remove_default_bridge_device();
    } else {
        start_default_bridge();
    }
    const base::Lock lock(mutex_);
    save_locked();
    // Each daemon's is a new one, as with Docker; that alone is no reason to write.
    if (Network* bridge = find_locked("bridge")) bridge->record.created = base::WallTime::now();
}

void NetworksImpl::load() {
    for (Network& network : decode_networks(store_.load())) {
        // The default bridge follows the daemon's flags; only its id is kept.
        if (network.record.name == "bridge" && options_.bridge == "none") continue;
        std::string id = network.record.id;
        networks_.emplace(std::move(id), std::make_shared<Network>(std::move(network)));
    }
}

void NetworksImpl::save_locked() {
    std::map<std::string, std::string> records;
    for (const auto& [id, network] : networks_) records.merge(encode_network(*network));
    store_.save(records);
}

void NetworksImpl::ensure_simple(const std::string& name, const std::string& driver) {
    if (find_locked(name) != nullptr) return;
    auto network = std::make_shared<Network>();
    network->record.name = name;
    network->record.id = base::random_id();
    network->record.created = base::WallTime::now();
    network->record.driver = driver;
    network->record.ipam.driver = "default";
    network->record.options.given = true;
    network->record.labels.given = true;
    networks_.emplace(network->record.id, std::move(network));
}

std::vector<IpPrefix> NetworksImpl::reserved_subnets() {
    std::vector<IpPrefix> out = nameservers();
    const base::Lock lock(links_mutex_);
    for (const IpPrefix& route : links_.on_link_routes()) out.push_back(route);
    return out;
}

/// A user's network after a restart: its subnets are taken again and its bridge is made if it is
/// gone. A failure leaves the network in the list, without connectivity; its subnets stay its own.
void NetworksImpl::restore_network(Network& network) {
    const auto attempt = [&](const auto& step) {
        try {
            step();
            return true;
        } catch (const base::Error& error) {
            log::error("Failed to restore network {}: {}", network.record.name, error.what());
            return false;
        }
    };
    const bool taken = attempt([&] { take_pools(network); });
    if (network.plugin) return;  // all else is the driver's, which has it still
    // Earlier daemons took any value.
    (void)attempt([&] { network.announcing = parse_announcing(network.record.options); });
    const bool understood = network.sublink || attempt([&] {
        const int creator = network.bridge.creator;
        network.bridge = parse_bridge_options(network.record.options, network.record.internal);
        network.bridge.creator = creator;
    });
    if (!network.sublink && network.bridge.name.empty()) {
        network.bridge.name = own_bridge_name(network.record);
    }
    if (taken && understood) (void)attempt([&] { set_up_device(network); });
}

void NetworksImpl::take_pools(Network& network) {
    if (network.ipam_plugin) return replay_at_ipam(network);
    given_is_asked_for(network);
    for (std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
        for (NetworkSubnet& subnet : *subnets) {
            ipam_.take_subnet(subnet.subnet, subnet.range);
            subnet.taken = true;
            if (subnet.gateway) ipam_.take(subnet.subnet, subnet.gateway);
            for (const auto& [name, address] : subnet.aux) {
                if (address != subnet.gateway) ipam_.take(subnet.subnet, address);
            }
        }
    }
}

void NetworksImpl::set_bridge_address(const Network& network, const NetworkSubnet& subnet) {
    const IpPrefix wanted = subnet.gateway_prefix();
    const bool v6 = wanted.address.is_v6();
    if (!network.bridge.has_address(v6)) return;
    const IpPrefix link_local{*IpAddress::parse("fe80::"), 64};
    bool there = false;
    std::optional<IpPrefix> other;
    for (const IpPrefix& present : links_.addresses(network.bridge_index, v6)) {
        if (present == wanted || (v6 && present.address == wanted.address)) {
            there = true;
        } else if (v6) {
            // From an earlier configuration. The kernel's own address stays.
            if (!link_local.contains(present.address)) {
                links_.remove_address(network.bridge_index, present);
            }
        } else if (!other || (!subnet.subnet.contains(other->address) &&
                              subnet.subnet.contains(present.address))) {
            other = present;
        }
    }
    if (there) return;
    // An IPv4 address in the subnet, or else the first, is from an earlier configuration.
    if (other) links_.remove_address(network.bridge_index, *other);
    links_.add_address(network.bridge_index, wanted);
}

namespace {

/// Has the kernel look for an interface of the module's name: it loads the module then.
/// Source: moby internal/modprobe, ioctlLoader; Linux net/core/dev_ioctl.c, dev_load.
void load_module(std::string_view name) {
    const base::Fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    (void)::ioctl(socket.get(), SIOCGIFINDEX, &request);  // there is no such interface
}

/// Source: moby bridge/setup_bridgenetfiltering.go, enableBridgeNetFiltering.
void enable_bridge_filter(const std::string& name) {
    const char* const ignore = std::getenv("DOCKER_IGNORE_BR_NETFILTER_ERROR");
    char present = read_sysctl(name);
    if (present == 0) {
        load_module("br_netfilter");
        present = read_sysctl(name);
    }
    if (present == '1') return;
    std::string why;
    if (present == 0) {
        if (::access("/.dockerenv", F_OK) == 0) {
            log::warn("running inside docker container, ignoring missing kernel params");
            return;
        }
        why = fmt::format("cannot restrict inter-container communication or run without the "
                          "userland proxy: stat /proc/sys/{}: no such file or directory",
                          name);
    } else if (!write_sysctl(name, "1\n")) {
        why = fmt::format("open /proc/sys/{}: {}", name, base::errno_text(errno));
    }
    if (why.empty()) return;
    why += ": set environment variable DOCKER_IGNORE_BR_NETFILTER_ERROR=1 to ignore";
    if (ignore == nullptr || ignore != std::string_view("1")) {
        base::fail(base::ErrorKind::internal, why);
    }
    log::warn("Continuing without enabling br_netfilter: {}", why);
}

}  // namespace

/// Frames between two ports of one bridge pass the filter only so. Without forwarding nothing is
/// filtered that a bridge does not forward.
void NetworksImpl::filter_bridged(const Network& network) {
    if (options_.iptables && read_sysctl("net/ipv4/ip_forward") == '1') {
        enable_bridge_filter("net/bridge/bridge-nf-call-iptables");
    }
    const bool v6_forwarded =
        read_sysctl(fmt::format("net/ipv6/conf/{}/forwarding", network.bridge.name)) == '1';
    if (options_.ip6tables && !network.v6.empty() && v6_forwarded) {
        enable_bridge_filter("net/bridge/bridge-nf-call-ip6tables");
    }
}

/// Source: moby bridge/bridge_linux.go, createNetwork.
void NetworksImpl::set_up_bridge(Network& network) {
    const std::string& name = network.bridge.name;
    const base::Lock lock(links_mutex_);
    auto existing = links_.find(name);
    if (existing && existing->alias == LinkRemover::retired) {
        remover_.settle();
        existing = links_.find(name);
    }
    if (existing && existing->kind != "bridge") {
        base::fail(base::ErrorKind::permission_denied,
                   fmt::format("existing interface {} is not a bridge", name));
    }
    const bool ours = !existing;
    if (network.bridge.creator == 0) network.bridge.creator = ours ? 1 : 2;
    network.bridge_index =
        ours ? links_.create_bridge(name, MacAddress::random(), network.bridge.mtu)
             : existing->index;
    try {
        if (ours || network.bridge.default_bridge) {
            // A container's router advertisements must not reach the host's routing table. The
            // file is missing without IPv6.
            (void)write_sysctl(fmt::format("net/ipv6/conf/{}/accept_ra", name), "0");
        }
        if (!ours && existing->alias == LinkRemover::retired) {  // the kernel has not let it go
            links_.set_alias(network.bridge_index, "");
        }
        if (!ours && network.bridge.mtu > 0) {
            links_.set_mtu(network.bridge_index, network.bridge.mtu);
        }
        if (!network.v4.empty()) set_bridge_address(network, network.v4.front());
        if (!network.v6.empty()) {
            // Isolated, it has not even the kernel's own address.
            (void)write_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", name),
                               network.bridge.has_address(/*v6=*/true) ? "0" : "1");
            set_bridge_address(network, network.v6.front());
        }
        if (!network.v4.empty() && options_.ip_forward) enable_forwarding(/*v6=*/false);
        if (!network.v6.empty() && options_.ip_forward) enable_forwarding(/*v6=*/true);
        if (!options_.userland_proxy) {
            (void)write_sysctl(fmt::format("net/ipv4/conf/{}/route_localnet", name), "1");
        }
        if (!network.bridge.icc || !options_.userland_proxy) filter_bridged(network);
        links_.set_up(network.bridge_index);
    } catch (const base::Error&) {
        try {
            if (ours) links_.remove(network.bridge_index);
        } catch (const base::Error& error) {
            log::warn("delete bridge {}, ignoring: {}", name, error.what());
        }
        throw;
    }
}

/// A machine that did not forward is not to forward for others because of us: its policy becomes DROP
/// with the firewall. A daemon that dies in between leaves that to the next one.
/// Source: moby bridge/setup_ip_forwarding.go.
void NetworksImpl::enable_forwarding(bool v6) {
    const std::vector<std::string> names =
        v6 ? std::vector<std::string>{"net/ipv6/conf/default/forwarding",
                                      "net/ipv6/conf/all/forwarding"}
           : std::vector<std::string>{"net/ipv4/ip_forward"};
    for (const std::string& name : names) {
        if (read_sysctl(name) == '1') continue;
        if (options_.iptables && (!v6 || options_.ip6tables) && !options_.ip_forward_no_drop) {
            forward_drop_.set(v6, ForwardDrop::State::pending);
        }
        if (!write_sysctl(name, "1\n")) {
            base::throw_errno(errno, fmt::format("failed to set IP forwarding '/proc/sys/{}' = "
                                                 "'1'",
                                                 name));
        }
    }
    if (firewall_started_) drop_forward();
}

/// What stands there later is the administrator's.
void NetworksImpl::drop_forward() {
    for (const bool v6 : {false, true}) {
        if (options_.ip_forward_no_drop || forward_drop_.of(v6) != ForwardDrop::State::pending) continue;
        firewall_->drop_forward(v6 ? NftFamily::ip6 : NftFamily::ip);
        forward_drop_.set(v6, ForwardDrop::State::done);
    }
}

/// Builds all rules in one transaction. Deferred until the first container needs them or all live
/// ones are adopted: a rebuild without those would cut their ports off.
void NetworksImpl::start_firewall() {
    if (!firewall_ || firewall_started_) return;
    std::vector<FirewallNetwork> networks;
    {
        const base::Lock lock(mutex_);
        for (const auto& [id, network] : networks_) {
            if (network->bridge_index != 0) networks.push_back(firewall_network(*network));
        }
    }
    for (const bool v6 : {false, true}) {
        if (options_.ip_forward_no_drop || forward_drop_.of(v6) == ForwardDrop::State::none) continue;
        firewall_->make_forward_dropped(v6 ? NftFamily::ip6 : NftFamily::ip);
    }
    firewall_->start(std::move(networks));
    drop_forward();
    try {
        firewall_watch_ = std::make_unique<FirewallWatch>(*firewall_);
    } catch (const std::exception& error) {
        log::warn("the firewall is not watched: {}", error.what());
    }
    firewall_started_ = true;
}

namespace {

Access access_of(GatewayMode mode) {
    switch (mode) {
        case GatewayMode::nat_unprotected:
            return Access::open;
        case GatewayMode::routed:
            return Access::routed;
        case GatewayMode::standard:
        case GatewayMode::nat:
        case GatewayMode::isolated:
            break;
    }
    return Access::translated;
}

}  // namespace

FirewallNetwork NetworksImpl::firewall_network(const Network& network) const {
    FirewallNetwork out;
    out.id = network.record.id;
    out.bridge = network.bridge.name;
    if (!network.v4.empty()) out.subnet4 = network.v4.front().subnet;
    if (!network.v6.empty()) out.subnet6 = network.v6.front().subnet;
    // docker0 is there at every start but the first.
    const bool own_bridge = network.bridge.creator == 1 ||
                            (network.bridge.default_bridge && options_.bridge.empty());
    if (!network.v4.empty() && own_bridge && network.bridge.has_address(/*v6=*/false)) {
        out.address4 = network.v4.front().gateway;
    }
    out.internal = network.record.internal;
    out.icc = network.bridge.icc;
    out.masquerade = network.bridge.masquerade;
    out.snat4 = network.bridge.snat4;
    out.snat6 = network.bridge.snat6;
    out.access4 = access_of(network.bridge.mode4);
    out.access6 = access_of(network.bridge.mode6);
    out.trusted_interfaces = network.bridge.trusted_interfaces;
    out.own_bridge = own_bridge;
    // The container answers the bridge's address.
    out.routes_loopback = network.bridge.has_address(/*v6=*/false);
    return out;
}

}  // namespace dockerd::net

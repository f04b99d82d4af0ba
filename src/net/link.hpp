#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/net/address.hpp>
#include <dockerd/sys/netlink.hpp>

#include "sublink.hpp"

namespace dockerd::net {

struct Link {
    int index = 0;
    std::string name;
    std::string kind;  ///< "bridge", "veth", ...; "" for real devices
    MacAddress mac;
    int master = 0;
    bool running = false;  ///< carries frames: operational state UP
    std::string alias;     ///< text that others may give it, for the eye
};

/// A veth pair whose one end lies in a container's namespace from its first moment.
struct VethSpec {
    std::string host_name;
    int bridge_index = 0;
    std::string peer_name;
    MacAddress peer_mac;
    int mtu = 0;
    int peer_netns = -1;  ///< descriptor of the namespace
};

/// Links, addresses and routes of the namespace the socket was opened in.
///
/// Thread: one call at a time.
class Links {
public:
    Links();

    /// nullopt when there is no such link.
    std::optional<Link> find(std::string_view name);
    std::vector<Link> list();
    /// Makes a bridge, down. Throws: internal, "create bridge <name>: <errno text>".
    int create_bridge(const std::string& name, const MacAddress& mac, int mtu);
    void create_veth(const VethSpec& spec);
    /// A link that leads nowhere, up.
    void create_dummy(const std::string& name);
    /// The frames of a VLAN on another link, up.
    void create_vlan(const std::string& name, int parent_index, std::uint16_t id);
    /// A container's link on a parent, in the namespace `netns` from its first moment. Of ipvlan
    /// the address is the parent's, and `mac` is not looked at.
    void create_sublink(const SublinkSettings& settings, const std::string& name, int parent_index,
                        const MacAddress& mac, int netns);
    void set_up(int index);
    void set_mtu(int index, int mtu);
    void set_mac(int index, const MacAddress& mac);
    /// Into the namespace `netns`, where the link is called `name`, and is down.
    void move(int index, int netns, const std::string& name);
    /// Frames may leave a bridge's port they came from.
    void set_hairpin(std::string_view port);
    /// Lets the kernel act at once on a carrier that came or went, instead of some time later.
    void sync_carrier(std::string_view name);
    /// "" takes it away.
    void set_alias(int index, std::string_view alias);
    void remove(int index);
    void remove(std::string_view name);

    std::vector<IpPrefix> addresses(int index, bool v6);
    void add_address(int index, const IpPrefix& address);
    void remove_address(int index, const IpPrefix& address);
    /// What a container's interface needs, in one go: addresses, up, and default routes. A gateway
    /// of zeros stands for the link itself.
    void configure(int index, std::span<const IpPrefix> addresses, const IpAddress& gateway4,
                   const IpAddress& gateway6);
    /// Sets or replaces the default route of the gateway's family.
    void set_default_route(int index, const IpAddress& gateway);
    /// Without a `next_hop`: what is on the link itself.
    void add_route(int index, const IpPrefix& destination, const IpAddress& next_hop);
    /// IPv4 destinations reachable without a gateway.
    /// Source: moby libnetwork/netutils, queryOnLinkRoutes.
    std::vector<IpPrefix> on_link_routes();
    /// Replaces what is remembered of `address`: it now has this MAC. ENOENT: nothing was.
    void set_neighbour(int index, const IpAddress& address, const MacAddress& mac);

private:
    sys::NetlinkSocket socket_;
    base::Fd ioctl_;
};

}  // namespace dockerd::net

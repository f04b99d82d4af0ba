#include "link.hpp"

#include <linux/ethtool.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::net {

namespace {

using sys::NetlinkBatch;
using sys::NetlinkReply;

constexpr unsigned acknowledged = NLM_F_ACK;
constexpr unsigned created = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

std::uint8_t family_number(const IpAddress& address) {
    return address.is_v6() ? AF_INET6 : AF_INET;
}

ifinfomsg link_header(int index = 0) {
    ifinfomsg header{};
    header.ifi_family = AF_UNSPEC;
    header.ifi_index = index;
    return header;
}

ifinfomsg up_header(int index) {
    ifinfomsg header = link_header(index);
    header.ifi_flags = IFF_UP;
    header.ifi_change = IFF_UP;
    return header;
}

std::optional<Link> parse_link(const NetlinkReply& reply) {
    if (reply.type != RTM_NEWLINK || reply.payload.size() < sizeof(ifinfomsg)) return std::nullopt;
    Link out;
    out.index = sys::attribute_value<ifinfomsg>(reply.payload).ifi_index;
    sys::for_each_attribute(
        reply.payload.subspan(NLMSG_ALIGN(sizeof(ifinfomsg))),
        [&](unsigned type, std::span<const char> payload) {
            if (type == IFLA_IFNAME) out.name = sys::attribute_text(payload);
            if (type == IFLA_OPERSTATE) {
                constexpr std::uint8_t up = 6;  // IF_OPER_UP, whose header clashes with <net/if.h>
                out.running = sys::attribute_value<std::uint8_t>(payload) == up;
            }
            if (type == IFLA_IFALIAS) out.alias = sys::attribute_text(payload);
            if (type == IFLA_MASTER) out.master = sys::attribute_value<int>(payload);
            if (type == IFLA_ADDRESS) out.mac = sys::attribute_value<MacAddress>(payload);
            if (type == IFLA_LINKINFO) {
                sys::for_each_attribute(payload, [&](unsigned kind, std::span<const char> value) {
                    if (kind == IFLA_INFO_KIND) out.kind = sys::attribute_text(value);
                });
            }
        });
    return out;
}

void put_address(NetlinkBatch& batch, unsigned type, const IpAddress& address) {
    batch.put_bytes(type, address.data(), address.size());
}

void begin_address(NetlinkBatch& batch, std::uint16_t type, unsigned flags, int index,
                   const IpPrefix& address) {
    ifaddrmsg header{};
    header.ifa_family = family_number(address.address);
    header.ifa_prefixlen = static_cast<std::uint8_t>(address.bits);
    header.ifa_index = static_cast<std::uint32_t>(index);
    // Duplicate detection would delay a container's IPv6 by seconds; the addresses are ours.
    if (address.address.is_v6()) header.ifa_flags = IFA_F_NODAD;
    batch.begin(type, flags, header);
    put_address(batch, IFA_LOCAL, address.address);
    put_address(batch, IFA_ADDRESS, address.address);
    if (address.address.is_v4() && address.bits < 31) {
        put_address(batch, IFA_BROADCAST, address.last());
    }
}

void begin_default_route(NetlinkBatch& batch, int index, const IpAddress& gateway) {
    rtmsg header{};
    header.rtm_family = family_number(gateway);
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_BOOT;
    header.rtm_scope = gateway.is_unspecified() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    header.rtm_type = RTN_UNICAST;
    batch.begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, header);
    if (!gateway.is_unspecified()) put_address(batch, RTA_GATEWAY, gateway);
    batch.put(RTA_OIF, index);
}

}  // namespace

Links::Links() : socket_(NETLINK_ROUTE) {}

std::optional<Link> Links::find(std::string_view name) {
    NetlinkBatch batch;
    batch.begin(RTM_GETLINK, acknowledged, link_header());
    batch.put_text(IFLA_IFNAME, name);
    std::optional<Link> out;
    try {
        socket_.transact(batch, "find link", [&](const NetlinkReply& reply) {
            if (auto link = parse_link(reply)) out = std::move(link);
        });
    } catch (const base::Error& error) {
        if (error.errno_value() != ENODEV) throw;
    }
    return out;
}

std::vector<Link> Links::list() {
    std::vector<Link> out;
    NetlinkBatch batch;
    batch.begin(RTM_GETLINK, 0, link_header());
    socket_.dump(
        batch, "list links",
        [&](const NetlinkReply& reply) {
            if (auto link = parse_link(reply)) out.push_back(std::move(*link));
        },
        [&] { out.clear(); });
    return out;
}

int Links::create_bridge(const std::string& name, const MacAddress& mac, int mtu) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, created, link_header());
    batch.put_text(IFLA_IFNAME, name);
    // An address set here stays, whichever ports come and go.
    batch.put(IFLA_ADDRESS, mac);
    if (mtu > 0) batch.put(IFLA_MTU, static_cast<std::uint32_t>(mtu));
    const auto info = batch.open_nest(IFLA_LINKINFO | NLA_F_NESTED);
    batch.put_text(IFLA_INFO_KIND, "bridge");
    batch.close_nest(info);
    socket_.transact(batch, fmt::format("create bridge {}", name));
    const auto link = find(name);
    if (!link) base::throw_errno(ENODEV, fmt::format("create bridge {}", name));
    return link->index;
}

void Links::create_veth(const VethSpec& spec) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, created, up_header(0));
    batch.put_text(IFLA_IFNAME, spec.host_name);
    if (spec.mtu > 0) batch.put(IFLA_MTU, static_cast<std::uint32_t>(spec.mtu));
    batch.put(IFLA_MASTER, spec.bridge_index);
    const auto info = batch.open_nest(IFLA_LINKINFO | NLA_F_NESTED);
    batch.put_text(IFLA_INFO_KIND, "veth");
    const auto data = batch.open_nest(IFLA_INFO_DATA | NLA_F_NESTED);
    const auto peer = batch.open_nest(VETH_INFO_PEER | NLA_F_NESTED);
    const ifinfomsg peer_header = link_header();
    batch.put_raw(&peer_header, sizeof peer_header);
    batch.put_text(IFLA_IFNAME, spec.peer_name);
    batch.put(IFLA_ADDRESS, spec.peer_mac);
    if (spec.mtu > 0) batch.put(IFLA_MTU, static_cast<std::uint32_t>(spec.mtu));
    batch.put(IFLA_NET_NS_FD, spec.peer_netns);
    batch.close_nest(peer);
    batch.close_nest(data);
    batch.close_nest(info);
    socket_.transact(batch, fmt::format("create veth pair {}", spec.host_name));
}

void Links::set_mac(int index, const MacAddress& mac) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, acknowledged, link_header(index));
    batch.put_bytes(IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
    socket_.transact(batch, "set MAC address " + mac.str());
}

void Links::move(int index, int netns, const std::string& name) {
    // Down first, or it cannot be renamed.
    ifinfomsg down = link_header(index);
    down.ifi_change = IFF_UP;
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, acknowledged, down);
    batch.begin(RTM_NEWLINK, acknowledged, link_header(index));
    batch.put(IFLA_NET_NS_FD, netns);
    batch.put_text(IFLA_IFNAME, name);
    socket_.transact(batch, fmt::format("move link to {}", name));
}

void Links::add_route(int index, const IpPrefix& destination, const IpAddress& next_hop) {
    rtmsg header{};
    header.rtm_family = family_number(destination.address);
    header.rtm_dst_len = static_cast<unsigned char>(destination.bits);
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_BOOT;
    header.rtm_scope = next_hop ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    header.rtm_type = RTN_UNICAST;
    NetlinkBatch batch;
    batch.begin(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, header);
    put_address(batch, RTA_DST, destination.address);
    if (next_hop) put_address(batch, RTA_GATEWAY, next_hop);
    batch.put(RTA_OIF, index);
    socket_.transact(batch, fmt::format("add route to {}", destination.str()));
}

void Links::create_dummy(const std::string& name) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, created, up_header(0));
    batch.put_text(IFLA_IFNAME, name);
    const auto info = batch.open_nest(IFLA_LINKINFO | NLA_F_NESTED);
    batch.put_text(IFLA_INFO_KIND, "dummy");
    batch.close_nest(info);
    socket_.transact(batch, fmt::format("create dummy link {}", name));
}

void Links::create_vlan(const std::string& name, int parent_index, std::uint16_t id) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, created, up_header(0));
    batch.put_text(IFLA_IFNAME, name);
    batch.put(IFLA_LINK, parent_index);
    const auto info = batch.open_nest(IFLA_LINKINFO | NLA_F_NESTED);
    batch.put_text(IFLA_INFO_KIND, "vlan");
    const auto data = batch.open_nest(IFLA_INFO_DATA | NLA_F_NESTED);
    batch.put(IFLA_VLAN_ID, id);
    batch.close_nest(data);
    batch.close_nest(info);
    socket_.transact(batch, fmt::format("create vlan link {}", name));
}

void Links::create_sublink(const SublinkSettings& settings, const std::string& name,
                           int parent_index, const MacAddress& mac, int netns) {
    const bool macvlan = settings.kind == SublinkSettings::Kind::macvlan;
    const std::string& mode = settings.mode;
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, created, link_header());
    batch.put_text(IFLA_IFNAME, name);
    batch.put(IFLA_LINK, parent_index);
    if (macvlan) batch.put(IFLA_ADDRESS, mac);
    batch.put(IFLA_NET_NS_FD, netns);
    const auto info = batch.open_nest(IFLA_LINKINFO | NLA_F_NESTED);
    batch.put_text(IFLA_INFO_KIND, settings.name());
    const auto data = batch.open_nest(IFLA_INFO_DATA | NLA_F_NESTED);
    if (macvlan) {
        batch.put(IFLA_MACVLAN_MODE, std::uint32_t{mode == "private"    ? MACVLAN_MODE_PRIVATE
                                                   : mode == "vepa"     ? MACVLAN_MODE_VEPA
                                                   : mode == "passthru" ? MACVLAN_MODE_PASSTHRU
                                                                        : MACVLAN_MODE_BRIDGE});
    } else {
        batch.put(IFLA_IPVLAN_MODE, static_cast<std::uint16_t>(mode == "l3"    ? IPVLAN_MODE_L3
                                                               : mode == "l3s" ? IPVLAN_MODE_L3S
                                                                               : IPVLAN_MODE_L2));
        batch.put(IFLA_IPVLAN_FLAGS,
                  static_cast<std::uint16_t>(settings.flag == "private" ? IPVLAN_F_PRIVATE
                                             : settings.flag == "vepa"  ? IPVLAN_F_VEPA
                                                                        : 0));
    }
    batch.close_nest(data);
    batch.close_nest(info);
    socket_.transact(batch, "create link");
}

void Links::set_up(int index) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, acknowledged, up_header(index));
    socket_.transact(batch, "set link up");
}

void Links::set_mtu(int index, int mtu) {
    NetlinkBatch batch;
    batch.begin(RTM_NEWLINK, acknowledged, link_header(index));
    batch.put(IFLA_MTU, static_cast<std::uint32_t>(mtu));
    socket_.transact(batch, "set link mtu");
}

void Links::set_hairpin(std::string_view port) {
    const auto link = find(port);
    if (!link) base::throw_errno(ENODEV, fmt::format("set hairpin mode of {}", port));
    NetlinkBatch batch;
    ifinfomsg header = link_header(link->index);
    header.ifi_family = AF_BRIDGE;
    batch.begin(RTM_SETLINK, acknowledged, header);
    const auto protinfo = batch.open_nest(IFLA_PROTINFO | NLA_F_NESTED);
    batch.put(IFLA_BRPORT_MODE, std::uint8_t{BRIDGE_MODE_HAIRPIN});
    batch.close_nest(protinfo);
    socket_.transact(batch, fmt::format("set hairpin mode of {}", port));
}

void Links::sync_carrier(std::string_view name) {
    if (!ioctl_) ioctl_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ethtool_value query{};
    query.cmd = ETHTOOL_GLINK;
    ifreq request{};
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
    request.ifr_data = reinterpret_cast<char*>(&query);
    // Asking for the carrier runs the link watch, since Linux 6.8. Older ones do it on their own.
    (void)::ioctl(ioctl_.get(), SIOCETHTOOL, &request);
}

void Links::set_alias(int index, std::string_view alias) {
    NetlinkBatch batch;
    batch.begin(RTM_SETLINK, acknowledged, link_header(index));
    batch.put_bytes(IFLA_IFALIAS, alias.data(), alias.size());
    socket_.transact(batch, "set link alias");
}

void Links::remove(int index) {
    NetlinkBatch batch;
    batch.begin(RTM_DELLINK, acknowledged, link_header(index));
    socket_.transact(batch, "delete link");
}

void Links::remove(std::string_view name) {
    NetlinkBatch batch;
    batch.begin(RTM_DELLINK, acknowledged, link_header());
    batch.put_text(IFLA_IFNAME, name);
    socket_.transact(batch, fmt::format("delete link {}", name));
}

std::vector<IpPrefix> Links::addresses(int index, bool v6) {
    std::vector<IpPrefix> out;
    NetlinkBatch batch;
    ifaddrmsg query{};
    query.ifa_family = v6 ? AF_INET6 : AF_INET;
    batch.begin(RTM_GETADDR, 0, query);
    socket_.dump(
        batch, "list addresses",
        [&](const NetlinkReply& reply) {
            if (reply.payload.size() < sizeof(ifaddrmsg)) return;
            const auto header = sys::attribute_value<ifaddrmsg>(reply.payload);
            if (header.ifa_index != static_cast<unsigned>(index)) return;
            IpPrefix found{{}, header.ifa_prefixlen};
            sys::for_each_attribute(
                reply.payload.subspan(NLMSG_ALIGN(sizeof(ifaddrmsg))),
                [&](unsigned type, std::span<const char> payload) {
                    // IFA_LOCAL is the own address; IPv6 has IFA_ADDRESS only.
                    if (type != IFA_LOCAL && (type != IFA_ADDRESS || found.address)) return;
                    if (payload.size() == 4) {
                        found.address = IpAddress::v4(
                            __builtin_bswap32(sys::attribute_value<std::uint32_t>(payload)));
                    } else if (payload.size() == 16) {
                        found.address = IpAddress::v6(
                            sys::attribute_value<std::array<std::uint8_t, 16>>(payload));
                    }
                });
            if (found) out.push_back(found);
        },
        [&] { out.clear(); });
    return out;
}

void Links::add_address(int index, const IpPrefix& address) {
    NetlinkBatch batch;
    begin_address(batch, RTM_NEWADDR, created, index, address);
    socket_.transact(batch, fmt::format("add address {}", address.str()));
}

void Links::remove_address(int index, const IpPrefix& address) {
    NetlinkBatch batch;
    begin_address(batch, RTM_DELADDR, acknowledged, index, address);
    socket_.transact(batch, fmt::format("delete address {}", address.str()));
}

void Links::configure(int index, std::span<const IpPrefix> addresses, const IpAddress& gateway4,
                      const IpAddress& gateway6) {
    NetlinkBatch batch;
    for (const IpPrefix& address : addresses) {
        begin_address(batch, RTM_NEWADDR, created, index, address);
    }
    batch.begin(RTM_NEWLINK, acknowledged, up_header(index));
    if (gateway4) begin_default_route(batch, index, gateway4);
    if (gateway6) begin_default_route(batch, index, gateway6);
    socket_.transact(batch, "configure interface");
}

void Links::set_default_route(int index, const IpAddress& gateway) {
    NetlinkBatch batch;
    begin_default_route(batch, index, gateway);
    socket_.transact(batch, fmt::format("set default route via {}", gateway.str()));
}

std::vector<IpPrefix> Links::on_link_routes() {
    std::vector<IpPrefix> out;
    NetlinkBatch batch;
    rtmsg query{};
    query.rtm_family = AF_INET;
    batch.begin(RTM_GETROUTE, 0, query);
    socket_.dump(
        batch, "list routes",
        [&](const NetlinkReply& reply) {
            if (reply.payload.size() < sizeof(rtmsg)) return;
            const auto header = sys::attribute_value<rtmsg>(reply.payload);
            if (header.rtm_scope != RT_SCOPE_LINK || header.rtm_table != RT_TABLE_MAIN) return;
            sys::for_each_attribute(
                reply.payload.subspan(NLMSG_ALIGN(sizeof(rtmsg))),
                [&](unsigned type, std::span<const char> payload) {
                    if (type != RTA_DST || payload.size() != 4) return;
                    out.push_back({IpAddress::v4(__builtin_bswap32(
                                       sys::attribute_value<std::uint32_t>(payload))),
                                   header.rtm_dst_len});
                });
        },
        [&] { out.clear(); });
    return out;
}

void Links::set_neighbour(int index, const IpAddress& address, const MacAddress& mac) {
    NetlinkBatch batch;
    ndmsg header{};
    header.ndm_family = family_number(address);
    header.ndm_ifindex = index;
    header.ndm_state = NUD_STALE;
    batch.begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE, header);
    put_address(batch, NDA_DST, address);
    batch.put(NDA_LLADDR, mac);
    socket_.transact(batch, "set neighbour");
}

}  // namespace dockerd::net

#include "resolver_sockets.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <span>
#include <string_view>
#include <tuple>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/net/ports.hpp>

#include "../nft.hpp"
#include "../socket_address.hpp"

namespace dockerd::net {
namespace {

constexpr std::string_view nat_table = "nat";
constexpr std::string_view output_chain = "DOCKER_OUTPUT";
constexpr std::string_view postrouting_chain = "DOCKER_POSTROUTING";
constexpr std::uint16_t dns_port = 53;

IpPrefix resolver_prefix() { return *IpPrefix::parse("127.0.0.11/32"); }

/// A socket on 127.0.0.11 and its port; `port` 0 is any. Empty when the port is taken.
base::Fd open_socket(int type, std::uint16_t& port) {
    base::Fd socket(::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) base::throw_errno(errno, "open resolver");
    const SocketAddress address(resolver_prefix().address, port);
    // The next daemon takes the port over while connections of this one are still about to close.
    // Before binding, the kernel would choose among such ports too.
    const auto let_reuse = [&] {
        const int on = 1;
        if (type == SOCK_STREAM &&
            ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
            base::throw_errno(errno, "open resolver");
        }
    };
    if (port != 0) let_reuse();
    if (::bind(socket.get(), address.get(), address.size()) != 0) {
        if (errno == EADDRINUSE && port != 0) return {};
        base::throw_errno(errno, "open resolver");
    }
    let_reuse();
    constexpr int backlog = 128;
    if (type == SOCK_STREAM && ::listen(socket.get(), backlog) != 0) {
        if (errno == EADDRINUSE && port != 0) return {};
        base::throw_errno(errno, "open resolver");
    }
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
        base::throw_errno(errno, "open resolver");
    }
    port = ntohs(bound.sin_port);
    return socket;
}

struct PortMatch {
    Protocol protocol = Protocol::udp;
    std::uint16_t source = 0;  ///< 0: any
    std::uint16_t destination = 0;
};

/// iptables' "-p udp --sport x --dport y".
void match_ports(NftBatch& batch, const PortMatch& match) {
    const auto number = static_cast<std::uint8_t>(match.protocol);
    batch.load_payload(NFT_PAYLOAD_NETWORK_HEADER, 9, 1, 0);
    batch.compare(true, 0, std::span(&number, 1));
    const auto last = [](std::uint16_t port) -> std::uint16_t { return port == 0 ? 65535 : port; };
    if (match.protocol == Protocol::tcp) {
        const xt_tcp info{.spts = {match.source, last(match.source)},
                          .dpts = {match.destination, last(match.destination)}};
        batch.xt_match("tcp", 0, &info, sizeof info);
    } else {
        const xt_udp info{.spts = {match.source, last(match.source)},
                          .dpts = {match.destination, last(match.destination)}};
        batch.xt_match("udp", 0, &info, sizeof info);
    }
}

void add_rules(NftBatch& batch, Protocol protocol, std::uint16_t port) {
    constexpr auto family = NftFamily::ip;
    const auto number = static_cast<std::uint8_t>(protocol);
    batch.begin_rule(family, nat_table, output_chain, NftBatch::Place::first, number);
    batch.match_address(family, /*source=*/false, /*equal=*/true, resolver_prefix());
    match_ports(batch, {.protocol = protocol, .destination = dns_port});
    batch.counter();
    nf_nat_range2 to{};
    to.flags = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED;
    to.min_addr.ip = htonl(resolver_prefix().address.to_v4());
    to.max_addr = to.min_addr;
    to.min_proto.all = to.max_proto.all = htons(port);
    batch.xt_target("DNAT", 2, &to, sizeof to);
    batch.end_rule();

    batch.begin_rule(family, nat_table, postrouting_chain, NftBatch::Place::first, number);
    batch.match_address(family, /*source=*/true, /*equal=*/true, resolver_prefix());
    match_ports(batch, {.protocol = protocol, .source = port});
    batch.counter();
    nf_nat_ipv4_multi_range_compat from{};
    from.rangesize = 1;
    from.range[0].flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    from.range[0].min.all = from.range[0].max.all = htons(dns_port);
    batch.xt_target("SNAT", 0, &from, sizeof from);
    batch.end_rule();
}

/// An own chain, empty, and the jump to it from iptables' chain at the hook.
void make_chain(NftBatch& batch, sys::NetlinkSocket& socket, std::string_view base_chain,
                unsigned hook, int priority, std::string_view chain) {
    constexpr auto family = NftFamily::ip;
    const bool known = list_rules(socket, family, nat_table, chain).has_value();
    batch.add_table(family, nat_table);
    batch.add_base_chain(family, nat_table, base_chain, "nat", hook, priority);
    batch.add_chain(family, nat_table, chain);
    if (known) {
        batch.flush_chain(family, nat_table, chain);
        return;
    }
    batch.begin_rule(family, nat_table, base_chain, NftBatch::Place::first);
    batch.match_address(family, /*source=*/false, /*equal=*/true, resolver_prefix());
    batch.counter();
    batch.verdict(NFT_JUMP, chain);
    batch.end_rule();
}

void lead_to(const ResolverPorts& ports) {
    sys::NetlinkSocket socket(NETLINK_NETFILTER);
    NftBatch batch;
    constexpr int before_others = -100;
    constexpr int after_others = 100;
    make_chain(batch, socket, "OUTPUT", NF_INET_LOCAL_OUT, before_others, output_chain);
    make_chain(batch, socket, "POSTROUTING", NF_INET_POST_ROUTING, after_others, postrouting_chain);
    add_rules(batch, Protocol::udp, ports.udp);
    add_rules(batch, Protocol::tcp, ports.tcp);
    batch.commit(socket);
}

}  // namespace

ResolverSockets open_resolver_sockets(const ResolverPorts& earlier) {
    ResolverSockets out;
    out.ports = earlier;
    out.udp = open_socket(SOCK_DGRAM, out.ports.udp);
    out.tcp = open_socket(SOCK_STREAM, out.ports.tcp);
    if (out.udp && out.tcp && earlier.udp != 0 && earlier.tcp != 0) return out;
    for (const auto& [socket, port, type] :
         {std::tuple(&out.udp, &out.ports.udp, SOCK_DGRAM),
          std::tuple(&out.tcp, &out.ports.tcp, SOCK_STREAM)}) {
        if (*socket) continue;
        base::log::debug("port {} of the resolver has been taken", *port);
        *port = 0;
        *socket = open_socket(type, *port);
    }
    lead_to(out.ports);
    return out;
}

}  // namespace dockerd::net

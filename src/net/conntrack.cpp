#include "conntrack.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <map>
#include <set>
#include <span>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::net {

namespace log = base::log;

namespace {

/// What of a tuple a filter compares. Since Linux 5.8.
/// Source: kernel net/netfilter/nf_internals.h, CTA_FILTER_F_*.
constexpr std::uint32_t compare_protocol = 1U << 3;
constexpr std::uint32_t compare_destination_port = 1U << 5;

constexpr std::uint16_t message_type(unsigned type) {
    return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
}

constexpr unsigned nested(unsigned type) { return type | NLA_F_NESTED; }

nfgenmsg header_of(std::uint8_t family) {
    return {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0};
}

/// The port a flow's first packet was for.
std::uint16_t destination_port(std::span<const char> tuple) {
    std::uint16_t out = 0;
    sys::for_each_attribute(tuple, [&](unsigned type, std::span<const char> protocol) {
        if (type != CTA_TUPLE_PROTO) return;
        sys::for_each_attribute(protocol, [&](unsigned field, std::span<const char> payload) {
            if (field != CTA_PROTO_DST_PORT) return;
            out = ntohs(sys::attribute_value<std::uint16_t>(payload));
        });
    });
    return out;
}

/// Asks for the UDP flows, of one port's alone if there is just one.
void put_request(sys::NetlinkBatch& batch, std::uint8_t family,
                 const std::set<std::uint16_t>& ports) {
    batch.begin(message_type(IPCTNL_MSG_CT_GET), 0, header_of(family));
    std::uint32_t compared = compare_protocol;
    const auto tuple = batch.open_nest(nested(CTA_TUPLE_ORIG));
    const auto protocol = batch.open_nest(nested(CTA_TUPLE_PROTO));
    batch.put(CTA_PROTO_NUM, static_cast<std::uint8_t>(Protocol::udp));
    if (ports.size() == 1) {
        batch.put(CTA_PROTO_DST_PORT, htons(*ports.begin()));
        compared |= compare_destination_port;
    }
    batch.close_nest(protocol);
    batch.close_nest(tuple);
    const auto filter = batch.open_nest(nested(CTA_FILTER));
    batch.put(CTA_FILTER_ORIG_FLAGS, compared);
    batch.put(CTA_FILTER_REPLY_FLAGS, std::uint32_t{0});
    batch.close_nest(filter);
}

}  // namespace

Conntrack::Conntrack() : socket_(NETLINK_NETFILTER) {}

/// The filter works in the kernel: other flows cost nothing but the walk.
void Conntrack::forget(std::uint8_t family, const std::set<std::uint16_t>& ports) {
    sys::NetlinkBatch request;
    put_request(request, family, ports);
    sys::NetlinkBatch removals;
    const auto remove = [&](const sys::NetlinkReply& reply) {
        if (reply.payload.size() < sizeof(nfgenmsg)) return;
        const auto attributes = reply.payload.subspan(sizeof(nfgenmsg));
        bool ours = false;
        sys::for_each_attribute(attributes, [&](unsigned type, std::span<const char> payload) {
            if (type == CTA_TUPLE_ORIG) ours = ports.contains(destination_port(payload));
        });
        if (!ours) return;
        removals.begin(message_type(IPCTNL_MSG_CT_DELETE), NLM_F_ACK, header_of(family));
        // Its tuple, and the number that tells it from a later flow with the same one.
        sys::for_each_attribute(attributes, [&](unsigned type, std::span<const char> payload) {
            if (type == CTA_TUPLE_ORIG) {
                removals.put_bytes(nested(type), payload.data(), payload.size());
            } else if (type == CTA_ID || type == CTA_ZONE) {
                removals.put_bytes(type, payload.data(), payload.size());
            }
        });
    };
    socket_.dump(request, "list connections", remove, [&] { removals.clear(); });
    if (removals.empty()) return;
    try {
        socket_.transact(removals, "forget connections");
    } catch (const base::Error& error) {
        if (error.errno_value() != ENOENT) throw;  // some ended meanwhile
    }
}

void Conntrack::forget_ports(const std::vector<PublishedPort>& ports) noexcept {
    try {
        std::map<std::uint8_t, std::set<std::uint16_t>> numbers;
        for (const PublishedPort& port : ports) {
            // What the proxy carries between families has flows with the host only.
            const bool translated = port.container_ip.family() == port.host_ip.family();
            if (port.protocol != Protocol::udp || port.host_port == 0 || !translated) continue;
            const int family = port.host_ip.is_v6() ? AF_INET6 : AF_INET;
            numbers[static_cast<std::uint8_t>(family)].insert(port.host_port);
        }
        const base::Lock lock(mutex_);
        for (const auto& [family, wanted] : numbers) forget(family, wanted);
    } catch (const std::exception& error) {
        log::debug("connections of published ports: {}, ignoring", error.what());
    }
}

}  // namespace dockerd::net

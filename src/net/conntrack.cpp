#include "conntrack.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <optional>
#include <set>
#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::net {

namespace log = base::log;

namespace {

/// What of a tuple a filter compares. Since Linux 5.8.
/// Source: kernel net/netfilter/nf_internals.h, CTA_FILTER_F_*.
constexpr std::uint32_t compare_source = 1U << 0;
constexpr std::uint32_t compare_destination = 1U << 1;
constexpr std::uint32_t compare_protocol = 1U << 3;
constexpr std::uint32_t compare_destination_port = 1U << 5;

constexpr std::uint16_t message_type(unsigned type) {
    return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
}

constexpr unsigned nested(unsigned type) { return type | NLA_F_NESTED; }

nfgenmsg header_of(std::uint8_t family) {
    return {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0};
}

void put_filter(sys::NetlinkBatch& batch, std::uint32_t original, std::uint32_t reply) {
    const auto filter = batch.open_nest(nested(CTA_FILTER));
    batch.put(CTA_FILTER_ORIG_FLAGS, original);
    batch.put(CTA_FILTER_REPLY_FLAGS, reply);
    batch.close_nest(filter);
}

}  // namespace

Conntrack::Conntrack() : socket_(NETLINK_NETFILTER) {}

/// Takes out of the table what the filter finds. The filter works in the kernel: other flows cost
/// nothing but the walk.
void Conntrack::forget(sys::NetlinkBatch& filter, std::uint8_t family) {
    sys::NetlinkBatch removals;
    socket_.dump(
        filter, "list connections",
        [&](const sys::NetlinkReply& reply) {
            if (reply.payload.size() < sizeof(nfgenmsg)) return;
            removals.begin(message_type(IPCTNL_MSG_CT_DELETE), NLM_F_ACK, header_of(family));
            // Its tuple, and the number that tells it from a later flow with the same one.
            sys::for_each_attribute(
                reply.payload.subspan(sizeof(nfgenmsg)),
                [&](unsigned type, std::span<const char> payload) {
                    if (type == CTA_TUPLE_ORIG) {
                        removals.put_bytes(nested(type), payload.data(), payload.size());
                    } else if (type == CTA_ID || type == CTA_ZONE) {
                        removals.put_bytes(type, payload.data(), payload.size());
                    }
                });
        },
        [&] { removals.clear(); });
    if (removals.empty()) return;
    try {
        socket_.transact(removals, "forget connections");
    } catch (const base::Error& error) {
        if (error.errno_value() != ENOENT) throw;  // some ended meanwhile
    }
}

void Conntrack::forget_ports(const std::vector<PublishedPort>& ports) noexcept {
    try {
        std::set<std::uint16_t> numbers;
        for (const PublishedPort& port : ports) {
            if (port.protocol == Protocol::udp && port.host_port != 0) {
                numbers.insert(port.host_port);
            }
        }
        const base::Lock lock(mutex_);
        for (const std::uint16_t number : numbers) {
            for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
                sys::NetlinkBatch filter;
                filter.begin(message_type(IPCTNL_MSG_CT_GET), 0, header_of(family));
                const auto tuple = filter.open_nest(nested(CTA_TUPLE_ORIG));
                const auto protocol = filter.open_nest(nested(CTA_TUPLE_PROTO));
                filter.put(CTA_PROTO_NUM, static_cast<std::uint8_t>(Protocol::udp));
                filter.put(CTA_PROTO_DST_PORT, htons(number));
                filter.close_nest(protocol);
                filter.close_nest(tuple);
                put_filter(filter, compare_protocol | compare_destination_port, 0);
                forget(filter, family);
            }
        }
    } catch (const std::exception& error) {
        log::debug("connections of published ports: {}, ignoring", error.what());
    }
}

void Conntrack::forget_address(const IpAddress& address) noexcept {
    if (!address) return;
    try {
        const bool v6 = address.is_v6();
        const auto family = static_cast<std::uint8_t>(v6 ? AF_INET6 : AF_INET);
        const base::Lock lock(mutex_);
        for (const bool source : {true, false}) {
            sys::NetlinkBatch filter;
            filter.begin(message_type(IPCTNL_MSG_CT_GET), 0, header_of(family));
            const auto tuple = filter.open_nest(nested(CTA_TUPLE_REPLY));
            const auto ip = filter.open_nest(nested(CTA_TUPLE_IP));
            const unsigned type = v6 ? (source ? CTA_IP_V6_SRC : CTA_IP_V6_DST)
                                     : (source ? CTA_IP_V4_SRC : CTA_IP_V4_DST);
            filter.put_bytes(type, address.data(), address.size());
            filter.close_nest(ip);
            filter.close_nest(tuple);
            put_filter(filter, 0, source ? compare_source : compare_destination);
            forget(filter, family);
        }
    } catch (const std::exception& error) {
        log::debug("connections of {}: {}, ignoring", address.str(), error.what());
    }
}

}  // namespace dockerd::net

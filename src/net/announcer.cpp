#include "announcer.hpp"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::net {

namespace log = base::log;

namespace {

using Frame = std::vector<std::uint8_t>;

void append(Frame& out, std::initializer_list<int> bytes) {
    for (const int byte : bytes) out.push_back(static_cast<std::uint8_t>(byte));
}

void append(Frame& out, const IpAddress& address) {
    out.insert(out.end(), address.data(), address.data() + address.size());
}

void append(Frame& out, const MacAddress& mac) {
    out.insert(out.end(), mac.bytes.begin(), mac.bytes.end());
}

constexpr std::array<std::uint8_t, 6> everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr std::array<std::uint8_t, 6> all_nodes_mac{0x33, 0x33, 0, 0, 0, 1};
/// ff02::1.
constexpr std::array<std::uint8_t, 16> all_nodes{0xff, 0x02, 0, 0, 0, 0, 0, 0,
                                                 0,    0,    0, 0, 0, 0, 0, 1};

/// A number of an option; nullopt when it is none.
std::optional<long> number_of(const std::string& text) {
    long out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return out;
}

}  // namespace

/// Source: moby libnetwork/network_unix.go, validatedAdvertiseAddrNMsgs, and its limits in
/// osl/interface_linux.go.
Announcing parse_announcing(const model::StringMap& options) {
    Announcing out;
    const auto take = [&](const std::string& option, const char* kind, long least, long most,
                          auto set) {
        const auto found = options.find(option);
        if (found == options.end()) return;
        const auto value = number_of(found->second);
        if (!value) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("value for option {} {} must be {}", option,
                                   base::quote(found->second), kind));
        }
        if (*value < least || *value > most) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("{} must be in the range {} to {}", option, least, most));
        }
        set(*value);
    };
    take("com.docker.network.advertise_addr_nmsgs", "an integer", 0, 3,
         [&](long value) { out.count = static_cast<unsigned>(value); });
    take("com.docker.network.advertise_addr_ms", "integer milliseconds", 100, 2000,
         [&](long value) { out.interval = std::chrono::milliseconds(value); });
    return out;
}

std::vector<std::uint8_t> arp_announcement(const IpAddress& address, const MacAddress& mac) {
    Frame out(everybody.begin(), everybody.end());
    append(out, mac);
    append(out, {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1});  // Ethernet and IPv4, a request
    append(out, mac);
    append(out, address);
    append(out, {0, 0, 0, 0, 0, 0});
    append(out, address);
    return out;
}

std::vector<std::uint8_t> neighbour_advertisement(const IpAddress& address, const MacAddress& mac) {
    Frame body;
    append(body, {ND_NEIGHBOR_ADVERT, 0, 0, 0, 0x20, 0, 0, 0});
    append(body, address);
    append(body, {ND_OPT_TARGET_LINKADDR, 1});
    append(body, mac);

    Frame summed(address.data(), address.data() + address.size());
    summed.insert(summed.end(), all_nodes.begin(), all_nodes.end());
    append(summed, {0, 0, 0, static_cast<int>(body.size()), 0, 0, 0, IPPROTO_ICMPV6});
    summed.insert(summed.end(), body.begin(), body.end());
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i + 1 < summed.size(); i += 2) {
        sum += static_cast<std::uint32_t>(summed[i] << 8 | summed[i + 1]);
    }
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    body[2] = static_cast<std::uint8_t>(~sum >> 8);
    body[3] = static_cast<std::uint8_t>(~sum);

    Frame out(all_nodes_mac.begin(), all_nodes_mac.end());
    append(out, mac);
    append(out, {0x86, 0xdd, 0x60, 0, 0, 0, 0, static_cast<int>(body.size()), IPPROTO_ICMPV6, 255});
    append(out, address);
    out.insert(out.end(), all_nodes.begin(), all_nodes.end());
    out.insert(out.end(), body.begin(), body.end());
    return out;
}

void Announcer::send(const Announcement& what) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = what.interface;
    to.sll_halen = ETH_ALEN;
    for (const IpAddress& address : {what.ipv4, what.ipv6}) {
        if (!address) continue;
        const Frame frame = address.is_v4() ? arp_announcement(address, what.mac)
                                            : neighbour_advertisement(address, what.mac);
        std::copy_n(frame.begin(), ETH_ALEN, to.sll_addr);
        // A link that is down has nobody to tell.
        (void)::sendto(what.socket.get(), frame.data(), frame.size(), MSG_DONTWAIT,
                       reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
}

/// Closing a packet socket waits for an RCU grace period: the timers' thread may do that.
void Announcer::close_later(base::Fd socket) {
    const auto held = std::make_shared<base::Fd>(std::move(socket));
    (void)timers_.after({}, [held] { held->reset(); });
}

void Announcer::announce(const std::string& endpoint_id, Announcement what,
                         const Announcing& how) noexcept {
    try {
        const base::Lock lock(mutex_);
        send(what);
        if (how.count <= 1) return close_later(std::move(what.socket));
        Waiting& waiting = waiting_[endpoint_id];
        waiting.what = std::move(what);
        waiting.how = {how.count - 1, how.interval};
        waiting.timer = timers_.after(how.interval, [this, endpoint_id] { again(endpoint_id); });
    } catch (const std::exception& error) {
        log::debug("announce address: {}, ignoring", error.what());
    }
}

void Announcer::again(const std::string& endpoint_id) {
    const base::Lock lock(mutex_);
    const auto found = waiting_.find(endpoint_id);
    if (found == waiting_.end()) return;
    Waiting& waiting = found->second;
    try {
        send(waiting.what);
        if (--waiting.how.count > 0) {
            waiting.timer =
                timers_.after(waiting.how.interval, [this, endpoint_id] { again(endpoint_id); });
            return;
        }
    } catch (const std::exception& error) {
        log::debug("announce address: {}, ignoring", error.what());
    }
    waiting_.erase(found);
}

void Announcer::forget(const std::string& endpoint_id) noexcept {
    try {
        const base::Lock lock(mutex_);
        const auto found = waiting_.find(endpoint_id);
        if (found == waiting_.end()) return;
        timers_.cancel(found->second.timer);
        close_later(std::move(found->second.what.socket));
        waiting_.erase(found);
    } catch (const std::exception& error) {
        log::debug("announce address: {}, ignoring", error.what());
    }
}

}  // namespace dockerd::net

#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/base/timers.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// How often a new address is made known, and how far apart.
struct Announcing {
    unsigned count = 3;
    std::chrono::milliseconds interval{1000};
};

/// A network's wish.
/// Throws: internal, Docker's words.
Announcing parse_announcing(const model::StringMap& options);

/// Where addresses are now, for those who may remember another MAC.
struct Announcement {
    base::Fd socket;  ///< packets of the container's namespace
    int interface = 0;
    MacAddress mac;
    IpAddress ipv4;
    IpAddress ipv6;
};

/// An ARP request of an address's owner for itself, which every neighbour learns from. A frame.
/// Source: RFC 5227, section 3.
std::vector<std::uint8_t> arp_announcement(const IpAddress& address, const MacAddress& mac);
/// The unsolicited neighbour advertisement with the flag "override". A frame.
/// Source: RFC 4861, sections 4.4 and 7.2.6.
std::vector<std::uint8_t> neighbour_advertisement(const IpAddress& address, const MacAddress& mac);

/// Tells neighbours of new addresses from where these are: at once, and again while the endpoint is
/// there.
/// Thread: safe.
class Announcer {
public:
    /// Never throws: neighbours find out by themselves, only later.
    void announce(const std::string& endpoint_id, Announcement what,
                  const Announcing& how) noexcept;
    /// On return nothing is sent for it any more.
    void forget(const std::string& endpoint_id) noexcept;

private:
    struct Waiting {
        Announcement what;
        Announcing how;
        std::uint64_t timer = 0;
    };

    static void send(const Announcement& what);
    void again(const std::string& endpoint_id);
    void close_later(base::Fd socket);

    base::Mutex mutex_;
    std::map<std::string, Waiting> waiting_;
    base::Timers timers_;  ///< last: its thread uses the others
};

}  // namespace dockerd::net

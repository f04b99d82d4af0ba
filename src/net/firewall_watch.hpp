#pragma once

#include <string>
#include <thread>

#include <dockerd/base/fd.hpp>

#include "firewall.hpp"

namespace dockerd::net {

/// Puts the firewall back as soon as another program has flushed or deleted of it.
///
/// A thread of its own hears of every change of nf_tables in the namespace of the thread that makes
/// the object. It looks at what others take away, and has the firewall build everything anew, in
/// one transaction.
class FirewallWatch {
public:
    /// `firewall` is started, and outlives the watch.
    /// `room` in bytes is for notices that wait; what does not fit counts as damage.
    /// Throws: internal, "netlink socket: <errno text>".
    explicit FirewallWatch(Firewall& firewall, int room = 4 << 20);
    ~FirewallWatch();
    FirewallWatch(const FirewallWatch&) = delete;
    FirewallWatch& operator=(const FirewallWatch&) = delete;

private:
    void run();
    bool is_damaged(std::vector<char>& buffer);
    bool heal();

    Firewall& firewall_;
    std::string suffix_;
    sys::NetlinkSocket socket_;
    base::Fd stop_;
    std::thread thread_;
};

}  // namespace dockerd::net

#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/net/ports.hpp>
#include <dockerd/sys/netlink.hpp>

namespace dockerd::net {

/// The kernel's table of connections. A flow that is in it is not looked at by rules any more:
/// what a published port changes must be forgotten there.
///
/// Thread: safe. Of the namespace it was made in.
/// Source: moby libnetwork/iptables/conntrack.go; kernel net/netfilter/nf_conntrack_netlink.c.
class Conntrack {
public:
    Conntrack();

    /// Forgets the flows to the host's UDP ports among `ports`: their senders may go on and on,
    /// and would stay with a container that is gone, or with the proxy. Never throws; logs.
    ///
    /// Looking through the table takes milliseconds, however empty it is: without a translated
    /// UDP port nothing is done.
    void forget_ports(const std::vector<PublishedPort>& ports) noexcept;

private:
    void forget(std::uint8_t family, const std::set<std::uint16_t>& ports);

    base::Mutex mutex_;
    sys::NetlinkSocket socket_;
};

}  // namespace dockerd::net

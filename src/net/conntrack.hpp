#pragma once

#include <cstdint>
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
    void forget_ports(const std::vector<PublishedPort>& ports) noexcept;
    /// Forgets the flows a container with this address takes part in by it. Never throws; logs.
    void forget_address(const IpAddress& address) noexcept;

private:
    void forget(sys::NetlinkBatch& filter, std::uint8_t family);

    base::Mutex mutex_;
    sys::NetlinkSocket socket_;
};

}  // namespace dockerd::net

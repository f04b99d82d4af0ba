#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <dockerd/net/address.hpp>
#include <dockerd/net/networks.hpp>

namespace dockerd::net {

/// Subnets and the addresses given out of them. Nothing here touches the kernel.
///
/// Addresses are given lowest free first; a subnet's own address and an IPv4 broadcast address
/// are never given.
/// Thread: the owner's lock.
/// Source: moby libnetwork/ipams/defaultipam (v28.2.2, without its serial option).
class Ipam {
public:
    /// `predefined` empty takes Docker's pools. Their order does not matter.
    /// Throws: internal, "could not construct local address space: network at index 0 ...".
    explicit Ipam(std::vector<AddressPool> predefined = {});

    /// Takes the first predefined subnet that overlaps nothing allocated or `reserved`.
    /// Throws: invalid_argument, "all predefined address pools have been fully subnetted".
    IpPrefix take_any_subnet(const std::vector<IpPrefix>& reserved, bool v6 = false);
    /// Takes this subnet, or with `range` that part of it. Parts of one subnet may be several
    /// networks'; then each address is still given once. As with Docker, what is taken by parts
    /// is not compared with other subnets.
    /// Throws: permission_denied, "invalid pool request: Pool overlaps with other one on this
    ///         address space".
    IpPrefix take_subnet(const IpPrefix& subnet, const IpPrefix& range = {});
    /// With the `range` it was taken with.
    void release_subnet(const IpPrefix& subnet, const IpPrefix& range = {});

    /// Takes the lowest free address, within `range` when given; nullopt when there is none.
    /// Throws: internal, "add-any, range '...' is not in subnet '...'".
    std::optional<IpAddress> take_any(const IpPrefix& subnet, const IpPrefix& range = {});
    /// Takes this address.
    /// Throws: permission_denied, "Address already in use"; invalid_argument, "requested address
    ///         is out of range".
    void take(const IpPrefix& subnet, const IpAddress& address);
    /// Gives an address back; one that is not taken is no error.
    void release(const IpPrefix& subnet, const IpAddress& address);

private:
    struct Pool {
        std::set<IpAddress> taken;
        IpAddress first_maybe_free;
        std::set<IpPrefix> ranges;  ///< parts that are taken
        bool whole = false;         ///< taken without a range
    };

    std::vector<AddressPool> predefined_;
    std::map<IpPrefix, Pool> pools_;
};

}  // namespace dockerd::net

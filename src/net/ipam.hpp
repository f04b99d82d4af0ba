#pragma once

#include <cstdint>
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
    /// `predefined` empty takes Docker's pools.
    explicit Ipam(std::vector<AddressPool> predefined = {});

    /// Takes the first predefined subnet that overlaps nothing allocated or `reserved`.
    /// Throws: invalid_argument, "all predefined address pools have been fully subnetted".
    IpPrefix take_any_subnet(const std::vector<IpPrefix>& reserved, bool v6 = false);
    /// Takes this subnet.
    /// Throws: permission_denied, "invalid pool request: Pool overlaps with other one on this
    ///         address space".
    IpPrefix take_subnet(const IpPrefix& subnet);
    void release_subnet(const IpPrefix& subnet);

    /// Takes the lowest free address, within `range` when given; nullopt when there is none.
    std::optional<IpAddress> take_any(const IpPrefix& subnet, const IpPrefix& range = {});
    /// Takes this address.
    /// Throws: permission_denied, "Address already in use"; invalid_argument, "requested address
    ///         is out of range".
    void take(const IpPrefix& subnet, const IpAddress& address);
    /// Gives an address back; one that is not taken is no error.
    void release(const IpPrefix& subnet, const IpAddress& address);

private:
    struct Pool {
        std::set<std::uint64_t> taken;  ///< offsets from the subnet's address
        std::uint64_t first_maybe_free = 0;
    };

    std::vector<AddressPool> predefined_;
    std::map<IpPrefix, Pool> pools_;
};

/// Docker's default address pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on.
/// Source: moby libnetwork/ipamutils, localScopeDefaultNetworks.
std::vector<AddressPool> default_address_pools();

}  // namespace dockerd::net

#pragma once

#include <string>
#include <vector>

#include <dockerd/model/network.hpp>
#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// What the daemon's flags say of the default bridge's addresses of one family.
struct DefaultBridgeFlags {
    bool v6 = false;
    bool managed = true;     ///< docker0, which is the daemon's own; else the user's bridge
    std::string bip;         ///< --bip, --bip6
    std::string fixed_cidr;  ///< --fixed-cidr, --fixed-cidr-v6
    IpAddress gateway;       ///< --default-gateway, --default-gateway-v6
};

/// The configuration the default network is made with, given the addresses its bridge has already.
/// An empty subnet is any of the pools.
///
/// Throws: invalid_argument, "parse bip failed: invalid CIDR address: x" and the like.
/// Source: moby daemon/daemon_unix.go, getDefaultBridgeIPAMConf and selectBIP.
model::IpamConfig plan_default_bridge(const DefaultBridgeFlags& flags,
                                      std::vector<IpPrefix> present);

}  // namespace dockerd::net

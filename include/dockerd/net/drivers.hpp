#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dockerd/model/collections.hpp>
#include <dockerd/net/address.hpp>
#include <dockerd/net/network.hpp>
#include <dockerd/net/ports.hpp>

/// Drivers of networks, and keepers of addresses, that other programs are.
namespace dockerd::net {

/// Addresses of a network. Source: moby libnetwork/driverapi, IPAMData.
struct DriverSubnet {
    std::string space;  ///< "LocalDefault", or what an IPAM driver calls it
    IpPrefix pool;
    IpPrefix gateway;
    std::map<std::string, IpPrefix> aux;
};

/// What an endpoint's interface has; none where nobody has chosen yet.
struct DriverInterface {
    IpPrefix ipv4, ipv6;
    MacAddress mac;
};

/// What a container's ports are.
struct DriverPorts {
    std::vector<std::string> exposed;  ///< "80/tcp"
    std::vector<PortMapping> published;
};

/// How an endpoint gets into its container.
struct DriverJoin {
    struct Route {
        IpPrefix destination;
        IpAddress next_hop;  ///< none: on the link
    };
    std::string source;  ///< the host's link that moves; "" when there is none
    std::string prefix;  ///< of its name in the container, before a number
    IpAddress gateway, ipv6_gateway;
    std::vector<Route> routes;
};

/// One driver. Every call ends in time, and may wait for that long: no lock is held over it.
///
/// Throws: internal, "remote: <what the driver says>".
/// Thread: any.
class NetworkDriver {
public:
    virtual ~NetworkDriver() = default;
    /// With the addresses that the network has.
    virtual void create_network(const NetworkRecord& network, std::span<const DriverSubnet> v4,
                                std::span<const DriverSubnet> v6) = 0;
    /// By its id.
    virtual void delete_network(const std::string& network) = 0;
    /// What of the interface the driver chose.
    virtual DriverInterface create_endpoint(const std::string& network,
                                            const std::string& endpoint,
                                            const DriverInterface& interface,
                                            const DriverPorts& ports,
                                            const model::StringMap& options) = 0;
    /// By network and endpoint.
    virtual void delete_endpoint(const std::string& network, const std::string& endpoint) = 0;
    /// What the driver has to say of it; nobody looks at the answer.
    virtual void ask_endpoint(const std::string& network, const std::string& endpoint) = 0;
    /// How the endpoint gets into the container with that namespace.
    virtual DriverJoin join(const std::string& network, const std::string& endpoint,
                            const std::string& sandbox_key, const DriverPorts& ports) = 0;
    /// The container has left.
    virtual void leave(const std::string& network, const std::string& endpoint) = 0;
    /// The endpoint is its container's way to the outside, and is no more.
    virtual void open_outside(const std::string& network, const std::string& endpoint,
                              const DriverPorts& ports) = 0;
    virtual void close_outside(const std::string& network, const std::string& endpoint) = 0;
};
using NetworkDriverPtr = std::shared_ptr<NetworkDriver>;

/// Throws: not_found, `plugin "x" not found`; internal.
using FindNetworkDriver = std::function<NetworkDriverPtr(const std::string& name)>;

/// Where the addresses of a network come from. As with NetworkDriver no lock is held over a call.
///
/// Throws: internal, "remote: <what the driver says>".
/// Thread: any.
/// Source: moby libnetwork/ipamapi, Ipam.
class IpamDriver {
public:
    struct PoolRequest {
        std::string space;
        std::string subnet;  ///< "" is any
        std::string range;   ///< of the subnet; "" is all of it
        model::StringMap options;
        bool v6 = false;
        std::vector<IpPrefix> reserved;  ///< what a subnet the driver chose may not overlap
    };
    struct Pool {
        std::string id;
        IpPrefix subnet;
        IpPrefix gateway;  ///< when it came with the subnet
    };

    virtual ~IpamDriver() = default;
    /// Whether it wants to know the MAC that an address is for.
    [[nodiscard]] virtual bool wants_mac() const = 0;
    /// Whether a daemon that starts tells it again what it gave.
    [[nodiscard]] virtual bool wants_replay() const = 0;
    /// The address space of networks of this machine.
    virtual std::string local_space() = 0;
    virtual Pool request_pool(const PoolRequest& request) = 0;
    virtual void release_pool(const std::string& pool) = 0;
    /// `wanted` none: any address.
    virtual IpPrefix request_address(const std::string& pool, const IpAddress& wanted,
                                     const model::StringMap& options) = 0;
    virtual void release_address(const std::string& pool, const IpAddress& address) = 0;
};
using IpamDriverPtr = std::shared_ptr<IpamDriver>;

/// Throws: not_found, `plugin "x" not found`; internal.
using FindIpamDriver = std::function<IpamDriverPtr(const std::string& name)>;

}  // namespace dockerd::net

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/net/drivers.hpp>
#include <dockerd/net/network.hpp>
#include <dockerd/net/sandbox.hpp>

namespace dockerd::net {

/// A range to cut subnets from. Source: --default-address-pool.
struct AddressPool {
    IpPrefix base;
    int size = 16;  ///< prefix length of each subnet
};

/// Docker's pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on.
/// Source: moby libnetwork/ipamutils, localScopeDefaultNetworks.
std::vector<AddressPool> default_address_pools();

/// The daemon's networking flags, with Docker's defaults.
struct NetworksOptions {
    std::string exec_root = "/run/docker";
    std::string bridge;  ///< --bridge: "" is docker0, "none" is no default bridge
    std::string bip;     ///< --bip, "172.20.0.1/16"
    std::string bip6;
    std::string fixed_cidr;
    std::string fixed_cidr_v6;
    IpAddress default_gateway;  ///< --default-gateway
    IpAddress default_gateway_v6;
    bool ipv6 = false;          ///< --ipv6, of the default bridge
    IpAddress default_host_ip;  ///< --ip; none is 0.0.0.0
    std::vector<AddressPool> address_pools;  ///< none: default_address_pools()
    bool own_pools = false;                  ///< they are the user's choice
    std::vector<IpAddress> host_gateway_ips;
    int mtu = 1500;
    bool icc = true;
    bool ip_masquerade = true;
    bool ip_forward = true;
    bool ip_forward_no_drop = false;
    bool iptables = true;
    bool ip6tables = true;
    bool userland_proxy = true;
    bool allow_direct_routing = false;
    bool live_restore = false;
    /// --default-network-opt of the bridge driver.
    std::map<std::string, model::StringMap> default_options;
    /// Where other drivers are found; without it there are none.
    FindNetworkDriver find_driver;
    FindIpamDriver find_ipam;
};

/// All networks of the daemon and the containers on them.
///
/// The namespace of the thread that makes the object is "the host". Threads that call sandbox
/// functions enter other namespaces meanwhile and are back when the call returns.
/// Thread: safe.
class Networks {
public:
    /// Loads records, makes the three predefined networks, docker0 and the firewall's tables.
    Networks(NetworksOptions options, NetworkStore& store);
    /// Ends the port proxies; leaves every container's connectivity as it is.
    ~Networks();
    Networks(const Networks&) = delete;
    Networks& operator=(const Networks&) = delete;

    [[nodiscard]] std::vector<NetworkRecord> list() const;
    /// By full id, exact name, or unambiguous start of an id.
    /// Throws: not_found, `network <reference> not found`; invalid_argument,
    ///         `network x is ambiguous (2 matches found based on name)`.
    [[nodiscard]] NetworkRecord get(std::string_view reference) const;
    [[nodiscard]] std::optional<NetworkRecord> find(std::string_view reference) const;

    /// Makes a network of driver "bridge" and answers with its record.
    /// Throws: conflict, permission_denied, invalid_argument with Docker's texts.
    NetworkRecord create(const model::NetworkCreate& request);
    /// Throws: not_found; permission_denied when predefined or in use.
    void remove(std::string_view reference);

    /// A namespace with `lo` up, mounted at its key. `existing` takes over a namespace made
    /// elsewhere (user namespaces) instead of making one.
    std::unique_ptr<Sandbox> open_sandbox(base::Fd existing = {});
    /// The sandbox of `--network host`: the daemon's own namespace.
    std::unique_ptr<Sandbox> open_host_sandbox();

    /// Connects the sandbox: veth pair, addresses, default route, ports, names. On the networks
    /// "host" and "none" it is only written down. Nothing is left behind when it throws.
    /// Users' networks have names: with the first one the sandbox gets its resolver.
    ///
    /// Throws: internal, `driver failed programming external connectivity on endpoint NAME (ID):
    ///         Bind for 0.0.0.0:80 failed: port is already allocated` and the like.
    /// Source: moby libnetwork/endpoint.go, sbJoin.
    EndpointInfo join(Sandbox& sandbox, const JoinRequest& request);
    /// Disconnects a living sandbox from one network. `ports` are published on the one that leads
    /// outside then. Throws: not_found, when it is not on it.
    void leave(Sandbox& sandbox, std::string_view network,
               const std::vector<PortMapping>& ports = {});
    /// The container has another name from now on, and so have its endpoints. `dns_names` are
    /// their names for others, by network id.
    void rename(Sandbox& sandbox, const std::string& container_name,
                const std::map<std::string, std::vector<std::string>>& dns_names);
    /// The container is gone: ports are free and addresses released on return; the kernel takes
    /// the interfaces with the namespace. Never throws.
    void close(std::unique_ptr<Sandbox> sandbox) noexcept;

    /// Of two containers on the default bridge the parent may reach these ports ("80/tcp") of the child, also
    /// with --icc=false, until one of them leaves it. Throws: internal, when nf_tables refuses.
    void link(const IpAddress& parent, const IpAddress& child,
              const std::vector<std::string>& ports);
    void unlink(const IpAddress& parent, const IpAddress& child) noexcept;

    /// Takes a live container's sandbox over from an earlier daemon: addresses, ports, proxies.
    /// `saved` is what Sandbox::save gave. Nothing on its path is interrupted; names are resolved
    /// again. `networks` are the names of those the container is on: what `saved` has beyond them is
    /// left over from a connect or disconnect that a death cut off, and is taken away.
    /// Throws: internal, when the namespace is gone.
    std::unique_ptr<Sandbox> restore(std::string_view saved, const std::string& container_id,
                                     const std::string& container_name,
                                     const std::vector<std::string>& networks);
    /// When all are restored, so that no port is taken that is another's: a container from which
    /// restore() took an endpoint away gets its way to the outside and its ports by those it has.
    /// What was taken away; when there is nothing, all is as it was.
    std::vector<EndpointInfo> settle(Sandbox& sandbox, const std::vector<PortMapping>& ports);
    /// After the last restore: removes namespace mounts and host interfaces of dead containers.
    void clean_stale();

    /// What "host-gateway" in --add-host stands for: --host-gateway-ip, or the default bridge's
    /// address.
    [[nodiscard]] std::vector<IpAddress> host_gateways() const;

private:
    std::unique_ptr<class NetworksImpl> impl_;
};

}  // namespace dockerd::net

#pragma once

#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/net/address.hpp>
#include <dockerd/net/etc_files.hpp>
#include <dockerd/net/ports.hpp>
#include <dockerd/net/sandbox.hpp>
#include <dockerd/runtime/plan.hpp>
#include <dockerd/store/container_files.hpp>

#include "device_requests.hpp"

/// From a container's record to what the runtime and the network are asked for.
namespace dockerd::engine {

/// Namespaces of other containers to join; empty ones are the container's own or the host's.
struct JoinedNamespaces {
    base::Fd network;
    base::Fd ipc;
    std::string shm_path;  ///< /dev/shm of the container whose IPC namespace is shared
    base::Fd pid;
};

/// What a start has opened so far.
struct PlanSources {
    std::string rootfs_path;  ///< where the root file system is mounted on the host
    base::Fd rootfs_tree;     ///< detached clone of it
    std::string state_directory;
    InjectedDevices devices;
    JoinedNamespaces join;
    runtime::LogTarget log;
};

/// Ports to publish: PortBindings, and with PublishAllPorts every exposed one.
std::vector<net::PortMapping> wanted_ports(const store::ContainerRecord& record);
/// Keys of ExposedPorts, "80/tcp".
std::vector<std::string> exposed_ports(const model::ContainerConfig& config);

/// /etc/hosts of a container with its own network, and of one on the host's.
std::string container_hosts_text(const store::ContainerRecord& record,
                                 const std::vector<net::IpAddress>& gateways,
                                 const std::vector<std::pair<std::string, net::IpAddress>>& links);
std::string host_hosts_text(const store::ContainerRecord& record,
                            const std::vector<net::IpAddress>& gateways);

/// A file of the host, which is small; nullopt when it cannot be read.
std::optional<std::string> read_host_file(const std::string& path);

/// How the container resolves names: by its own server on users' networks.
net::ResolverKind resolver_kind(const store::ContainerRecord& record);
/// The container's /etc/resolv.conf; its own --dns flags win over `daemon`'s.
net::ResolvConf container_resolv_conf(const store::ContainerRecord& record,
                                      const net::DnsOverrides& daemon, net::ResolverKind kind);
/// The same flags for the resolver of users' networks.
net::DnsSettings dns_settings(const store::ContainerRecord& record,
                              const net::DnsOverrides& daemon);
/// Whether the container's sysctls leave it without IPv6.
bool switches_ipv6_off(const store::ContainerRecord& record);
/// What --link says on a user's network.
/// Throws: internal, "bad format for links: x".
net::NetworkLinks network_links(const store::EndpointRecord& endpoint);

/// Under which names other containers of a network find this one.
model::Strings dns_names(const store::ContainerRecord& record,
                         const store::EndpointRecord& endpoint);

/// Takes back what only holds while the container runs.
void clear_operational(store::EndpointRecord& endpoint);

}  // namespace dockerd::engine

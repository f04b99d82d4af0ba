#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/model/network.hpp>
#include <dockerd/net/address.hpp>
#include <dockerd/net/ports.hpp>

namespace dockerd::net {

/// How names are resolved that are not a container's.
struct DnsSettings {
    /// --dns of the container or the daemon: asked from the container's namespace. None: the
    /// host's, asked from there.
    std::optional<std::vector<IpAddress>> servers;
    /// The host or the user set ndots: a name of one label is not asked of others.
    bool ndots_set = false;
};

/// Links on one network: what only this container calls another one, and that one's name.
using NetworkLinks = std::map<std::string, std::string, std::less<>>;

/// What a container asks of one network.
struct JoinRequest {
    std::string network;  ///< name, id or unambiguous start of an id
    std::string container_id;
    std::string container_name;  ///< without slash; the endpoint's name in messages
    /// Addresses wanted, MAC, driver options, gateway priority, names.
    model::EndpointSettings settings;
    NetworkLinks links;
    DnsSettings dns;  ///< counts with the first network that has names
    /// The container's settings, which count once it runs, switch IPv6 off.
    bool ipv6_disabled = false;
    /// Published when this endpoint is the container's way to the outside.
    std::vector<PortMapping> ports;
    std::vector<std::string> exposed_ports;  ///< "80/tcp": for drivers that want to know
    /// Told what Sandbox::save() will say of the endpoint, ports aside, before anything of it is in the
    /// kernel: to be kept, so that a death cannot leave a link behind that nobody knows. May throw.
    std::function<void(const std::string& saved)> before_plug;
};

/// An endpoint as it came out.
struct EndpointInfo {
    std::string endpoint_id;
    std::string network_id;
    std::string network_name;
    std::string driver;
    IpPrefix ipv4;  ///< none on host and none networks
    IpPrefix ipv6;
    IpAddress gateway;  ///< none on internal networks
    IpAddress ipv6_gateway;
    MacAddress mac;
    bool leads_by_link = false;  ///< without a gateway everything leaves by the link itself
    std::string interface;       ///< "eth0"; "" without one
    std::string host_interface;  ///< "veth1a2b3c4"
    std::string source_interface;  ///< what a driver calls the link it gave; "" without one
    bool opened_outside = false;   ///< a driver has been told that it leads outside
    std::vector<PublishedPort> ports;
    std::vector<std::string> dns_names;  ///< by which others on the network find it
    NetworkLinks links;

    /// The fields of the API's EndpointSettings that the network decides, put into `settings`.
    void fill(model::EndpointSettings& settings) const;
};

struct SandboxState;

/// A container's network namespace with its endpoints. Made, joined and closed by Networks.
///
/// Thread: one call at a time for each sandbox; different sandboxes in parallel.
class Sandbox {
public:
    ~Sandbox();
    Sandbox(const Sandbox&) = delete;
    Sandbox& operator=(const Sandbox&) = delete;

    /// 64 hex digits: NetworkSettings.SandboxID.
    [[nodiscard]] const std::string& id() const;
    /// Where the namespace is mounted: NetworkSettings.SandboxKey, "<exec-root>/netns/<12 hex>";
    /// "<exec-root>/netns/default" for the host's.
    [[nodiscard]] const std::string& key() const;
    /// The namespace: give it to the launcher. The daemon's own for the host network.
    [[nodiscard]] const base::Fd& netns() const;
    [[nodiscard]] bool is_host() const;
    [[nodiscard]] const std::vector<EndpointInfo>& endpoints() const;
    /// Everything Networks::restore needs, as one line of JSON: keep it with the container's state
    /// and replace it after each join and leave.
    [[nodiscard]] std::string save() const;

private:
    friend class Networks;
    friend class NetworksImpl;
    explicit Sandbox(std::unique_ptr<SandboxState> state);
    std::unique_ptr<SandboxState> state_;
};

}  // namespace dockerd::net

#include "plan_input.hpp"

#include <algorithm>
#include <set>

#include <dockerd/base/error.hpp>
#include <dockerd/net/network.hpp>

#include "link_index.hpp"

namespace dockerd::engine {

std::vector<std::string> exposed_ports(const model::ContainerConfig& config) {
    std::set<std::string> out;
    for (const auto& [port, unused] : config.exposed_ports) {
        out.insert(port.find('/') == std::string::npos ? port + "/tcp" : port);
    }
    return {out.begin(), out.end()};
}

std::vector<net::PortMapping> wanted_ports(const store::ContainerRecord& record) {
    return net::container_ports(record.host_config.port_bindings, record.config.exposed_ports,
                                record.host_config.publish_all_ports);
}

std::string container_hosts_text(const store::ContainerRecord& record,
                                 const std::vector<net::IpAddress>& gateways,
                                 const std::vector<std::pair<std::string, net::IpAddress>>& links) {
    net::HostsFile file;
    file.hostname = record.config.hostname;
    file.domainname = record.config.domainname;
    file.ipv6 = !switches_ipv6_off(record);
    for (const auto& [name, endpoint] : record.network.networks) {
        if (const auto address = net::IpAddress::parse(endpoint.settings.ip_address)) {
            file.addresses.push_back(*address);
        }
        if (const auto address = net::IpAddress::parse(endpoint.settings.global_ipv6_address)) {
            file.addresses.push_back(*address);
        }
    }
    file.extra_hosts = net::parse_extra_hosts(record.host_config.extra_hosts, gateways);
    file.extra_hosts.insert(file.extra_hosts.end(), links.begin(), links.end());
    return net::hosts_text(file);
}

// Source: moby libnetwork/sandbox_dns_unix.go, buildHostsFile: the host's own file, unless names are
// given, which must not be hidden by it.
std::string host_hosts_text(const store::ContainerRecord& record,
                            const std::vector<net::IpAddress>& gateways) {
    if (!record.host_config.extra_hosts.empty()) return container_hosts_text(record, gateways, {});
    return read_host_file("/etc/hosts").value_or("");
}

// Source: moby daemon/network.go, buildJoinOptions.
net::NetworkLinks network_links(const store::EndpointRecord& endpoint) {
    net::NetworkLinks out;
    for (const std::string& text : endpoint.settings.links) {
        const auto [name, alias] = parse_link(text);
        out[alias] = name;
    }
    return out;
}

// Source: moby daemon/container_operations.go, buildEndpointDNSNames.
model::Strings dns_names(const store::ContainerRecord& record,
                         const store::EndpointRecord& endpoint) {
    model::Strings names;
    names.given = true;
    const auto add = [&](const std::string& name) {
        if (name.empty() || std::ranges::find(names, name) != names.end()) return;
        names.push_back(name);
    };
    add(record.name.substr(1));
    for (const auto& alias : endpoint.settings.aliases) add(alias);
    add(record.id.substr(0, 12));
    add(record.config.hostname);
    return names;
}

// Source: moby daemon/network.go, cleanOperationalData.
void clear_operational(store::EndpointRecord& endpoint) {
    auto& settings = endpoint.settings;
    settings.endpoint_id.clear();
    settings.gateway.clear();
    settings.ip_address.clear();
    settings.ip_prefix_len = 0;
    settings.ipv6_gateway.clear();
    settings.global_ipv6_address.clear();
    settings.global_ipv6_prefix_len = 0;
    settings.mac_address.clear();
}

}  // namespace dockerd::engine

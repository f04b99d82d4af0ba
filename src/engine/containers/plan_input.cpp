#include "plan_input.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include <dockerd/base/error.hpp>

namespace dockerd::engine {
namespace {

/// A file of the host, or nothing when it cannot be read. Bounded: it is a small text file.
std::string read_host_file(const std::string& path) {
    const base::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    std::string out;
    std::array<char, 4096> buffer{};
    constexpr std::size_t limit = 1U << 20U;
    while (file && out.size() < limit) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got <= 0) break;
        out.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return out;
}

}  // namespace

std::vector<std::string> exposed_ports(const store::ContainerRecord& record) {
    std::set<std::string> out;
    for (const auto& [port, unused] : record.config.exposed_ports) {
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

// Source: moby libnetwork/sandbox_dns_unix.go, buildHostsFile: the host's own file is the base.
std::string host_hosts_text(const store::ContainerRecord& record,
                            const std::vector<net::IpAddress>& gateways) {
    std::string text = read_host_file("/etc/hosts");
    if (!text.empty() && text.back() != '\n') text += '\n';
    for (const auto& [name, address] :
         net::parse_extra_hosts(record.host_config.extra_hosts, gateways)) {
        text += net::hosts_line(address, name);
    }
    return text;
}

std::string container_resolv_conf(const store::ContainerRecord& record,
                                  const net::DnsOverrides& daemon) {
    const auto& host = record.host_config;
    net::DnsOverrides overrides = daemon;
    if (!host.dns.empty()) overrides.servers = host.dns;
    if (!host.dns_search.empty()) overrides.search = host.dns_search;
    if (!host.dns_options.empty()) overrides.options = host.dns_options;
    const bool on_host = host.network_mode == "host";
    const std::string path = net::host_resolv_conf_path();
    return net::resolv_conf(read_host_file(path), path, overrides,
                            on_host ? net::ResolverKind::host : net::ResolverKind::legacy,
                            /*ipv6=*/true)
        .text;
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

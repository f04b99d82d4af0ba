#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// What a container's /etc/hosts is made of.
struct HostsFile {
    std::string hostname;
    std::string domainname;
    std::vector<IpAddress> addresses;  ///< the container's own
    /// --add-host after "host-gateway" was replaced: name, address. Links come here too.
    std::vector<std::pair<std::string, IpAddress>> extra_hosts;
    bool ipv6 = true;  ///< false leaves the IPv6 lines out
};

/// The text of /etc/hosts. Names end where their first line does.
/// Source: moby libnetwork/etchosts, Build and BuildNoIPv6; sandbox_dns_unix.go, makeHostsRecs.
std::string hosts_text(const HostsFile& file);

/// `text` with a line for each address of `own`, and without just these lines: what else stands
/// there is its users'.
/// Source: moby libnetwork/etchosts, Add and Delete.
std::string add_hosts(std::string_view text, const HostsFile& own);
std::string remove_hosts(std::string_view text, const HostsFile& own);

/// One line of it.
std::string hosts_line(const IpAddress& address, std::string_view names);

/// "name:address" and "name:host-gateway" (also "name=address") of --add-host as hosts lines.
///
/// Throws: invalid_argument, `invalid IP address in add-host: "x"`, or
///         `unable to derive the IP value for host-gateway` without `gateways`.
/// Source: moby daemon/container_operations.go, buildSandboxOptions.
std::vector<std::pair<std::string, IpAddress>> parse_extra_hosts(
    const std::vector<std::string>& extra_hosts, const std::vector<IpAddress>& gateways);

/// The text of /etc/hostname: the name, up to its first line end, and a line end.
std::string hostname_text(std::string_view hostname);

/// --dns, --dns-search and --dns-option, container's or daemon's; an empty list is no override.
struct DnsOverrides {
    std::vector<std::string> servers;
    std::vector<std::string> search;
    std::vector<std::string> options;
};

/// Which network a resolv.conf is for.
enum class ResolverKind {
    host,      ///< the host's file with overrides only
    legacy,    ///< default bridge: no loopback servers, public ones when none is left
    internal,  ///< user networks: the embedded server at 127.0.0.11
};

/// A resolv.conf and what it hides.
struct ResolvConf {
    std::string text;
    /// ExtServers of ResolverKind::internal: address, and whether it is asked from the host.
    std::vector<std::pair<IpAddress, bool>> external_servers;
    bool ndots_set = false;  ///< by the host's file or an override
};

/// The container's resolv.conf, from the text of the host's, which lies at `source_path`.
///
/// Throws: internal, `bad nameserver address x: ...`.
/// Source: moby libnetwork/internal/resolvconf and sandbox_dns_unix.go, v28.2.2.
ResolvConf resolv_conf(std::string_view host_text, std::string_view source_path,
                       const DnsOverrides& overrides, ResolverKind kind, bool ipv6);

/// The host's file a container's is made from: /etc/resolv.conf. For ResolverKind::legacy, when that
/// one names only the stub 127.0.0.53, which is out of reach, systemd-resolved's own.
/// DOCKER_TEST_RESOLV_CONF_PATH in the environment names another, as moby's tests expect.
/// Source: moby libnetwork/internal/resolvconf/resolvconf_path.go; daemon
///         container_operations_unix.go, buildSandboxPlatformOptions.
std::string host_resolv_conf_path(ResolverKind kind);

}  // namespace dockerd::net

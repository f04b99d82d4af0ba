#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/net/network.hpp>
#include <dockerd/sys/small_file.hpp>

#include "containers.hpp"
#include "plan_input.hpp"

/// A container's /etc/resolv.conf, and what its resolver is told of the same flags.
namespace dockerd::engine {
namespace {

constexpr const char* file_name = "resolv.conf";
/// The digest of the last text that may be replaced. Source: moby libnetwork/sandbox_dns_unix.go.
constexpr const char* hash_name = "resolv.conf.hash";

std::optional<std::string> read_in(const base::Fd& folder, const char* name) {
    const base::Fd file{
        ::openat(folder.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    return sys::read_small(file.get());
}

/// Source: moby libnetwork/internal/resolvconf, UserModified.
bool is_changed_by_user(const base::Fd& folder) {
    const auto hash = read_in(folder, hash_name);
    if (!hash) return false;
    const auto text = read_in(folder, file_name);
    return !text || archive::sha256_digest(*text) != *hash;
}

/// --dns, --dns-search and --dns-option of the container, each in the daemon's place.
net::DnsOverrides dns_overrides(const store::ContainerRecord& record,
                                const net::DnsOverrides& daemon) {
    const auto& host = record.host_config;
    net::DnsOverrides out = daemon;
    if (!host.dns.empty()) out.servers = host.dns;
    if (!host.dns_search.empty()) out.search = host.dns_search;
    if (!host.dns_options.empty()) out.options = host.dns_options;
    return out;
}

}  // namespace

std::optional<std::string> read_host_file(const std::string& path) {
    const base::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    return sys::read_small(file.get());
}

net::ResolverKind resolver_kind(const store::ContainerRecord& record) {
    if (record.host_config.network_mode == "host") return net::ResolverKind::host;
    const bool has_names = std::ranges::any_of(record.network.networks, [](const auto& network) {
        return !net::is_predefined_network(network.first);
    });
    return has_names ? net::ResolverKind::internal : net::ResolverKind::legacy;
}

net::ResolvConf container_resolv_conf(const store::ContainerRecord& record,
                                      const net::DnsOverrides& daemon, net::ResolverKind kind) {
    // The mode it was made with decides which file of the host, the networks it is on what of it.
    const std::string& mode = record.host_config.network_mode;
    const bool direct = mode == "host" || !net::is_predefined_network(mode);
    const std::string path = net::host_resolv_conf_path(direct ? net::ResolverKind::internal
                                                               : net::ResolverKind::legacy);
    const auto text = read_host_file(path);
    // What a container without IPv6 cannot reach is of no use to it.
    const bool ipv6 = std::ranges::any_of(record.network.networks, [](const auto& network) {
        return !network.second.settings.global_ipv6_address.empty();
    });
    return net::resolv_conf(text.value_or(""), text ? path : "", dns_overrides(record, daemon),
                            kind, ipv6);
}

net::DnsSettings dns_settings(const store::ContainerRecord& record,
                              const net::DnsOverrides& daemon) {
    const net::ResolvConf conf =
        container_resolv_conf(record, daemon, net::ResolverKind::internal);
    net::DnsSettings out;
    out.ndots_set = conf.ndots_set;
    if (!dns_overrides(record, daemon).servers.empty()) {
        out.servers.emplace();
        for (const auto& [address, from_host] : conf.external_servers) {
            out.servers->push_back(address);
        }
    }
    return out;
}

/// The plan writes sysctls in the order of their names: "all" before "lo".
bool switches_ipv6_off(const store::ContainerRecord& record) {
    bool off = false;
    for (const char* interface : {"all", "lo"}) {
        for (const char separator : {'.', '/'}) {
            std::string name = fmt::format("net.ipv6.conf.{}.disable_ipv6", interface);
            std::ranges::replace(name, '.', separator);
            const auto found = record.host_config.sysctls.find(name);
            if (found != record.host_config.sysctls.end()) off = base::trim(found->second) != "0";
        }
    }
    return off;
}

/// Writes the file at a start (`anew`), and in a running container when it comes to a users'
/// network, unless somebody has changed it.
// Source: moby libnetwork/sandbox_dns_unix.go, setupDNS, updateDNS, rebuildDNS.
void Containers::write_resolv_conf(const store::ContainerRecord& record, const base::Fd& folder,
                                   store::Batch& batch, bool anew) const {
    const net::ResolverKind kind = resolver_kind(record);
    if (!anew && is_changed_by_user(folder)) return;
    const std::string text = container_resolv_conf(record, options_.dns, kind).text;
    batch.write_new(folder.get(), file_name, text, 0644);
    // A file with the own server counts as changed: it is not written again.
    if (kind == net::ResolverKind::internal && !anew) return;
    const std::string& hashed =
        kind == net::ResolverKind::internal
            ? container_resolv_conf(record, options_.dns, net::ResolverKind::legacy).text
            : text;
    batch.write_new(folder.get(), hash_name, archive::sha256_digest(hashed), 0644);
}

}  // namespace dockerd::engine

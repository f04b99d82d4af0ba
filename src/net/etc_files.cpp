#include <dockerd/net/etc_files.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::net {

namespace {

constexpr const char* default_path = "/etc/resolv.conf";
/// Where systemd-resolved names the servers behind its stub.
constexpr const char* resolved_path = "/run/systemd/resolve/resolv.conf";

/// A resolv.conf taken apart.
struct Resolver {
    std::vector<IpAddress> servers;
    std::vector<std::string> search;
    std::vector<std::string> options;
    std::vector<std::string> other;
    std::vector<std::string> invalid_servers;
    std::string ndots_from;
};

std::vector<std::string> fields_of(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> out;
    for (std::string word; stream >> word;) out.push_back(word);
    return out;
}

/// What of a name can stand in these files: all up to a line's end, so that nothing in a request
/// becomes a line of its own.
std::string_view first_line(std::string_view text) {
    return text.substr(0, text.find_first_of(std::string_view("\n\r\0", 3)));
}

/// Whether an option of that name ("ndots" of "ndots:2") is there.
bool has_option(const std::vector<std::string>& options, std::string_view name) {
    return std::ranges::any_of(options, [&](std::string_view option) {
        return option.substr(0, option.find(':')) == name;
    });
}

void read_line(Resolver& out, const std::string& line) {
    const std::vector<std::string> fields = fields_of(line);
    if (fields.empty() || fields[0][0] == '#' || fields[0][0] == ';') return;
    const std::string& keyword = fields[0];
    const bool known = keyword == "nameserver" || keyword == "domain" || keyword == "search" ||
                       keyword == "options";
    if (!known) {
        out.other.push_back(line);
        return;
    }
    if (fields.size() < 2) return;
    if (keyword == "nameserver") {
        if (const auto address = IpAddress::parse(fields[1])) {
            out.servers.push_back(*address);
        } else {
            out.invalid_servers.push_back(fields[1]);
        }
    } else if (keyword == "options") {
        out.options.insert(out.options.end(), fields.begin() + 1, fields.end());
    } else {
        // Only the last directive counts; "domain" is an old name for it.
        out.search.assign(fields.begin() + 1, fields.end());
    }
}

Resolver parse(std::string_view text) {
    Resolver out;
    for (const std::string& line : base::split(text, '\n')) read_line(out, line);
    if (has_option(out.options, "ndots")) out.ndots_from = "host";
    return out;
}

void override_with(Resolver& resolver, const DnsOverrides& overrides) {
    if (!overrides.servers.empty()) {
        resolver.servers.clear();
        for (const std::string& text : overrides.servers) {
            const auto address = IpAddress::parse(text);
            if (!address) {
                base::fail(base::ErrorKind::internal,
                           fmt::format("bad nameserver address {}: ParseAddr({}): unable to parse "
                                       "IP",
                                       text, base::quote(text)));
            }
            resolver.servers.push_back(*address);
        }
    }
    if (!overrides.search.empty()) {
        resolver.search.clear();
        for (const std::string& domain : overrides.search) {
            // "." alone asks for no search domain at all.
            if (domain != ".") resolver.search.emplace_back(first_line(domain));
        }
    }
    if (!overrides.options.empty()) {
        resolver.options.clear();
        for (const std::string& option : overrides.options) {
            resolver.options.emplace_back(first_line(option));
        }
        resolver.ndots_from = has_option(resolver.options, "ndots") ? "override" : "";
    }
}

/// For networks without our own resolver: the host's loopback servers are out of reach.
/// Source: TransformForLegacyNw.
void transform_legacy(Resolver& resolver, bool overridden, bool ipv6,
                      std::vector<std::string>& warnings) {
    if (overridden) return;
    std::erase_if(resolver.servers, [&](const IpAddress& server) {
        return server.is_loopback() || (server.is_v6() && !ipv6);
    });
    if (!resolver.servers.empty()) return;
    std::vector<const char*> fallback{"8.8.8.8", "8.8.4.4"};
    if (ipv6) fallback.insert(fallback.end(), {"2001:4860:4860::8888", "2001:4860:4860::8844"});
    for (const char* server : fallback) resolver.servers.push_back(*IpAddress::parse(server));
    warnings.emplace_back("Used default nameservers.");
}

/// For networks whose names the daemon resolves. Source: TransformForIntNS.
void transform_internal(Resolver& resolver, bool overridden,
                        std::vector<std::pair<IpAddress, bool>>& external,
                        std::vector<std::string>& warnings) {
    for (const IpAddress& server : resolver.servers) external.emplace_back(server, !overridden);
    resolver.servers = {*IpAddress::parse("127.0.0.11")};
    std::erase_if(resolver.options, [](const std::string& option) {
        if (!option.starts_with("ndots")) return false;
        const auto colon = option.find(':');
        if (option.substr(0, colon) != "ndots") return false;
        const auto number = colon == std::string::npos
                                ? std::nullopt
                                : base::parse_int(std::string_view(option).substr(colon + 1));
        return !number || *number < 0;
    });
    if (!has_option(resolver.options, "ndots")) {
        resolver.options.emplace_back("ndots:0");
        resolver.ndots_from = "internal";
    }
    if (external.empty()) warnings.emplace_back("NO EXTERNAL NAMESERVERS DEFINED");
}

/// Go's %v of a string list.
std::string bracketed(const std::vector<std::string>& items) {
    return "[" + base::join(items, " ") + "]";
}

std::vector<std::string> overridden_parts(const DnsOverrides& overrides) {
    std::vector<std::string> out;
    if (!overrides.servers.empty()) out.emplace_back("nameservers");
    if (!overrides.search.empty()) out.emplace_back("search");
    if (!overrides.options.empty()) out.emplace_back("options");
    return out;
}

/// The lines of a container's own addresses.
std::vector<std::string> own_lines(const HostsFile& file) {
    std::string names(first_line(file.hostname));
    if (!file.domainname.empty()) names += "." + file.domainname;
    if (const auto dot = names.find('.'); dot != std::string::npos) {
        names += " " + names.substr(0, dot);
    }
    std::vector<std::string> out;
    for (const IpAddress& address : file.addresses) {
        if (!address.is_v6() || file.ipv6) out.push_back(hosts_line(address, names));
    }
    return out;
}

}  // namespace

std::string hosts_text(const HostsFile& file) {
    std::string out = "127.0.0.1\tlocalhost\n";
    if (file.ipv6) {
        out +=
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::\tip6-localnet\n"
            "ff00::\tip6-mcastprefix\n"
            "ff02::1\tip6-allnodes\n"
            "ff02::2\tip6-allrouters\n";
    }
    for (const auto& [name, address] : file.extra_hosts) {
        if (address.is_v6() && !file.ipv6) continue;
        out += hosts_line(address, name);
    }
    return add_hosts(out, file);
}

std::string add_hosts(std::string_view text, const HostsFile& own) {
    std::string out(text);
    if (!out.empty() && out.back() != '\n') out += '\n';
    for (const std::string& line : own_lines(own)) out += line;
    return out;
}

std::string remove_hosts(std::string_view text, const HostsFile& own) {
    const auto lines = own_lines(own);
    std::string out;
    while (!text.empty()) {
        const auto end = text.find('\n');
        const std::string line(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (std::ranges::find(lines, line + "\n") == lines.end()) out += line + "\n";
    }
    return out;
}

std::string hosts_line(const IpAddress& address, std::string_view names) {
    return fmt::format("{}\t{}\n", address.str(), first_line(names));
}

std::vector<std::pair<std::string, IpAddress>> parse_extra_hosts(
    const std::vector<std::string>& extra_hosts, const std::vector<IpAddress>& gateways) {
    std::vector<std::pair<std::string, IpAddress>> out;
    for (const std::string& entry : extra_hosts) {
        const auto colon = entry.find(':');
        // Source: moby opts/hosts.go, ValidateExtraHost.
        if (colon == std::string::npos || colon == 0) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("bad format for add-host: {}", base::quote(entry)));
        }
        const std::string name = entry.substr(0, colon);
        const std::string value = entry.substr(colon + 1);
        if (value == "host-gateway") {
            if (gateways.empty()) {
                base::fail(base::ErrorKind::internal,
                           "unable to derive the IP value for host-gateway");
            }
            for (const IpAddress& gateway : gateways) out.emplace_back(name, gateway);
            continue;
        }
        const auto address = IpAddress::parse(value);
        if (!address) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("invalid IP address in add-host: {}", base::quote(value)));
        }
        out.emplace_back(name, *address);
    }
    return out;
}

std::string hostname_text(std::string_view hostname) {
    return std::string(first_line(hostname)) + "\n";
}

ResolvConf resolv_conf(std::string_view host_text, std::string_view source_path,
                       const DnsOverrides& overrides, ResolverKind kind, bool ipv6) {
    Resolver resolver = parse(host_text);
    override_with(resolver, overrides);
    ResolvConf out;
    out.ndots_set = has_option(resolver.options, "ndots");
    std::vector<std::string> warnings;
    std::string transform;
    switch (kind) {
        case ResolverKind::host:
            break;
        case ResolverKind::legacy:
            transform = " (legacy)";
            transform_legacy(resolver, !overrides.servers.empty(), ipv6, warnings);
            break;
        case ResolverKind::internal:
            transform = " (internal resolver)";
            transform_internal(resolver, !overrides.servers.empty(), out.external_servers,
                               warnings);
            break;
    }
    std::string& text = out.text;
    text =
        "# Generated by Docker Engine.\n"
        "# This file can be edited; Docker Engine will not make further changes once it\n"
        "# has been modified.\n\n";
    for (const IpAddress& server : resolver.servers) {
        text += fmt::format("nameserver {}\n", server.str());
    }
    if (!resolver.search.empty()) text += "search " + base::join(resolver.search, " ") + "\n";
    if (!resolver.options.empty()) text += "options " + base::join(resolver.options, " ") + "\n";
    if (!resolver.other.empty()) text += base::join(resolver.other, "\n") + "\n";
    text += fmt::format("\n# Based on host file: '{}'{}\n", source_path, transform);
    for (const std::string& warning : warnings) text += "# " + warning + "\n";
    if (!out.external_servers.empty()) {
        std::vector<std::string> names;
        for (const auto& [address, from_host] : out.external_servers) {
            names.push_back(from_host ? fmt::format("host({})", address.str()) : address.str());
        }
        text += "# ExtServers: " + bracketed(names) + "\n";
    }
    if (!resolver.invalid_servers.empty()) {
        text += "# Invalid nameservers: " + bracketed(resolver.invalid_servers) + "\n";
    }
    text += "# Overrides: " + bracketed(overridden_parts(overrides)) + "\n";
    if (!resolver.ndots_from.empty()) {
        text += "# Option ndots from: " + resolver.ndots_from + "\n";
    }
    return out;
}

std::string host_resolv_conf_path(ResolverKind kind) {
    if (const char* other = std::getenv("DOCKER_TEST_RESOLV_CONF_PATH"); other != nullptr) {
        return other;
    }
    if (kind != ResolverKind::legacy) return default_path;
    std::ifstream file(default_path);
    std::stringstream text;
    text << file.rdbuf();
    const Resolver resolver = parse(text.str());
    const bool stub =
        resolver.servers.size() == 1 && resolver.servers[0] == *IpAddress::parse("127.0.0.53");
    return stub ? resolved_path : default_path;
}

}  // namespace dockerd::net

#include "validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <initializer_list>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/logging/drivers.hpp>
#include <dockerd/net/address.hpp>
#include <dockerd/net/ports.hpp>
#include <dockerd/runtime/capabilities.hpp>

#include "mount_parser.hpp"
#include "signals.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;

[[noreturn]] void invalid(const std::string& text) {
    base::fail(ErrorKind::invalid_argument, text);
}

// Source: moby api/types/container/config.go, MinimumDuration.
constexpr std::int64_t minimum_health_duration = 1'000'000;

void validate_healthcheck(const model::HealthConfig& health) {
    const auto check = [](const char* name, std::int64_t value) {
        if (value != 0 && value < minimum_health_duration) {
            invalid(fmt::format("{} in Healthcheck cannot be less than 1ms", name));
        }
    };
    check("Interval", health.interval);
    check("Timeout", health.timeout);
    if (health.retries < 0) invalid("Retries in Healthcheck cannot be negative");
    check("StartPeriod", health.start_period);
    check("StartInterval", health.start_interval);
}

// Source: moby daemon/container.go, validatePortBindings; go-connections nat.
void validate_ports(const model::PortMap& ports) {
    for (const auto& [port, bindings] : ports) {
        const std::string number = port.substr(0, port.find('/'));
        const auto parsed = base::parse_int(number);
        if (!parsed || *parsed < 0 || *parsed > 65535) {
            invalid("invalid port specification: " + base::quote(number));
        }
        for (const auto& binding : bindings) {
            std::int64_t lowest = 0;
            for (const auto& part : base::split(binding.host_port, '-')) {
                if (part.empty() && binding.host_port.empty()) continue;
                const auto host = base::parse_int(part.substr(0, part.find('/')));
                if (!host || *host < lowest || *host > 65535) {
                    invalid("invalid port specification: " + base::quote(binding.host_port));
                }
                lowest = *host;
            }
        }
    }
}

// Source: moby opts/hosts.go, ValidateExtraHost.
void validate_extra_host(const std::string& text) {
    const auto colon = text.find(':');
    if (colon == std::string::npos || colon == 0) {
        invalid("bad format for add-host: " + base::quote(text));
    }
    std::string address = text.substr(colon + 1);
    if (address == "host-gateway") return;
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
        address = address.substr(1, address.size() - 2);
    }
    if (!net::IpAddress::parse(address)) {
        invalid("invalid IP address in add-host: " + base::quote(text.substr(colon + 1)));
    }
}

// Source: moby internal/multierror, Join.
std::string join_problems(const std::vector<std::string>& problems) {
    if (problems.size() == 1) return problems.front();
    std::string text;
    for (const std::string& problem : problems) {
        text += text.empty() ? "* " : "\n* ";
        for (const char c : problem) text += c == '\n' ? std::string("\n\t") : std::string(1, c);
    }
    return text;
}

// Source: moby api/types/network/endpoint.go, Validate.
void check_addresses(const model::EndpointIpamConfig& config, std::vector<std::string>& problems) {
    const auto is_address = [](const std::string& text, std::optional<bool> v4) {
        const auto address = net::IpAddress::parse(text);
        if (!address || text == "0.0.0.0" || text == "::") return false;
        return !v4 || address->is_v4() == *v4;
    };
    if (!config.ipv4_address.empty() && !is_address(config.ipv4_address, true)) {
        problems.push_back("invalid IPv4 address: " + config.ipv4_address);
    }
    if (!config.ipv6_address.empty() && !is_address(config.ipv6_address, false)) {
        problems.push_back("invalid IPv6 address: " + config.ipv6_address);
    }
    for (const auto& link_local : config.link_local_ips) {
        if (!is_address(link_local, std::nullopt)) {
            problems.push_back("invalid link-local IP address: " + link_local);
        }
    }
}

// Source: moby api/types/network/endpoint.go, validateEndpointIPAddress.
void check_in_range(const std::string& text, bool v4, const net::NetworkRecord& network,
                    std::vector<std::string>& problems) {
    if (text.empty()) return;
    const auto address = net::IpAddress::parse(text);
    bool has_static = false;
    for (const auto& prefix : network.static_subnets) {
        const auto subnet = net::IpPrefix::parse(prefix);
        if (!subnet || subnet->address.is_v4() != v4) continue;
        has_static = true;
        if (address && subnet->contains(*address)) return;
    }
    problems.push_back(has_static
                           ? "no configured subnet or ip-range contain the IP address " + text
                           : "user specified IP address is supported only when connecting to "
                             "networks with user configured subnets");
}

/// Settings of the interface in the container, and of nothing else.
// Source: moby daemon/container_operations.go, validateEndpointSettings.
void check_sysctls(const model::EndpointSettings& settings, std::vector<std::string>& problems) {
    const auto found = settings.driver_opts.find("com.docker.network.endpoint.sysctls");
    if (found == settings.driver_opts.end()) return;
    for (const std::string& sysctl : base::split(found->second, ',')) {
        const std::vector<std::string> parts = base::split(sysctl, '.');
        const auto is = [&](std::size_t part, std::initializer_list<std::string_view> words) {
            return std::ranges::find(words, parts[part]) != words.end();
        };
        // Docker's command line makes small letters of it.
        if (parts.size() >= 5 && is(1, {"ipv4", "ipv6", "mpls"}) && is(3, {"IFNAME", "ifname"})) {
            continue;
        }
        problems.push_back(fmt::format(
            "unrecognised network interface sysctl '{}'; represent 'net.X.Y.ethN.Z=V' as "
            "'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'",
            sysctl));
    }
}

/// What is wrong with the settings for one network, empty when nothing is.
/// Source: moby daemon/container_operations.go, validateEndpointSettings.
std::string endpoint_problem(const std::string& name, const model::EndpointSettings& settings,
                             const net::Networks& networks) {
    std::vector<std::string> problems;
    const auto config = settings.ipam_config.value_or(model::EndpointIpamConfig{});
    if (name == "default" || name == "bridge" || name == "host" || name == "none") {
        if (!config.ipv4_address.empty() || !config.ipv6_address.empty()) {
            problems.emplace_back(
                "user specified IP address is supported on user defined networks only");
        }
        if (!settings.aliases.empty()) {
            problems.emplace_back(
                "network-scoped alias is supported only for containers in user defined networks");
        }
    }
    check_addresses(config, problems);
    if (const auto network = networks.find(name)) {
        check_in_range(config.ipv4_address, true, *network, problems);
        check_in_range(config.ipv6_address, false, *network, problems);
    }
    if (!settings.mac_address.empty() && !net::MacAddress::parse(settings.mac_address)) {
        return "invalid MAC address " + settings.mac_address;
    }
    check_sysctls(settings, problems);
    if (problems.empty()) return {};
    return "invalid endpoint settings:\n" + join_problems(problems);
}

}  // namespace

void validate_config(model::ContainerConfig& config) {
    if (!config.working_dir.empty()) {
        if (config.working_dir.front() != '/') {
            invalid(
                fmt::format("the working directory '{}' is invalid, it needs to be an absolute "
                            "path",
                            config.working_dir));
        }
        config.working_dir = clean_path(config.working_dir);
    }
    if (!config.stop_signal.empty()) (void)parse_signal(config.stop_signal);
    for (const auto& entry : config.env) {
        if (entry.empty() || entry.front() == '=') {
            invalid("invalid environment variable: " + entry);
        }
    }
    if (config.healthcheck) validate_healthcheck(*config.healthcheck);
}

void validate_restart_policy(const model::RestartPolicy& policy) {
    const auto& name = policy.name;
    const bool on_failure = name == "on-failure";
    if (name == "always" || name == "no" || name == "unless-stopped") {
        if (policy.maximum_retry_count == 0) return;
        std::string text =
            "invalid restart policy: maximum retry count can only be used with 'on-failure'";
        if (policy.maximum_retry_count < 0) text += " and cannot be negative";
        invalid(text);
    }
    if (on_failure) {
        if (policy.maximum_retry_count < 0) {
            invalid("invalid restart policy: maximum retry count cannot be negative");
        }
        return;
    }
    if (name.empty()) return;
    invalid(
        fmt::format("invalid restart policy: unknown policy '{}'; use one of 'no', 'always', "
                    "'on-failure', or 'unless-stopped'",
                    name));
}

void validate_host_config(const model::HostConfig& host, std::vector<std::string>& warnings) {
    const bool restarts = !host.restart_policy.name.empty() && host.restart_policy.name != "no";
    if (host.auto_remove && restarts) {
        invalid("can't create 'AutoRemove' container with restart policy");
    }
    for (const auto& mount : host.mounts) {
        if (mount.type == "image") warnings.emplace_back("Image mount is an experimental feature");
        validate_mount(mount, CheckSource::yes);
    }
    for (const auto& extra : host.extra_hosts) validate_extra_host(extra);
    validate_ports(host.port_bindings);
    validate_restart_policy(host.restart_policy);
    (void)runtime::validate_capabilities(host.cap_add, host.cap_drop);
    if (!host.isolation.empty() && host.isolation != "default") {
        invalid(fmt::format("invalid isolation '{}' on linux", host.isolation));
    }
    if (host.annotations.contains("")) {
        invalid("invalid Annotations: the empty string is not permitted as an annotation key");
    }
}

void validate_networking(const model::NetworkingConfig& networking, const net::Networks& networks) {
    std::vector<std::string> problems;
    for (const auto& [name, settings] : networking.endpoints_config) {
        const auto text = endpoint_problem(name, settings, networks);
        if (!text.empty()) problems.push_back("invalid config for network " + name + ": " + text);
    }
    if (!problems.empty()) invalid(join_problems(problems));
}

void validate_endpoint(const std::string& network, const model::EndpointSettings& settings,
                       const net::Networks& networks) {
    const auto text = endpoint_problem(network, settings, networks);
    if (!text.empty()) invalid(text);
}

void check_log_config(model::LogConfig& config, const std::string& default_driver,
                      const model::StringMap& default_options) {
    if (config.type.empty()) config.type = default_driver;
    config.config.given = true;
    logging::merge_defaults(config.type, config.config, default_driver, default_options);
    logging::validate_options(config.type, config.config);
}

}  // namespace dockerd::engine

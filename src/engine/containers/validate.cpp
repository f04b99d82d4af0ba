#include "validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

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
            for (const auto& part : base::split(binding.host_port, '-')) {
                if (part.empty() && binding.host_port.empty()) continue;
                const auto host = base::parse_int(part.substr(0, part.find('/')));
                if (!host || *host < 0 || *host > 65535) {
                    invalid("invalid port specification: " + base::quote(binding.host_port));
                }
            }
        }
    }
}

// Source: moby opts/hosts.go, ValidateExtraHost.
void validate_extra_host(const std::string& text) {
    const auto colon = text.find_first_of(":=");
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

void validate_networking(const model::NetworkingConfig& networking,
                         const model::HostConfig& /*host*/) {
    std::vector<std::string> problems;
    for (const auto& [name, settings] : networking.endpoints_config) {
        const bool predefined =
            name == "default" || name == "bridge" || name == "host" || name == "none";
        const bool has_address =
            settings.ipam_config && (!settings.ipam_config->ipv4_address.empty() ||
                                     !settings.ipam_config->ipv6_address.empty());
        if (predefined && has_address) {
            problems.emplace_back(
                "user specified IP address is supported on user defined networks "
                "only");
        }
        if (predefined && !settings.aliases.empty()) {
            problems.emplace_back(
                "network-scoped aliases are only supported for user-defined networks");
        }
        if (settings.ipam_config && !settings.ipam_config->ipv4_address.empty() &&
            !net::IpAddress::parse(settings.ipam_config->ipv4_address)) {
            problems.push_back("invalid IPv4 address: " + settings.ipam_config->ipv4_address);
        }
        if (!settings.mac_address.empty() && !net::MacAddress::parse(settings.mac_address)) {
            invalid(fmt::format("invalid config for network {}: invalid MAC address {}", name,
                                settings.mac_address));
        }
        if (!problems.empty()) {
            invalid(fmt::format("invalid config for network {}: invalid endpoint settings:\n{}",
                                name, base::join(problems, "\n")));
        }
    }
}

void check_log_config(model::LogConfig& config, const std::string& default_driver,
                      const model::StringMap& default_options) {
    if (config.type.empty()) config.type = default_driver;
    config.config.given = true;
    logging::merge_defaults(config.type, config.config, default_driver, default_options);
    logging::validate_options(config.type, config.config);
}

}  // namespace dockerd::engine

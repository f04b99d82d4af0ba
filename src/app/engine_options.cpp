#include "engine_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/logging/drivers.hpp>

#include "hosts.hpp"
#include "options.hpp"

namespace dockerd::app {
namespace {

net::IpAddress address_or_none(const std::string& text, const char* flag) {
    if (text.empty()) return {};
    const auto address = net::IpAddress::parse(text);
    if (!address) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("invalid argument \"{}\" for \"--{}\" flag: ip is not a valid IP "
                               "address",
                               text, flag));
    }
    return *address;
}

std::string read_profile(const std::string& path) {
    if (path.empty() || path == "builtin" || path == "unconfined") return path;
    const std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("opening seccomp profile ({}) failed", path));
    }
    return text.str();
}

}  // namespace

namespace {

/// A /48 of the engine's own: networks get IPv6 subnets that nobody had to choose.
// Source: moby daemon/daemon.go, deriveULABaseNetwork.
net::AddressPool unique_local_pool(const std::string& engine_id) {
    archive::Sha256 sum;
    sum.update(engine_id);
    // 40 bits, the end of the first eight bytes.
    const std::string id = sum.hex().substr(6, 10);
    const auto base = net::IpPrefix::parse(
        fmt::format("fd{}:{}:{}::/48", id.substr(0, 2), id.substr(2, 4), id.substr(6, 4)));
    return {.base = base.value(), .size = 64};
}

// Source: moby daemon/daemon.go, networkOptions.
std::vector<net::AddressPool> address_pools(const Config& config, const std::string& engine_id) {
    std::vector<net::AddressPool> out;
    for (const auto& pool : config.default_address_pools) {
        out.push_back(
            {.base = net::IpPrefix::parse(pool.base).value_or(net::IpPrefix()), .size = pool.size});
    }
    if (out.empty()) out = net::default_address_pools();
    const bool has_v6 = std::ranges::any_of(
        out, [](const net::AddressPool& pool) { return pool.base.address.is_v6(); });
    if (!has_v6) out.push_back(unique_local_pool(engine_id));
    return out;
}

}  // namespace

net::NetworksOptions networks_options(const Config& config, const std::string& engine_id) {
    net::NetworksOptions options;
    options.exec_root = config.exec_root;
    options.bridge = config.bridge;
    options.bip = config.bip;
    options.bip6 = config.bip6;
    options.fixed_cidr = config.fixed_cidr;
    options.fixed_cidr_v6 = config.fixed_cidr_v6;
    options.ipv6 = config.ipv6;
    options.default_gateway_v6 = address_or_none(config.default_gateway_v6, "default-gateway-v6");
    options.default_gateway = address_or_none(config.default_gateway, "default-gateway");
    options.default_host_ip = address_or_none(config.ip, "ip");
    options.address_pools = address_pools(config, engine_id);
    options.own_pools = !config.default_address_pools.empty();
    options.live_restore = config.live_restore;
    for (const auto& gateway : config.host_gateway_ips) {
        options.host_gateway_ips.push_back(address_or_none(gateway, "host-gateway-ip"));
    }
    options.mtu = static_cast<int>(config.mtu);
    options.icc = config.icc;
    // Source: moby daemon/daemon_unix.go, verifyDaemonSettings.
    options.ip_masquerade = config.ip_masq && config.iptables;
    options.ip_forward = config.ip_forward;
    options.ip_forward_no_drop = config.ip_forward_no_drop;
    options.iptables = config.iptables;
    options.ip6tables = config.ip6tables;
    options.userland_proxy = config.userland_proxy;
    options.allow_direct_routing = config.allow_direct_routing;
    for (const auto& [driver, given] : config.default_network_opts) {
        for (const auto& [key, value] : given) options.default_options[driver][key] = value;
    }
    return options;
}

/// Null where CDI is switched off; without folders it is there and serves nothing.
// Source: moby cmd/dockerd/daemon.go, loadDaemonCliConfig; container-device-interface pkg/cdi.
std::shared_ptr<engine::cdi::Registry> cdi_registry(const Config& config) {
    const auto feature = config.features.find("cdi");
    if (feature != config.features.end() && !feature->second) return nullptr;
    auto folders = config.cdi_spec_dirs;
    if (folders.empty()) folders = {"/etc/cdi", "/var/run/cdi"};
    if (folders.size() == 1 && folders.front().empty()) folders.clear();
    return std::make_shared<engine::cdi::Registry>(std::move(folders));
}

engine::Runtimes runtimes_of(const Config& config) {
    engine::Runtimes out;
    if (!config.default_runtime.empty()) out.default_name = config.default_runtime;
    for (const auto& [name, runtime] : config.runtimes) {
        out.configured[name] = {.path = runtime.path,
                                .args = runtime.args,
                                .type = runtime.type,
                                .options = runtime.options};
    }
    return out;
}

engine::ContainerDefaults container_defaults(const Config& config) {
    engine::ContainerDefaults out;
    out.ipc_mode = config.default_ipc_mode;
    out.cgroupns_mode = config.default_cgroupns_mode;
    out.shm_size = config.default_shm_size.value;
    out.runtimes = runtimes_of(config);
    engine::validate_runtimes(out.runtimes);
    return out;
}

engine::ContainersOptions containers_options(const Config& config,
                                             std::shared_ptr<engine::cdi::Registry> cdi) {
    engine::ContainersOptions options;
    options.data_root = config.data_root;
    options.exec_root = config.exec_root;
    options.cgroup_parent = config.cgroup_parent;
    options.cdi = std::move(cdi);
    options.live_restore = config.live_restore;
    options.shutdown_timeout = std::chrono::seconds(config.shutdown_timeout);
    options.log_driver = config.log_driver;
    for (const auto& [key, value] : config.log_opts) options.log_options[key] = value;
    // Source: moby daemon/logs.go, defaultLogConfig.
    if (!config.log_opts.empty()) {
        base::in_context("failed to set log opts",
                         [&] { logging::validate_options(config.log_driver, config.log_opts); });
    }
    options.defaults = container_defaults(config);
    options.init = config.init;
    options.seccomp_profile = read_profile(config.seccomp_profile);
    options.no_new_privileges = config.no_new_privileges;
    options.dns = {.servers = config.dns, .search = config.dns_search, .options = config.dns_opts};
    for (const auto& [name, limit] : config.default_ulimits) {
        options.default_ulimits.push_back({.name = name, .hard = limit.hard, .soft = limit.soft});
    }
    return options;
}

engine::SystemOptions system_options(const Config& config, const std::string& engine_id,
                                     std::shared_ptr<engine::cdi::Registry> cdi) {
    engine::SystemOptions options;
    options.id = engine_id;
    options.data_root = config.data_root;
    options.logging_driver = config.log_driver;
    options.log_drivers = logging::driver_names();
    options.cgroupns_mode = config.default_cgroupns_mode;
    options.seccomp_profile = config.seccomp_profile.empty() ? "builtin" : config.seccomp_profile;
    options.no_new_privileges = config.no_new_privileges;
    options.live_restore = config.live_restore;
    options.debug = config.debug;
    options.runtimes = runtimes_of(config);
    options.http_proxy = config.http_proxy;
    options.https_proxy = config.https_proxy;
    options.no_proxy = config.no_proxy;
    options.labels = config.labels;
    options.authorization_plugins = config.authorization_plugins;
    options.insecure_registries = config.insecure_registries;
    for (const std::string& mirror : config.registry_mirrors) {
        // Source: moby registry/config.go, ValidateMirror.
        options.registry_mirrors.push_back(mirror + (mirror.ends_with('/') ? "" : "/"));
    }
    for (const Host& host : normalize_hosts(config.hosts, config.tls.value_or(false))) {
        if (host.protocol != "tcp") continue;
        options.tcp_addresses.push_back({.address = host.address,
                                         .tls = config.tls.value_or(false),
                                         .tls_verify = config.tls_verify.value_or(false)});
    }
    for (const auto& pool : config.default_address_pools) {
        options.default_address_pools.emplace_back(pool.base, pool.size);
    }
    options.cdi = std::move(cdi);
    options.firewall_driver = config.iptables ? "nftables" : "";
    return options;
}

namespace {

std::string json_list(const std::vector<std::string>& items) { return base::Json(items).dump(); }

std::string text_of(const Config& config, std::string_view flag) {
    return value_text(config, *find_option(flag));
}

}  // namespace

engine::EventAttributes reload_attributes(const Config& config, bool unified_cgroups) {
    std::vector<std::string> runtimes;
    for (const auto& [name, runtime] : config.runtimes) {
        runtimes.push_back(name + ":" + runtime.path);
    }
    const std::string& cgroupns = config.default_cgroupns_mode;
    return {{"debug", text_of(config, "debug")},
            {"default-cgroupns-mode",
             !cgroupns.empty() ? cgroupns : unified_cgroups ? "private" : "host"},
            {"default-ipc-mode", config.default_ipc_mode},
            {"default-runtime", config.default_runtime},
            {"default-shm-size", text_of(config, "default-shm-size")},
            {"features", text_of(config, "feature")},
            {"insecure-registries", json_list(config.insecure_registries)},
            {"labels", json_list(config.labels)},
            {"live-restore", text_of(config, "live-restore")},
            {"max-concurrent-downloads", text_of(config, "max-concurrent-downloads")},
            {"max-concurrent-uploads", text_of(config, "max-concurrent-uploads")},
            {"max-download-attempts", text_of(config, "max-download-attempts")},
            {"registry-mirrors", json_list(config.registry_mirrors)},
            {"runtimes", base::join(runtimes, " ")},
            {"shutdown-timeout", text_of(config, "shutdown-timeout")}};
}

bool wants_container_metrics(const Config& config) {
    const auto found = config.features.find("container-metrics");
    return found != config.features.end() && found->second;
}

engine::RegistrySettings registry_settings(const Config& config) {
    // The flags were put into the environment, where Docker looks as well: the last word is there.
    const auto environment = [](const char* upper, const char* lower) -> std::string {
        for (const char* name : {upper, lower}) {
            const char* const value = std::getenv(name);
            if (value != nullptr && *value != '\0') return value;
        }
        return {};
    };
    engine::RegistrySettings settings;
    settings.registry.mirrors = config.registry_mirrors;
    settings.registry.insecure_registries = config.insecure_registries;
    settings.registry.proxy = {.http_proxy = environment("HTTP_PROXY", "http_proxy"),
                               .https_proxy = environment("HTTPS_PROXY", "https_proxy"),
                               .no_proxy = environment("NO_PROXY", "no_proxy")};
    settings.max_concurrent_downloads = config.max_concurrent_downloads;
    settings.max_concurrent_uploads = config.max_concurrent_uploads;
    settings.max_download_attempts = config.max_download_attempts;
    return settings;
}

api::ApiOptions api_options(const Config& config) {
    api::ApiOptions options;
    options.min_version = config.min_api_version;
    options.experimental = config.experimental;
    return options;
}

}  // namespace dockerd::app

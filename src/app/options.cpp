#include "options.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/net/address.hpp>

#include "hosts.hpp"

namespace dockerd::app {
namespace {

// --- checks of single values ---------------------------------------------------------------

// Source: moby opts/opts.go, ValidateLabel.
std::optional<std::string> check_label(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) return "bad attribute format: " + text;
    if (base::trim(text.substr(0, equals)).empty()) {
        return fmt::format("invalid label '{}': empty name", text);
    }
    return std::nullopt;
}

// Source: moby opts/opts.go, ValidateHost; the address is completed when listening.
std::optional<std::string> check_host(const std::string& text) {
    try {
        if (!base::trim(text).empty()) (void)parse_host(text);
    } catch (const base::Error& error) {
        return error.what();
    }
    return std::nullopt;
}

// Source: moby registry/config.go, ValidateMirror.
std::optional<std::string> check_mirror(const std::string& text) {
    const auto mark = text.find("://");
    const std::string scheme = mark == std::string::npos ? "" : text.substr(0, mark);
    if (scheme != "http" && scheme != "https") {
        return fmt::format("invalid mirror: unsupported scheme {} in {}", base::quote(scheme),
                           base::quote(text));
    }
    if (text.find('?') != std::string::npos || text.find('#') != std::string::npos) {
        return fmt::format("invalid mirror: query or fragment at end of the URI {}",
                           base::quote(text));
    }
    if (text.find('@') != std::string::npos) {
        return fmt::format("invalid mirror: username/password not allowed in URI {}",
                           base::quote(text));
    }
    return std::nullopt;
}

bool is_ip(const std::string& text) {
    std::array<unsigned char, 16> address;
    return ::inet_pton(AF_INET, text.c_str(), address.data()) == 1 ||
           ::inet_pton(AF_INET6, text.c_str(), address.data()) == 1;
}

std::optional<std::string> check_ip(const std::string& text) {
    if (is_ip(std::string(base::trim(text)))) return std::nullopt;
    return "failed to parse IP: " + base::quote(text);
}

std::optional<std::string> check_dns(const std::string& text) {
    if (is_ip(text)) return std::nullopt;
    return "invalid string being converted to IP address: " + text;
}

std::optional<std::string> check_gateway_ip(const std::string& text) {
    if (is_ip(text)) return std::nullopt;
    return fmt::format("ParseAddr({}): unable to parse IP", base::quote(text));
}

// Source: moby opts/opts.go, ValidateDNSSearch.
std::optional<std::string> check_dns_search(const std::string& text) {
    const std::string_view name = base::trim(text);
    if (name == ".") return std::nullopt;
    const bool fits =
        !name.empty() && name.size() <= 255 && name.find_first_of(" /:@") == std::string_view::npos;
    if (fits) return std::nullopt;
    return text + " is not a valid domain";
}

constexpr std::string_view common = "CommonConfig.";
constexpr std::string_view dns = "CommonConfig.DNSConfig.";
constexpr std::string_view logs = "CommonConfig.LogConfig.";
constexpr std::string_view tls = "CommonConfig.TLSOptions.";
constexpr std::string_view networks = "CommonConfig.NetworkConfig.";
constexpr std::string_view bridges = "CommonConfig.BridgeConfig.";
constexpr std::string_view default_bridge = "CommonConfig.BridgeConfig.DefaultBridgeConfig.";
constexpr std::string_view common_bridge =
    "CommonConfig.BridgeConfig.DefaultBridgeConfig.commonBridgeConfig.";
constexpr std::string_view proxies = "CommonConfig.Proxies.";
constexpr std::string_view platform = "";
constexpr bool reload = true;
constexpr bool fixed = false;

const Option table[] = {
    // name, shorthand, key, type, field, help, reloadable, Go's path, check, deprecated, visibility
    {"add-runtime", 0, "runtimes", "runtime", &Config::runtimes,
     "Make another OCI runtime known (default [])", reload, platform},
    {"allow-direct-routing", 0, "allow-direct-routing", "", &Config::allow_direct_routing,
     "Let other hosts reach published ports at container addresses", fixed, bridges},
    {"allow-nondistributable-artifacts", 0, "allow-nondistributable-artifacts", "list",
     &Config::allow_nondistributable_artifacts, "Has no effect", fixed, common, nullptr,
     "Pushing nondistributable artifacts is now enabled by default. ", Visibility::hidden},
    {"api-cors-header", 0, "api-cors-header", "string", &Config::api_cors_header, "Removed", fixed,
     common, nullptr,
     "accessing Docker API through a browser is insecure; use a reverse proxy if you need CORS "
     "headers",
     Visibility::hidden},
    {"authorization-plugin", 0, "authorization-plugins", "list", &Config::authorization_plugins,
     "Authorization plugins to ask", reload, common},
    {"bip", 0, "bip", "string", &Config::bip, "IPv4 address and prefix of the default bridge",
     fixed, default_bridge},
    {"bip6", 0, "bip6", "string", &Config::bip6, "IPv6 address and prefix of the default bridge",
     fixed, default_bridge},
    {"bridge", 'b', "bridge", "string", &Config::bridge, "Use this network bridge for containers",
     fixed, common_bridge},
    {"cdi-spec-dir", 0, "cdi-spec-dirs", "list", &Config::cdi_spec_dirs,
     "Directories with CDI specifications", fixed, common},
    {"cgroup-parent", 0, "cgroup-parent", "string", &Config::cgroup_parent,
     "Parent cgroup of all containers", fixed, platform},
    {"check-data-root", 0, "", "", &Config::check_data_root,
     "Read everything in the data root, say what is there and what is damaged, and exit", fixed, common},
    {"config-file", 0, "", "string", &Config::config_file,
     "The daemon's configuration file (default \"/etc/docker/daemon.json\")", fixed, common},
    {"containerd", 0, "containerd", "string", &Config::containerd,
     "Accepted for compatibility; this daemon needs no containerd", fixed, common},
    {"containerd-namespace", 0, "containerd-namespace", "string", &Config::containerd_namespace,
     "Accepted for compatibility (default \"moby\")", fixed, common},
    {"containerd-plugins-namespace", 0, "containerd-plugins-namespace", "string",
     &Config::containerd_plugins_namespace, "Accepted for compatibility (default \"plugins.moby\")",
     fixed, common},
    {"cpu-rt-period", 0, "cpu-rt-period", "int", &Config::cpu_rt_period,
     "Real-time period of the containers' parent cgroup, in microseconds (cgroups v1 only)", fixed,
     platform},
    {"cpu-rt-runtime", 0, "cpu-rt-runtime", "int", &Config::cpu_rt_runtime,
     "Real-time run time of the containers' parent cgroup, in microseconds (cgroups v1 only)",
     fixed, platform},
    {"cri-containerd", 0, "cri-containerd", "", &Config::cri_containerd,
     "Accepted for compatibility", fixed, common},
    {"data-root", 0, "data-root", "string", &Config::data_root,
     "Directory of everything that lasts (default \"/var/lib/docker\")", fixed, common},
    {"debug", 'D', "debug", "", &Config::debug, "Log debug messages", reload, common},
    {"default-address-pool", 0, "default-address-pools", "pool-options",
     &Config::default_address_pools, "Address pools for networks of this host (base=CIDR,size=N)",
     fixed, networks},
    {"default-cgroupns-mode", 0, "default-cgroupns-mode", "string", &Config::default_cgroupns_mode,
     "Cgroup namespace of containers unless they say (\"host\" | \"private\")", reload, platform},
    {"default-gateway", 0, "default-gateway", "ip", &Config::default_gateway,
     "IPv4 gateway of the default bridge network", fixed, default_bridge, check_ip},
    {"default-gateway-v6", 0, "default-gateway-v6", "ip", &Config::default_gateway_v6,
     "IPv6 gateway of the default bridge network", fixed, default_bridge, check_ip},
    {"default-ipc-mode", 0, "default-ipc-mode", "string", &Config::default_ipc_mode,
     "IPC mode of containers unless they say (\"shareable\" | \"private\") (default \"private\")",
     reload, platform},
    {"default-network-opt", 0, "default-network-opts", "mapmap", &Config::default_network_opts,
     "Options of new networks, by driver (default map[])", fixed, networks},
    {"default-runtime", 0, "default-runtime", "string", &Config::default_runtime,
     "OCI runtime of containers unless they say (default \"runc\")", reload, common},
    {"default-shm-size", 0, "default-shm-size", "bytes", &Config::default_shm_size,
     "Size of /dev/shm in containers unless they say (default 64MiB)", reload, platform},
    {"default-ulimit", 0, "default-ulimits", "ulimit", &Config::default_ulimits,
     "Resource limits of containers unless they say (default [])", fixed, platform},
    {"defaults-file", 0, "", "string", &Config::defaults_file,
     "File whose DOCKER_OPTS are read as flags, and whose exports as environment; empty for none "
     "(default \"/etc/default/docker\")",
     fixed, common},
    {"dns", 0, "dns", "ipSlice", &Config::dns, "DNS servers of containers (default [])", fixed, dns,
     check_dns},
    {"dns-opt", 0, "dns-opts", "list", &Config::dns_opts, "DNS resolver options of containers",
     fixed, dns},
    {"dns-search", 0, "dns-search", "list", &Config::dns_search, "DNS search domains of containers",
     fixed, dns, check_dns_search},
    {"exec-opt", 0, "exec-opts", "list", &Config::exec_opts,
     "Options of container execution (native.cgroupdriver=cgroupfs|systemd)", fixed, common},
    {"exec-root", 0, "exec-root", "string", &Config::exec_root,
     "Directory of the state of what runs (default \"/var/run/docker\")", fixed, common},
    {"experimental", 0, "experimental", "", &Config::experimental, "Offer experimental features",
     fixed, common},
    {"feature", 0, "features", "map", &Config::features,
     "Switch a feature of the daemon on or off (default map[])", reload, common},
    {"fixed-cidr", 0, "fixed-cidr", "string", &Config::fixed_cidr,
     "IPv4 range for containers on the default bridge", fixed, common_bridge},
    {"fixed-cidr-v6", 0, "fixed-cidr-v6", "string", &Config::fixed_cidr_v6,
     "IPv6 range for containers on the default bridge", fixed, default_bridge},
    {"group", 'G', "group", "string", &Config::group,
     "Group that may use the Unix socket (default \"docker\")", fixed, common},
    {"help", 0, "", "", &Config::show_help, "Print this text", fixed, common},
    {"host", 'H', "hosts", "list", &Config::hosts, "Sockets to listen on", fixed, common,
     check_host},
    {"host-gateway-ip", 0, "host-gateway-ips", "list", &Config::host_gateway_ips,
     "Addresses that 'host-gateway' in --add-host stands for (default: those of the default "
     "bridge)",
     fixed, dns, check_gateway_ip},
    {"http-proxy", 0, "http-proxy", "string", &Config::http_proxy, "Proxy for outgoing HTTP", fixed,
     proxies},
    {"https-proxy", 0, "https-proxy", "string", &Config::https_proxy, "Proxy for outgoing HTTPS",
     fixed, proxies},
    {"icc", 0, "icc", "", &Config::icc,
     "Let containers on the default bridge talk to each other (default true)", fixed,
     default_bridge},
    {"init", 0, "init", "", &Config::init,
     "Run an init in containers that forwards signals and reaps processes", fixed, platform},
    {"init-path", 0, "init-path", "string", &Config::init_path, "Path of the docker-init program",
     fixed, platform},
    {"insecure-registry", 0, "insecure-registries", "list", &Config::insecure_registries,
     "Registries to use without verified TLS", reload, common},
    {"ip", 0, "ip", "ip", &Config::ip, "Host address that ports are published on (default 0.0.0.0)",
     fixed, default_bridge, check_ip},
    {"ip-forward", 0, "ip-forward", "", &Config::ip_forward,
     "Switch IP forwarding on in the system (default true)", fixed, bridges},
    {"ip-forward-no-drop", 0, "ip-forward-no-drop", "", &Config::ip_forward_no_drop,
     "Leave the FORWARD policy alone when forwarding is switched on", fixed, bridges},
    {"ip-masq", 0, "ip-masq", "", &Config::ip_masq,
     "Masquerade outgoing traffic of the default bridge (default true)", fixed, bridges},
    {"ip6tables", 0, "ip6tables", "", &Config::ip6tables, "Make IPv6 firewall rules (default true)",
     fixed, bridges},
    {"iptables", 0, "iptables", "", &Config::iptables, "Make IPv4 firewall rules (default true)",
     fixed, bridges},
    {"ipv6", 0, "ipv6", "", &Config::ipv6, "Use IPv6 on the default bridge", fixed, default_bridge},
    {"label", 0, "labels", "list", &Config::labels, "Labels of the daemon (key=value)", reload,
     common, check_label},
    {"live-restore", 0, "live-restore", "", &Config::live_restore,
     "Keep containers running while the daemon is down", reload, common},
    {"log-driver", 0, "log-driver", "string", &Config::log_driver,
     "Log driver of containers unless they say (default \"json-file\")", fixed, logs},
    {"log-format", 0, "log-format", "string", &Config::log_format,
     "Form of the daemon's log (\"text\"|\"json\") (default \"text\")", fixed, common},
    {"log-level", 'l', "log-level", "string", &Config::log_level,
     "Least level that is logged (\"debug\"|\"info\"|\"warn\"|\"error\"|\"fatal\") (default "
     "\"info\")",
     fixed, common},
    {"log-opt", 0, "log-opts", "map", &Config::log_opts,
     "Log driver options of containers unless they say (default map[])", fixed, logs},
    {"max-concurrent-downloads", 0, "max-concurrent-downloads", "int",
     &Config::max_concurrent_downloads, "Most layers pulled at a time (default 3)", reload, common},
    {"max-concurrent-uploads", 0, "max-concurrent-uploads", "int", &Config::max_concurrent_uploads,
     "Most layers pushed at a time (default 5)", reload, common},
    {"max-download-attempts", 0, "max-download-attempts", "int", &Config::max_download_attempts,
     "Tries for each layer of a pull (default 5)", reload, common},
    {"metrics-addr", 0, "metrics-addr", "string", &Config::metrics_addr,
     "Address and port to serve metrics on", fixed, common},
    {"mtu", 0, "mtu", "int", &Config::mtu, "MTU of the default bridge network (default 1500)",
     fixed, default_bridge},
    {"network-control-plane-mtu", 0, "network-control-plane-mtu", "int",
     &Config::network_control_plane_mtu, "MTU of the network control plane (default 1500)", fixed,
     networks},
    {"network-diagnostic-port", 0, "network-diagnostic-port", "int",
     &Config::network_diagnostic_port, "Port of the network diagnostic server", reload, common,
     nullptr, "", Visibility::hidden},
    {"no-new-privileges", 0, "no-new-privileges", "", &Config::no_new_privileges,
     "Set no-new-privileges for new containers", fixed, platform},
    {"no-proxy", 0, "no-proxy", "string", &Config::no_proxy,
     "Hosts and addresses that are reached without a proxy, comma-separated", fixed, proxies},
    {"node-generic-resource", 0, "node-generic-resources", "list", &Config::node_generic_resources,
     "Resources of the user's own to announce", fixed, common},
    {"oom-score-adjust", 0, "oom-score-adjust", "int", &Config::ignored_number,
     "Accepted for old unit files, has no effect", fixed, common, nullptr, "it has no effect",
     Visibility::hidden},
    {"pidfile", 'p', "pidfile", "string", &Config::pidfile,
     "File for the daemon's process id (default \"/var/run/docker.pid\")", fixed, common},
    {"raw-logs", 0, "raw-logs", "", &Config::raw_logs,
     "Log with full timestamps and without colours", fixed, common},
    {"registry-mirror", 0, "registry-mirrors", "list", &Config::registry_mirrors,
     "Mirrors of Docker Hub to try first", reload, common, check_mirror},
    {"restart", 'r', "", "", &Config::auto_restart, "Has no effect", fixed, common, nullptr,
     "Please use a restart policy on docker run", Visibility::hidden},
    {"rootless", 0, "rootless", "", &Config::rootless,
     "Run without root privileges; usually together with RootlessKit", fixed, platform},
    {"seccomp-profile", 0, "seccomp-profile", "string", &Config::seccomp_profile,
     "Path of a seccomp profile, or \"unconfined\" for none (default \"builtin\")", fixed,
     platform},
    {"selinux-enabled", 0, "selinux-enabled", "", &Config::selinux_enabled, "Use SELinux", fixed,
     platform},
    {"shutdown-timeout", 0, "shutdown-timeout", "int", &Config::shutdown_timeout,
     "Seconds containers get to stop with the daemon (default 15)", reload, common},
    {"storage-driver", 's', "storage-driver", "string", &Config::storage_driver, "Storage driver",
     fixed, common},
    {"storage-opt", 0, "storage-opts", "list", &Config::storage_opts,
     "Options of the storage driver", fixed, common},
    {"swarm-default-advertise-addr", 0, "swarm-default-advertise-addr", "string",
     &Config::swarm_default_advertise_addr,
     "Address or interface that swarm advertises unless told otherwise", fixed, common},
    {"tls", 0, "tls", "", &Config::tls, "Speak TLS on tcp sockets; implied by --tlsverify", fixed,
     common},
    {"tlscacert", 0, "tlscacert", "string", &Config::tls_ca, "Authority of client certificates",
     fixed, tls},
    {"tlscert", 0, "tlscert", "string", &Config::tls_cert, "The daemon's TLS certificate", fixed,
     tls},
    {"tlskey", 0, "tlskey", "string", &Config::tls_key, "The key of that certificate", fixed, tls},
    {"tlsverify", 0, "tlsverify", "", &Config::tls_verify,
     "Speak TLS and demand a client certificate", fixed, common},
    {"userland-proxy", 0, "userland-proxy", "", &Config::userland_proxy,
     "Proxy loopback traffic to published ports (default true)", fixed, bridges},
    {"userland-proxy-path", 0, "userland-proxy-path", "string", &Config::userland_proxy_path,
     "Accepted for compatibility; the proxy is part of this daemon", fixed, bridges},
    {"userns-remap", 0, "userns-remap", "string", &Config::userns_remap,
     "User and group for user namespaces", fixed, platform},
    {"validate", 0, "", "", &Config::validate, "Check the configuration and exit", fixed, common},
    {"version", 'v', "", "", &Config::show_version, "Print the version and exit", fixed, common},
};

}  // namespace

std::span<const Option> options() { return table; }

const Option* find_option(std::string_view name) {
    const auto* const found = std::ranges::find(table, name, &Option::name);
    return found == std::end(table) ? nullptr : found;
}

const Option* find_shorthand(char shorthand) {
    const auto* const found = std::ranges::find(table, shorthand, &Option::shorthand);
    return shorthand == 0 || found == std::end(table) ? nullptr : found;
}

const Option* find_key(std::string_view key) {
    const auto* const found = std::ranges::find(table, key, &Option::key);
    return key.empty() || found == std::end(table) ? nullptr : found;
}

}  // namespace dockerd::app

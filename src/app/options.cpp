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

[[noreturn]] void bad(const std::string& why) {
    base::fail(base::ErrorKind::invalid_argument, why);
}

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

// --- values from text ----------------------------------------------------------------------

// Source: Go strconv, ParseBool.
bool parse_bool(const std::string& text) {
    constexpr std::array yes{"1", "t", "T", "true", "TRUE", "True"};
    constexpr std::array no{"0", "f", "F", "false", "FALSE", "False"};
    if (std::ranges::find(yes, text) != yes.end()) return true;
    if (std::ranges::find(no, text) != no.end()) return false;
    bad(fmt::format("strconv.ParseBool: parsing {}: invalid syntax", base::quote(text)));
}

std::int64_t parse_integer(const std::string& text) {
    const char* const first = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* const last = text.data() + text.size();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(first, last, value);
    if (error == std::errc{} && end == last && first != last) return value;
    const bool range = error == std::errc::result_out_of_range && end == last;
    bad(fmt::format("strconv.ParseInt: parsing {}: {}", base::quote(text),
                    range ? "value out of range" : "invalid syntax"));
}

// Source: docker/go-units size.go, RAMInBytes.
std::int64_t parse_bytes(const std::string& text) {
    const std::size_t digits = text.find_first_not_of("0123456789.");
    const std::string number = text.substr(0, digits);
    std::string unit =
        base::to_lower(base::trim(digits == std::string::npos ? "" : text.substr(digits)));
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc{} || end != number.data() + number.size()) {
        bad(fmt::format("invalid size: '{}'", text));
    }
    if (unit.ends_with("ib")) unit.resize(unit.size() - 2);
    if (unit.ends_with('b')) unit.pop_back();
    constexpr std::string_view units = "kmgtp";
    if (unit.size() > 1 || (unit.size() == 1 && units.find(unit) == std::string_view::npos)) {
        bad(fmt::format("invalid suffix: '{}'", text.substr(digits)));
    }
    const double scale = unit.empty() ? 1 : std::pow(1024.0, double(units.find(unit) + 1));
    return static_cast<std::int64_t>(value * scale);
}

// Source: docker/go-units ulimit.go, ParseUlimit.
Ulimit parse_ulimit(const std::string& text, std::string& name) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) bad("invalid ulimit argument: " + text);
    name = text.substr(0, equals);
    constexpr std::array known{"core",    "cpu",      "data",   "fsize",      "locks",
                               "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                               "rss",     "rtprio",   "rttime", "sigpending", "stack"};
    if (std::ranges::find(known, name) == known.end()) bad("invalid ulimit type: " + name);
    const auto values = base::split(std::string_view(text).substr(equals + 1), ':');
    if (values.size() > 2) bad("too many limit value arguments - " + text.substr(equals + 1));
    Ulimit limit;
    limit.soft = parse_integer(values[0]);
    limit.hard = values.size() > 1 ? parse_integer(values[1]) : limit.soft;
    if (limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard)) {
        bad(fmt::format("ulimit soft limit must be less than or equal to hard limit: {} > {}",
                        limit.soft, limit.hard));
    }
    return limit;
}

// Source: moby opts/address_pools.go, PoolsOpt.Set.
AddressPool parse_pool(const std::string& text) {
    AddressPool pool;
    for (const std::string& field : base::split(text, ',')) {
        const auto equals = field.find('=');
        if (equals == std::string::npos) {
            bad(fmt::format("invalid field '{}' must be a key=value pair", field));
        }
        const std::string key = field.substr(0, equals);
        const std::string value = field.substr(equals + 1);
        if (key == "base") {
            if (const auto fault = prefix_fault(value); !fault.empty()) {
                bad(fmt::format("invalid base prefix {}: {}", base::quote(value), fault));
            }
            pool.base = value;
        } else if (key == "size") {
            const auto size = base::parse_int(value);
            if (!size) {
                bad(
                    fmt::format("invalid size value: {} (must be integer): strconv.Atoi: parsing "
                                "{}: invalid syntax",
                                value, base::quote(value)));
            }
            pool.size = static_cast<int>(*size);
        } else {
            bad(fmt::format("unexpected key '{}' in '{}'", key, field));
        }
    }
    return pool;
}

struct SetText {
    Config& config;
    const Option& option;
    const std::string& text;

    void operator()(bool Config::*field) const { config.*field = parse_bool(text); }
    void operator()(std::optional<bool> Config::*field) const { config.*field = parse_bool(text); }
    void operator()(std::int64_t Config::*field) const { config.*field = parse_integer(text); }
    void operator()(std::string Config::*field) const { config.*field = text; }
    void operator()(Bytes Config::*field) const { config.*field = Bytes{parse_bytes(text)}; }
    void operator()(std::vector<std::string> Config::*field) const {
        (config.*field).push_back(text);
    }
    void operator()(std::map<std::string, std::string> Config::*field) const {
        const auto equals = text.find('=');
        (config.*field)[text.substr(0, equals)] =
            equals == std::string::npos ? "" : text.substr(equals + 1);
    }
    // Source: moby internal/opts/opts.go, SetOpts: a bare key means true.
    void operator()(std::map<std::string, bool> Config::*field) const {
        const auto equals = text.find('=');
        (config.*field)[text.substr(0, equals)] =
            equals == std::string::npos || parse_bool(text.substr(equals + 1));
    }
    void operator()(
        std::map<std::string, std::map<std::string, std::string>> Config::*field) const {
        const auto parts = base::split(text, '=');
        if (parts.size() < 3) {
            bad(fmt::format("invalid value {} for map option, should be root-key=key=value",
                            base::quote(text)));
        }
        (config.*field)[parts[0]][parts[1]] = text.substr(parts[0].size() + parts[1].size() + 2);
    }
    void operator()(std::vector<AddressPool> Config::*field) const {
        (config.*field).push_back(parse_pool(text));
    }
    void operator()(std::map<std::string, Ulimit> Config::*field) const {
        std::string name;
        const Ulimit limit = parse_ulimit(text, name);
        (config.*field)[name] = limit;
    }
    // Source: moby opts/runtime.go, RuntimeOpt.Set.
    void operator()(std::map<std::string, RuntimeConfig> Config::*field) const {
        const auto equals = text.find('=');
        if (equals == std::string::npos) bad("invalid runtime argument: " + text);
        const std::string name = base::to_lower(base::trim(text.substr(0, equals)));
        const std::string path(base::trim(text.substr(equals + 1)));
        if (name.empty() || path.empty()) bad("invalid runtime argument: " + text);
        if (name == "runc") bad("runtime name 'runc' is reserved");
        if ((config.*field).contains(name))
            bad(fmt::format("runtime '{}' was already defined", name));
        (config.*field)[name] = RuntimeConfig{.path = path};
    }
};

// --- values as text ------------------------------------------------------------------------

struct ShowText {
    const Config& config;

    std::string operator()(bool Config::*field) const { return config.*field ? "true" : "false"; }
    std::string operator()(std::optional<bool> Config::*field) const {
        return (config.*field).value_or(false) ? "true" : "false";
    }
    std::string operator()(std::int64_t Config::*field) const {
        return std::to_string(config.*field);
    }
    std::string operator()(std::string Config::*field) const { return config.*field; }
    std::string operator()(Bytes Config::*field) const {
        return std::to_string((config.*field).value);
    }
    std::string operator()(std::vector<std::string> Config::*field) const {
        return "[" + base::join(config.*field, " ") + "]";
    }
    template <typename Value>
    std::string operator()(std::map<std::string, Value> Config::*field) const {
        std::vector<std::string> parts;
        for (const auto& [key, value] : config.*field) parts.push_back(key + ":" + show(value));
        return "map[" + base::join(parts, " ") + "]";
    }
    std::string operator()(std::vector<AddressPool> Config::*field) const {
        std::vector<std::string> parts;
        for (const AddressPool& pool : config.*field) {
            parts.push_back(fmt::format("{{{} {}}}", pool.base, pool.size));
        }
        return "[" + base::join(parts, " ") + "]";
    }

    static std::string show(const std::string& value) { return value; }
    static std::string show(bool value) { return value ? "true" : "false"; }
    static std::string show(const Ulimit& value) {
        return fmt::format("{}:{}", value.soft, value.hard);
    }
    static std::string show(const RuntimeConfig& value) { return value.path; }
    static std::string show(const std::map<std::string, std::string>& value) {
        std::vector<std::string> parts;
        for (const auto& [key, text] : value) parts.push_back(key + ":" + text);
        return "map[" + base::join(parts, " ") + "]";
    }
};

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

std::string prefix_fault(const std::string& text) {
    const std::string start = fmt::format("netip.ParsePrefix({}): ", base::quote(text));
    const auto slash = text.rfind('/');
    if (slash == std::string::npos) return start + "no '/'";
    const std::string address = text.substr(0, slash);
    const std::string bits = text.substr(slash + 1);
    const auto ip = net::IpAddress::parse(address);
    if (!ip) return start + fmt::format("ParseAddr({}): unable to parse IP", base::quote(address));
    const bool digits =
        !bits.empty() && bits.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || (bits.size() > 1 && bits.front() == '0')) {
        return start + fmt::format("bad bits after slash: {}", base::quote(bits));
    }
    if (!net::IpPrefix::parse(text)) return start + "prefix length out of range";
    return {};
}

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

bool is_switch(const Option& option) {
    return std::holds_alternative<bool Config::*>(option.target) ||
           std::holds_alternative<std::optional<bool> Config::*>(option.target);
}

void set_from_text(Config& config, const Option& option, const std::string& text) {
    // --dns takes several addresses at a time. Source: spf13/pflag ip_slice.go.
    if (option.type == "ipSlice") {
        for (const std::string& item : base::split(text, ',')) {
            const std::string address(base::trim(item));
            if (const auto fault = option.check(address)) bad(*fault);
            config.dns.push_back(address);
        }
        return;
    }
    if (option.check) {
        if (const auto fault = option.check(text)) bad(*fault);
    }
    std::visit(SetText{config, option, text}, option.target);
}

void reset_option(Config& config, const Option& option) {
    const Config defaults;
    std::visit([&](auto field) { config.*field = defaults.*field; }, option.target);
}

std::string value_text(const Config& config, const Option& option) {
    return std::visit(ShowText{config}, option.target);
}

// Source: moby daemon/config/config.go, parseExecOptions; config_linux.go,
// validatePlatformExecOpt.
std::optional<std::string> exec_opt(const Config& config, std::string_view name) {
    std::optional<std::string> found;
    for (const std::string& item : config.exec_opts) {
        const auto equals = item.find('=');
        const std::string key = base::to_lower(base::trim(item.substr(0, equals)));
        const std::string value(
            base::trim(equals == std::string::npos ? "" : item.substr(equals + 1)));
        if (key.empty() || value.empty()) {
            bad(fmt::format("invalid exec-opt ({}): must be formatted 'opt=value'", item));
        }
        if (key == "isolation") {
            bad(fmt::format("invalid exec-opt ({}): option '{}' is only supported on windows", item,
                            key));
        }
        if (key != "native.cgroupdriver") {
            bad(fmt::format("invalid exec-opt ({}): unknown option: '{}'", item, key));
        }
        if (key == name) found = value;
    }
    return found;
}

}  // namespace dockerd::app

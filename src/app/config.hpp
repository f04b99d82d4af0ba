#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/http/message.hpp>

namespace dockerd::app {

/// A size given as "64m" or as a number of bytes.
struct Bytes {
    std::int64_t value = 0;
};

struct AddressPool {
    std::string base;  ///< "172.80.0.0/16"
    int size = 0;      ///< prefix length of each subnet
};

struct Ulimit {
    std::int64_t soft = 0;
    std::int64_t hard = 0;
};

struct RuntimeConfig {
    std::string path;
    std::vector<std::string> args;
    std::string type;
    std::string options;  ///< JSON, as given
};

/// What the daemon was told: defaults, command line and daemon.json merged.
/// Source: moby daemon/config, Config; the defaults are those of `dockerd --help`.
struct Config {
    // The program.
    bool debug = false;
    bool validate = false;
    bool check_data_root = false;
    bool show_help = false;
    bool show_version = false;
    std::int64_t ignored_number = 0;
    bool raw_logs = false;
    bool experimental = false;
    bool rootless = false;
    bool cri_containerd = false;
    bool auto_restart = true;
    std::string log_level = "info";
    std::string log_format = "text";
    std::string config_file = "/etc/docker/daemon.json";
    std::string defaults_file = "/etc/default/docker";
    std::string pidfile = "/var/run/docker.pid";
    std::string data_root = "/var/lib/docker";
    std::string exec_root = "/var/run/docker";
    std::string group = "docker";
    std::string metrics_addr;
    std::string api_cors_header;
    std::string containerd;
    std::string containerd_namespace = "moby";
    std::string containerd_plugins_namespace = "plugins.moby";
    std::vector<std::string> hosts;
    std::vector<std::string> authorization_plugins;
    std::vector<std::string> labels;
    std::vector<std::string> node_generic_resources;
    std::vector<std::string> allow_nondistributable_artifacts;
    std::map<std::string, bool> features;
    bool live_restore = false;
    std::int64_t shutdown_timeout = 15;  ///< seconds
    http::ApiVersion min_api_version{1, 24};

    // TLS of tcp listeners.
    std::optional<bool> tls;
    std::optional<bool> tls_verify;
    std::string tls_ca;
    std::string tls_cert;
    std::string tls_key;

    // Registries and images.
    std::vector<std::string> registry_mirrors;
    std::vector<std::string> insecure_registries;
    std::int64_t max_concurrent_downloads = 3;
    std::int64_t max_concurrent_uploads = 5;
    std::int64_t max_download_attempts = 5;
    std::string http_proxy;
    std::string https_proxy;
    std::string no_proxy;
    std::string storage_driver;
    std::vector<std::string> storage_opts;

    // Containers.
    std::vector<std::string> exec_opts;
    std::string cgroup_parent;
    std::string default_cgroupns_mode;  ///< empty: as the host's cgroup version asks
    std::string default_ipc_mode = "private";
    Bytes default_shm_size{64 << 20};
    std::map<std::string, Ulimit> default_ulimits;
    std::string default_runtime = "runc";
    std::map<std::string, RuntimeConfig> runtimes;
    bool init = false;
    std::string init_path;
    bool no_new_privileges = false;
    std::string seccomp_profile = "builtin";
    bool selinux_enabled = false;
    std::string userns_remap;
    std::int64_t cpu_rt_period = 0;   ///< microseconds
    std::int64_t cpu_rt_runtime = 0;  ///< microseconds
    std::string log_driver = "json-file";
    std::map<std::string, std::string> log_opts;
    std::vector<std::string> cdi_spec_dirs;

    // Networks.
    std::string bridge;
    std::string bip;
    std::string bip6;
    std::string fixed_cidr;
    std::string fixed_cidr_v6;
    std::string default_gateway;
    std::string default_gateway_v6;
    std::string ip = "0.0.0.0";
    bool icc = true;
    bool iptables = true;
    bool ip6tables = true;
    bool ip_forward = true;
    bool ip_forward_no_drop = false;
    bool ip_masq = true;
    bool ipv6 = false;
    bool userland_proxy = true;
    std::string userland_proxy_path;
    bool allow_direct_routing = false;
    std::int64_t mtu = 1500;
    std::int64_t network_control_plane_mtu = 1500;
    std::int64_t network_diagnostic_port = 0;
    std::vector<AddressPool> default_address_pools;
    std::map<std::string, std::map<std::string, std::string>> default_network_opts;
    std::vector<std::string> dns;
    std::vector<std::string> dns_opts;
    std::vector<std::string> dns_search;
    std::vector<std::string> host_gateway_ips;
    std::string swarm_default_advertise_addr;

    /// What the flags alone say, for a reload; none before daemon.json was read.
    std::shared_ptr<const Config> flags;
    /// Keys that stood in daemon.json.
    std::set<std::string> from_file;
    /// Long names of the flags on the command line.
    std::set<std::string> from_flags;
    std::set<std::string> from_defaults;  ///< those of them that stand in DOCKER_OPTS
};

/// A value of `exec_opts`, or nullopt. Throws: invalid_argument, "invalid exec-opt (x): ...".
std::optional<std::string> exec_opt(const Config& config, std::string_view name);

}  // namespace dockerd::app

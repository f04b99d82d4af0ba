#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/engine/images.hpp>
#include <dockerd/engine/types.hpp>
#include <dockerd/engine/volumes.hpp>

namespace dockerd::engine {

/// Source: API document, SystemVersion.
struct VersionInfo {
    std::string version;
    std::string git_commit;
    std::string go_version;  ///< clients show the field; ours names the compiler
    std::string os;
    std::string arch;  ///< Go's name: amd64, arm64
    std::string kernel_version;
    std::string build_time;
};

/// An OCI runtime as it is configured. Source: API document, Runtime.
struct RuntimeInfo {
    std::string path;
    std::vector<std::string> args;
    std::string type;
    std::string options;  ///< JSON, as given
};

/// What GET /info shows. Source: API document, SystemInfo.
struct SystemInfo {
    std::string id;
    std::int64_t containers = 0, running = 0, paused = 0, stopped = 0, images = 0;
    std::string driver;
    std::vector<std::pair<std::string, std::string>> driver_status;
    std::vector<std::string> volume_plugins, network_plugins, log_plugins, authorization_plugins;
    bool kernel_memory = false;      ///< cgroup v1 only
    bool kernel_memory_tcp = false;  ///< cgroup v1 only
    bool memory_limit = false, swap_limit = false, cpu_cfs_period = false, cpu_cfs_quota = false;
    bool cpu_shares = false, cpu_set = false, pids_limit = false, ipv4_forwarding = false;
    bool oom_kill_disable = false, debug = false, live_restore = false;
    std::int64_t fds = 0, goroutines = 0, event_listeners = 0;
    base::WallTime system_time;
    std::string logging_driver, cgroup_driver, cgroup_version;
    std::string kernel_version, operating_system, os_version, os_type, architecture;
    std::int64_t ncpu = 0, mem_total = 0;
    std::string docker_root_dir, http_proxy, https_proxy, no_proxy, name;
    std::vector<std::string> labels;
    std::string server_version;
    std::vector<std::string> insecure_registry_cidrs, insecure_registries, registry_mirrors;
    std::string init_binary;
    std::map<std::string, RuntimeInfo> runtimes;  ///< those beside the built-in one
    std::string default_runtime = "runc";
    std::vector<std::string> security_options, warnings, cdi_spec_dirs;
    std::vector<std::string> cdi_devices;  ///< "vendor.com/class=name"
    std::vector<std::pair<std::string, int>> default_address_pools;
    std::string firewall_driver;
};

/// Source: API document, SystemDataUsage.
struct DiskUsage {
    std::int64_t layers_size = 0;
    std::vector<ImageSummary> images;
    std::vector<ContainerSummary> containers;
    std::vector<Volume> volumes;
};

/// The daemon as a whole.
class SystemService {
public:
    virtual ~SystemService() = default;
    /// What this daemon is. From memory.
    virtual const VersionInfo& version() = 0;
    /// Gathers; may read /proc and /sys.
    virtual SystemInfo info() = 0;
    /// True on a host with cgroup v2 only. From memory.
    [[nodiscard]] virtual bool unified_cgroups() const = 0;
    virtual DiskUsage disk_usage() = 0;
};

}  // namespace dockerd::engine

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/engine/containers.hpp>
#include <dockerd/engine/system.hpp>
#include <dockerd/runtime/sysinfo.hpp>
#include <dockerd/store/layers.hpp>

#include "cdi/devices.hpp"
#include "containers/runtimes.hpp"
#include "metrics/exposition.hpp"

namespace dockerd::engine {

class Events;
class Images;
class Volumes;

/// An address the API is served on, for its warnings.
struct ApiAddress {
    std::string address;  ///< "0.0.0.0:2375"
    bool tls = false;
    bool tls_verify = false;
};

/// What `docker info` and `docker version` repeat of the daemon's settings.
struct SystemOptions {
    std::string id;  ///< the engine's own
    std::string data_root;
    std::string version = "28.2.2";
    std::string git_commit = "unknown";
    std::string build_time;
    std::string logging_driver = "json-file";
    std::string cgroup_driver = "cgroupfs";
    std::string cgroupns_mode;  ///< empty: private on cgroup v2, host on v1
    std::string seccomp_profile = "builtin";
    bool no_new_privileges = false;
    bool live_restore = false;
    bool debug = false;
    std::string init_binary = "docker-init";
    Runtimes runtimes;
    /// Empty: the environment's.
    std::string http_proxy, https_proxy, no_proxy;
    std::vector<std::string> labels;
    std::vector<std::string> insecure_registries;  ///< hosts and CIDRs as given
    std::vector<std::string> registry_mirrors;
    std::shared_ptr<cdi::Registry> cdi;  ///< null where it is switched off
    std::vector<std::string> log_drivers = {"json-file", "local"};
    std::vector<std::string> authorization_plugins;
    std::vector<std::string> network_drivers = {"bridge", "host", "ipvlan", "macvlan", "null"};
    std::vector<std::pair<std::string, int>> default_address_pools;
    std::string firewall_driver;
    std::vector<ApiAddress> tcp_addresses;
};

struct ContainerCounts {
    std::int64_t running = 0;
    std::int64_t paused = 0;
    std::int64_t stopped = 0;
};

/// What the answers are gathered from; all of it outlives the service.
struct SystemParts {
    ContainerService& containers;
    Images& images;
    Volumes& volumes;
    store::Layers& layers;
    Events& events;
    const runtime::SysInfo& sysinfo;
    /// Counts containers from memory. Without it they are listed and counted.
    std::function<ContainerCounts()> count_containers = {};
};

/// Facts about daemon and machine. What does not change is gathered once, at construction.
///
/// Source: moby daemon/info.go, info_unix.go.
/// Thread: any.
class System : public SystemService {
public:
    System(SystemOptions options, SystemParts parts);
    ~System() override;

    const VersionInfo& version() override { return version_; }
    SystemInfo info() override;
    [[nodiscard]] bool unified_cgroups() const override { return parts_.sysinfo.cgroup_unified; }
    /// Callers that come while one is at work get its result.
    DiskUsage disk_usage() override;

    /// What the metrics show beside what is counted. Cheap: nothing is measured.
    MetricsFacts metrics_facts();
    /// The engine's id, for its events.
    [[nodiscard]] const std::string& id() const { return fixed_.id; }
    /// Takes over what a reload of the configuration may change.
    void set_options(SystemOptions options);

private:
    struct Shared;
    [[nodiscard]] SystemInfo fixed_part() const;
    [[nodiscard]] std::vector<std::string> warnings() const;
    [[nodiscard]] std::vector<std::string> security_options() const;
    void fill_registries(SystemInfo& info) const;
    [[nodiscard]] ContainerCounts count_containers() const;
    DiskUsage measure();

    SystemOptions options_;
    SystemParts parts_;
    VersionInfo version_;
    SystemInfo fixed_;
    std::unique_ptr<Shared> shared_;
};

}  // namespace dockerd::engine

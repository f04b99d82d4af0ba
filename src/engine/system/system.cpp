#include "system/system.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <future>

#include <fmt/format.h>

#include <dockerd/base/mutex.hpp>
#include <dockerd/base/strings.hpp>

#include "events/events.hpp"
#include "images/images.hpp"
#include "metrics/metrics.hpp"
#include "system/host.hpp"
#include "cdi/devices.hpp"
#include "volumes/volumes.hpp"

namespace dockerd::engine {

namespace {

std::string setting_or_environment(const std::string& setting, const char* upper,
                                   const char* lower) {
    if (!setting.empty()) return setting;
    for (const char* const name : {upper, lower}) {
        const char* const value = std::getenv(name);
        if (value != nullptr && *value != '\0') return value;
    }
    return {};
}

/// Source: moby daemon/info.go, fillAPIInfo.
std::string access_warning(const ApiAddress& api) {
    constexpr std::string_view advice =
        "\n         Access to the remote API is equivalent to root access on the host. Refer\n"
        "         to the 'Docker daemon attack surface' section in the documentation for\n"
        "         more information: https://docs.docker.com/go/attack-surface/\n"
        "In future versions this will be a hard failure preventing the daemon from starting! "
        "Learn more at: https://docs.docker.com/go/api-security/";
    return fmt::format("[DEPRECATION NOTICE]: API is accessible on {}://{} without {}.{}",
                       api.tls ? "https" : "http", api.address,
                       api.tls ? "TLS client verification" : "encryption", advice);
}

struct Missing {
    bool present;
    std::string_view text;
};

}  // namespace

/// A measurement in progress that later callers join.
struct System::Shared {
    base::Mutex mutex;
    std::shared_future<DiskUsage> running;
};

System::System(SystemOptions options, SystemParts parts)
    : options_(std::move(options)), parts_(std::move(parts)), shared_(std::make_unique<Shared>()) {
    const HostFacts host = read_host_facts();
    version_.version = options_.version;
    version_.git_commit = options_.git_commit;
    version_.go_version = fmt::format("g++{}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    version_.os = "linux";
    version_.arch = go_architecture(host.architecture);
    version_.kernel_version = host.kernel_version;
    version_.build_time = options_.build_time;
    fixed_.id = options_.id;
    fixed_.kernel_version = host.kernel_version;
    fixed_.operating_system = host.operating_system;
    fixed_.os_version = host.os_version;
    fixed_.architecture = host.architecture;
    fixed_ = fixed_part();
}

System::~System() = default;

void System::set_options(SystemOptions options) {
    const base::Lock lock(shared_->mutex);
    options_ = std::move(options);
    fixed_ = fixed_part();
}

/// All that stays as it is until the next reload.
SystemInfo System::fixed_part() const {
    SystemInfo info = fixed_;
    const auto& sys = parts_.sysinfo;
    info.driver = "overlay2";
    info.network_plugins = options_.network_drivers;
    info.log_plugins = options_.log_drivers;
    info.authorization_plugins = options_.authorization_plugins;
    info.memory_limit = sys.memory_limit;
    info.swap_limit = sys.swap_limit;
    info.kernel_memory = sys.kernel_memory;
    info.kernel_memory_tcp = sys.kernel_memory_tcp;
    info.cpu_cfs_period = info.cpu_cfs_quota = sys.cpu_cfs;
    info.cpu_shares = sys.cpu_shares;
    info.cpu_set = sys.cpuset;
    info.pids_limit = sys.pids_limit;
    info.oom_kill_disable = sys.oom_kill_disable;
    info.ipv4_forwarding = !sys.ipv4_forwarding_disabled;
    info.debug = options_.debug;
    info.live_restore = options_.live_restore;
    info.logging_driver = options_.logging_driver;
    info.cgroup_driver = options_.cgroup_driver;
    info.cgroup_version = sys.cgroup_unified ? "2" : "1";
    info.os_type = "linux";
    info.ncpu = sys.num_cpu;
    info.docker_root_dir = options_.data_root;
    info.http_proxy =
        mask_credentials(setting_or_environment(options_.http_proxy, "HTTP_PROXY", "http_proxy"));
    info.https_proxy = mask_credentials(
        setting_or_environment(options_.https_proxy, "HTTPS_PROXY", "https_proxy"));
    info.no_proxy = setting_or_environment(options_.no_proxy, "NO_PROXY", "no_proxy");
    info.labels = options_.labels;
    info.server_version = options_.version;
    fill_registries(info);
    info.init_binary = options_.init_binary;
    info.runtimes = options_.runtimes.configured;
    info.default_runtime = options_.runtimes.default_name;
    info.security_options = security_options();
    info.warnings = warnings();
    if (options_.cdi) info.cdi_spec_dirs = options_.cdi->folders();
    info.default_address_pools = options_.default_address_pools;
    info.firewall_driver = options_.firewall_driver;
    return info;
}

/// Source: moby registry/config.go, loadInsecureRegistries.
void System::fill_registries(SystemInfo& info) const {
    info.insecure_registry_cidrs.clear();
    info.insecure_registries.clear();
    auto registries = options_.insecure_registries;
    registries.insert(registries.end(), {"::1/128", "127.0.0.0/8"});
    for (auto name : registries) {
        for (const std::string_view scheme : {"http://", "https://"}) {
            if (base::to_lower(name).starts_with(scheme)) name.erase(0, scheme.size());
        }
        const bool is_cidr = name.find('/') != std::string::npos;
        auto& list = is_cidr ? info.insecure_registry_cidrs : info.insecure_registries;
        if (std::ranges::find(list, name) == list.end()) list.push_back(name);
    }
    info.registry_mirrors = options_.registry_mirrors;
}

std::vector<std::string> System::security_options() const {
    const auto& sys = parts_.sysinfo;
    std::vector<std::string> options;
    if (sys.app_armor) options.emplace_back("name=apparmor");
    if (sys.seccomp) options.push_back("name=seccomp,profile=" + options_.seccomp_profile);
    const bool private_cgroups =
        options_.cgroupns_mode.empty() ? sys.cgroup_unified : options_.cgroupns_mode == "private";
    if (sys.cgroup_namespaces && private_cgroups) options.emplace_back("name=cgroupns");
    if (options_.no_new_privileges) options.emplace_back("name=no-new-privileges");
    return options;
}

/// In the order Docker gathers them. Source: moby daemon/info.go, info_unix.go.
std::vector<std::string> System::warnings() const {
    std::vector<std::string> found;
    for (const auto& api : options_.tcp_addresses) {
        if (!api.tls || !api.tls_verify) found.push_back(access_warning(api));
    }
    const auto& sys = parts_.sysinfo;
    const auto check = [&](std::initializer_list<Missing> list) {
        for (const auto& [present, text] : list) {
            if (!present) found.push_back("WARNING: " + std::string(text));
        }
    };
    const bool v2 = sys.cgroup_unified;
    check({{sys.memory_limit, "No memory limit support"},
           {sys.swap_limit, "No swap limit support"},
           {sys.kernel_memory_tcp || v2, "No kernel memory TCP limit support"},
           {sys.oom_kill_disable || v2, "No oom kill disable support"},
           {sys.cpu_cfs, "No cpu cfs quota support"},
           {sys.cpu_cfs, "No cpu cfs period support"},
           {sys.cpu_shares, "No cpu shares support"},
           {sys.cpuset, "No cpuset support"},
           {sys.blkio_weight || !v2, "No io.weight support"},
           {sys.blkio_weight_device || !v2, "No io.weight (per device) support"},
           {sys.blkio_read_bps_device,
            v2 ? "No io.max (rbps) support" : "No blkio throttle.read_bps_device support"},
           {sys.blkio_write_bps_device,
            v2 ? "No io.max (wbps) support" : "No blkio throttle.write_bps_device support"},
           {sys.blkio_read_iops_device,
            v2 ? "No io.max (riops) support" : "No blkio throttle.read_iops_device support"},
           {sys.blkio_write_iops_device,
            v2 ? "No io.max (wiops) support" : "No blkio throttle.write_iops_device support"},
           {!sys.ipv4_forwarding_disabled, "IPv4 forwarding is disabled"}});
    const char* const no_raw = std::getenv("DOCKER_INSECURE_NO_IPTABLES_RAW");
    if (no_raw != nullptr && std::string_view(no_raw) == "1") {
        found.emplace_back("WARNING: DOCKER_INSECURE_NO_IPTABLES_RAW is set");
    }
    const auto& profile = options_.seccomp_profile;
    if (sys.seccomp && profile != "builtin") {
        found.emplace_back("WARNING: daemon is not using the default seccomp profile");
    }
    return found;
}

ContainerCounts System::count_containers() const {
    if (parts_.count_containers) return parts_.count_containers();
    ContainerCounts counts;
    ListOptions all;
    all.all = true;
    for (const auto& summary : parts_.containers.list(all)) {
        const auto& state = summary.container->state;
        ++(state.paused ? counts.paused : state.running ? counts.running : counts.stopped);
    }
    return counts;
}

// Source: moby daemon/cdi.go, listDevices and newCDIDeviceDriver.
static void add_devices(cdi::Registry& registry, SystemInfo& info) {
    try {
        const auto devices = registry.current();
        info.cdi_devices = devices->names();
        info.warnings.insert(info.warnings.end(), devices->warnings().begin(),
                             devices->warnings().end());
    } catch (const base::Error& error) {
        info.warnings.push_back(std::string("CDI cache initialization failed: ") + error.what());
    }
}

SystemInfo System::info() {
    const base::ScopeTimer timer(metrics().host_info_functions["system_info"]);
    SystemInfo info;
    std::shared_ptr<cdi::Registry> cdi;
    {
        const base::Lock lock(shared_->mutex);
        info = fixed_;
        cdi = options_.cdi;
    }
    const auto counts = count_containers();
    info.running = counts.running;
    info.paused = counts.paused;
    info.stopped = counts.stopped;
    info.containers = counts.running + counts.paused + counts.stopped;
    info.images = static_cast<std::int64_t>(parts_.images.count());
    info.driver_status = parts_.layers.status();
    info.volume_plugins = parts_.volumes.drivers();
    if (cdi) add_devices(*cdi, info);
    info.mem_total = total_memory();
    info.name = host_name();
    info.system_time = base::WallTime::now();
    info.fds = open_descriptors();
    info.goroutines = thread_count();
    info.event_listeners = static_cast<std::int64_t>(parts_.events.listeners());
    return info;
}

// Source: moby daemon/daemon.go, NewDaemon.
MetricsFacts System::metrics_facts() {
    MetricsFacts facts;
    {
        const base::Lock lock(shared_->mutex);
        facts.engine = {{"architecture", fixed_.architecture},
                        {"commit", version_.git_commit},
                        {"daemon_id", fixed_.id},
                        {"graphdriver", fixed_.driver},
                        {"kernel", fixed_.kernel_version},
                        {"os", fixed_.operating_system},
                        {"os_type", fixed_.os_type},
                        {"os_version", fixed_.os_version},
                        {"version", version_.version}};
        facts.cpus = fixed_.ncpu;
    }
    const auto counts = count_containers();
    facts.running = counts.running;
    facts.paused = counts.paused;
    facts.stopped = counts.stopped;
    facts.memory = total_memory();
    facts.event_subscribers = static_cast<std::int64_t>(parts_.events.listeners());
    facts.process_threads = thread_count();
    return facts;
}

DiskUsage System::measure() {
    DiskUsage usage;
    usage.layers_size = parts_.images.layers_size();
    usage.images = parts_.images.disk_usage();
    ListOptions all;
    all.all = true;
    all.size = true;
    usage.containers = parts_.containers.list(all);
    usage.volumes = parts_.volumes.disk_usage();
    return usage;
}

DiskUsage System::disk_usage() {
    std::promise<DiskUsage> own;
    std::shared_future<DiskUsage> others;
    {
        const base::Lock lock(shared_->mutex);
        others = shared_->running;
        if (!others.valid()) shared_->running = own.get_future().share();
    }
    if (others.valid()) return others.get();
    const auto finish = [&] {
        const base::Lock lock(shared_->mutex);
        shared_->running = {};
    };
    try {
        auto usage = measure();
        own.set_value(usage);
        finish();
        return usage;
    } catch (...) {
        own.set_exception(std::current_exception());
        finish();
        throw;
    }
}

}  // namespace dockerd::engine

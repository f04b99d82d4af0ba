#include <dockerd/runtime/verify.hpp>

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/cgroup.hpp>

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;
using Warnings = std::vector<std::string>;

namespace {

/// Room for a start's own overhead. Source: moby daemon/daemon_unix.go, linuxMinMemory.
constexpr std::int64_t minimum_memory = 6291456;

template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
    throw Error(ErrorKind::invalid_argument, fmt::format(text, std::forward<Args>(args)...));
}

// The texts in this file are moby's, word for word: scripts match on them.

void verify_memory(model::Resources& limits, const SysInfo& sysinfo, bool update,
                   Warnings& warnings) {
    if (limits.memory_swappiness == -1) limits.memory_swappiness.reset();
    if (limits.memory != 0 && limits.memory < minimum_memory) {
        refuse("Minimum memory limit allowed is 6MB");
    }
    if (limits.memory > 0 && !sysinfo.memory_limit) {
        warnings.emplace_back(
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
            "Limitation discarded.");
        limits.memory = 0;
        limits.memory_swap = -1;
    }
    if (limits.memory > 0 && limits.memory_swap != -1 && !sysinfo.swap_limit) {
        warnings.emplace_back(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap.");
        limits.memory_swap = -1;
    }
    if (limits.memory > 0 && limits.memory_swap > 0 && limits.memory_swap < limits.memory) {
        refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if (limits.memory == 0 && limits.memory_swap > 0 && !update) {
        refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if (limits.memory_swappiness && !sysinfo.memory_swappiness) {
        warnings.emplace_back(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not "
            "mounted. Memory swappiness discarded.");
        limits.memory_swappiness.reset();
    }
    if (limits.memory_swappiness &&
        (*limits.memory_swappiness < 0 || *limits.memory_swappiness > 100)) {
        refuse("Invalid value: {}, valid memory swappiness range is 0-100",
               *limits.memory_swappiness);
    }
}

void verify_reservation(model::Resources& limits, const SysInfo& sysinfo, Warnings& warnings) {
    if (limits.memory_reservation > 0 && !sysinfo.memory_reservation) {
        warnings.emplace_back(
            "Your kernel does not support memory soft limit capabilities or the cgroup is not "
            "mounted. Limitation discarded.");
        limits.memory_reservation = 0;
    }
    if (limits.memory_reservation > 0 && limits.memory_reservation < minimum_memory) {
        refuse("Minimum memory reservation allowed is 6MB");
    }
    if (limits.memory > 0 && limits.memory_reservation > 0 &&
        limits.memory < limits.memory_reservation) {
        refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    if (limits.kernel_memory > 0 && !sysinfo.kernel_memory) {
        warnings.emplace_back(
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not "
            "mounted. Limitation discarded.");
        limits.kernel_memory = 0;
    }
    if (limits.kernel_memory > 0 && limits.kernel_memory < minimum_memory) {
        refuse("Minimum kernel memory limit allowed is 6MB");
    }
}

void verify_oom_and_pids(model::Resources& limits, const SysInfo& sysinfo, Warnings& warnings) {
    if (limits.oom_kill_disable && !sysinfo.oom_kill_disable) {
        if (*limits.oom_kill_disable) {
            warnings.emplace_back(
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.");
        }
        limits.oom_kill_disable.reset();
    }
    if (limits.oom_kill_disable.value_or(false) && limits.memory == 0) {
        warnings.emplace_back(
            "OOM killer is disabled for the container, but no memory limit is set, this can result "
            "in the system running out of resources.");
    }
    if (limits.pids_limit && !sysinfo.pids_limit) {
        if (*limits.pids_limit > 0) {
            warnings.emplace_back(
                "Your kernel does not support PIDs limit capabilities or the cgroup is not "
                "mounted. PIDs limit discarded.");
        }
        limits.pids_limit.reset();
    }
}

void verify_cpu(model::Resources& limits, const SysInfo& sysinfo, Warnings& warnings) {
    if (limits.nano_cpus > 0 && limits.cpu_period > 0) {
        refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if (limits.nano_cpus > 0 && limits.cpu_quota > 0) {
        refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    if (limits.nano_cpus > 0 && !sysinfo.cpu_cfs) {
        refuse(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the "
            "cgroup is not mounted");
    }
    const std::int64_t cpus = sysinfo.num_cpu;
    if (limits.nano_cpus < 0 || limits.nano_cpus > cpus * 1'000'000'000) {
        refuse("range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available", cpus);
    }
    if (limits.cpu_shares > 0 && !sysinfo.cpu_shares) {
        warnings.emplace_back(
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares "
            "discarded.");
        limits.cpu_shares = 0;
    }
    if ((limits.cpu_period != 0 || limits.cpu_quota != 0) && !sysinfo.cpu_cfs) {
        warnings.emplace_back(
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
        limits.cpu_period = 0;
        limits.cpu_quota = 0;
    }
    if (limits.cpu_period != 0 && (limits.cpu_period < 1000 || limits.cpu_period > 1000000)) {
        refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if (limits.cpu_quota > 0 && limits.cpu_quota < 1000) {
        refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if (limits.cpu_percent > 0) {
        warnings.emplace_back("linux does not support CPU percent. Percent discarded.");
        limits.cpu_percent = 0;
    }
}

bool is_available(const std::string& requested, const std::set<int>& available,
                  std::string_view what) {
    return base::in_context(fmt::format("Invalid value {} for cpuset {}", requested, what),
                            [&] { return is_cpu_list_available(requested, available); });
}

void verify_cpuset(model::Resources& limits, const SysInfo& sysinfo, Warnings& warnings) {
    if ((!limits.cpuset_cpus.empty() || !limits.cpuset_mems.empty()) && !sysinfo.cpuset) {
        warnings.emplace_back(
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.");
        limits.cpuset_cpus.clear();
        limits.cpuset_mems.clear();
    }
    if (!is_available(limits.cpuset_cpus, sysinfo.cpu_set, "cpus")) {
        refuse("Requested CPUs are not available - requested {}, available: {}", limits.cpuset_cpus,
               sysinfo.cpus);
    }
    if (!is_available(limits.cpuset_mems, sysinfo.mem_set, "mems")) {
        refuse("Requested memory nodes are not available - requested {}, available: {}",
               limits.cpuset_mems, sysinfo.mems);
    }
}

template <typename T>
void discard(model::List<T>& list, bool supported, std::string_view warning, Warnings& warnings) {
    if (list.empty() || supported) return;
    warnings.emplace_back(warning);
    list = model::List<T>(std::vector<T>{});
}

void verify_blkio(model::Resources& limits, const SysInfo& sysinfo, Warnings& warnings) {
    if (limits.blkio_weight > 0 && !sysinfo.blkio_weight) {
        warnings.emplace_back(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight "
            "discarded.");
        limits.blkio_weight = 0;
    }
    if (limits.blkio_weight > 0 && (limits.blkio_weight < 10 || limits.blkio_weight > 1000)) {
        refuse("Range of blkio weight is from 10 to 1000");
    }
    if (limits.io_maximum_bandwidth != 0 || limits.io_maximum_iops != 0) {
        refuse(
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
    }
    discard(limits.blkio_weight_device, sysinfo.blkio_weight_device,
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
            "Weight-device discarded.",
            warnings);
    discard(limits.blkio_device_read_bps, sysinfo.blkio_read_bps_device,
            "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. "
            "Block I/O BPS read limit discarded.",
            warnings);
    discard(limits.blkio_device_write_bps, sysinfo.blkio_write_bps_device,
            "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. "
            "Block I/O BPS write limit discarded.",
            warnings);
    discard(limits.blkio_device_read_iops, sysinfo.blkio_read_iops_device,
            "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. "
            "Block I/O IOPS read limit discarded.",
            warnings);
    discard(limits.blkio_device_write_iops, sysinfo.blkio_write_iops_device,
            "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. "
            "Block I/O IOPS write limit discarded.",
            warnings);
}

void verify_modes(const model::HostConfig& host) {
    const std::string_view ipc = host.ipc_mode;
    const bool ipc_valid = ipc.empty() || ipc == "none" || ipc == "private" || ipc == "host" ||
                           ipc == "shareable" || model::is_container_mode(ipc);
    if (!ipc_valid) refuse("invalid IPC mode: {}", ipc);
    const std::string_view pid = host.pid_mode;
    if (!pid.empty() && pid != "host" && joined_container(pid).empty()) {
        refuse("invalid PID mode: {}", pid);
    }
    if (host.shm_size < 0) refuse("SHM size can not be less than 0");
    if (!host.uts_mode.empty() && host.uts_mode != "host") {
        refuse("invalid UTS mode: {}", host.uts_mode);
    }
    if (host.oom_score_adj < -1000 || host.oom_score_adj > 1000) {
        refuse("Invalid value {}, range for oom score adj is [-1000, 1000]", host.oom_score_adj);
    }
}

void verify_user_namespace(const model::HostConfig& host, const VerifyOptions& options) {
    if (!options.remapped_root || host.userns_mode == "host") return;
    if (host.privileged) {
        refuse(
            "privileged mode is incompatible with user namespaces.  You must run the container in "
            "the host namespace when running privileged mode");
    }
    if (host.network_mode == "host") {
        refuse("cannot share the host's network namespace when user namespaces are enabled");
    }
    if (host.pid_mode == "host") {
        refuse("cannot share the host PID namespace when user namespaces are enabled");
    }
}

void verify_tmpfs_destination(std::string path) {
    std::ranges::replace(path, '\\', '/');
    // A path of slashes, "." and leading ".." only is the root.
    int depth = 0;
    for (const std::string& part : base::split(path, '/')) {
        if (part.empty() || part == ".") continue;
        depth = part == ".." ? std::max(depth - 1, 0) : depth + 1;
    }
    if (path.starts_with('/') && depth == 0) {
        refuse("invalid specification: destination can't be '/'");
    }
    if (!path.starts_with('/')) {
        refuse("invalid mount path: '{}' mount path must be absolute", path);
    }
}

}  // namespace

std::vector<std::string> verify_resources(model::Resources& resources, const SysInfo& sysinfo,
                                          bool update) {
    Warnings warnings;
    verify_memory(resources, sysinfo, update, warnings);
    verify_reservation(resources, sysinfo, warnings);
    verify_oom_and_pids(resources, sysinfo, warnings);
    verify_cpu(resources, sysinfo, warnings);
    verify_cpuset(resources, sysinfo, warnings);
    verify_blkio(resources, sysinfo, warnings);
    return warnings;
}

std::vector<std::string> verify_host_config(model::HostConfig& host, const SysInfo& sysinfo,
                                            const VerifyOptions& options) {
    Warnings warnings = verify_resources(host.resources, sysinfo, options.update);
    verify_modes(host);
    const bool host_network = host.network_mode == "host";
    if (sysinfo.ipv4_forwarding_disabled && !host_network && host.network_mode != "none") {
        warnings.emplace_back("IPv4 forwarding is disabled. Networking will not work.");
    }
    if (host_network && !host.port_bindings.empty()) {
        warnings.emplace_back("Published ports are discarded when using host network mode");
    }
    verify_user_namespace(host, options);
    const std::string& parent = host.resources.cgroup_parent;
    if (!parent.empty() && options.systemd_driver && !is_slice_name(parent)) refuse(not_a_slice);
    for (const auto& [destination, unused] : host.tmpfs) verify_tmpfs_destination(destination);
    const std::string& cgroupns = host.cgroupns_mode;
    if (!cgroupns.empty() && cgroupns != "private" && cgroupns != "host") {
        refuse("invalid cgroup namespace mode: {}", cgroupns);
    }
    if (cgroupns == "private" && !sysinfo.cgroup_namespaces) {
        warnings.emplace_back(
            "Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.");
    }
    return warnings;
}

void adapt_host_config(model::HostConfig& host, const SysInfo& sysinfo,
                       const HostConfigDefaults& defaults) {
    model::Resources& limits = host.resources;
    if (limits.memory > 0 && limits.memory_swap == 0) limits.memory_swap = limits.memory * 2;
    if (host.shm_size == 0) host.shm_size = defaults.shm_size;
    if (host.ipc_mode.empty()) host.ipc_mode = defaults.ipc_mode;
    if (host.cgroupns_mode.empty()) {
        const bool unified = sysinfo.cgroup_unified;
        if (host.privileged && !unified) {
            host.cgroupns_mode = "host";
        } else if (!defaults.cgroupns_mode.empty()) {
            host.cgroupns_mode = defaults.cgroupns_mode;
        } else {
            host.cgroupns_mode = unified ? "private" : "host";
        }
    }
    if (!limits.oom_kill_disable) limits.oom_kill_disable = false;
}

}  // namespace dockerd::runtime

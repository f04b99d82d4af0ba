#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::runtime {

class CgroupHost;

/// Which of Docker's knobs this kernel has. Source: moby pkg/sysinfo.
struct SysInfo {
    bool app_armor = false;
    bool seccomp = false;

    bool memory_limit = false;
    bool swap_limit = false;
    bool memory_reservation = false;
    bool oom_kill_disable = false;
    bool memory_swappiness = false;
    bool kernel_memory = false;
    bool kernel_memory_tcp = false;

    bool cpu_shares = false;
    bool cpu_cfs = false;
    bool cpu_realtime = false;

    bool blkio_weight = false;
    bool blkio_weight_device = false;
    bool blkio_read_bps_device = false;
    bool blkio_write_bps_device = false;
    bool blkio_read_iops_device = false;
    bool blkio_write_iops_device = false;

    bool cpuset = false;
    std::string cpus;  ///< as the kernel prints it, "0-1"
    std::string mems;
    std::set<int> cpu_set;
    std::set<int> mem_set;

    bool pids_limit = false;
    bool cgroup_devices = false;
    bool cgroup_namespaces = false;
    bool cgroup_unified = false;  ///< cgroup v2
    bool ipv4_forwarding_disabled = false;

    /// CPUs this process may use: Go's runtime.NumCPU, which --cpus is checked against.
    int num_cpu = 1;

    /// What was missing, for the daemon's log.
    std::vector<std::string> warnings;
};

/// Looks at this machine through the hierarchies of `cgroups`.
SysInfo read_sysinfo(const CgroupHost& cgroups);

/// Parses "0-2,7,9". Numbers above `maximum` are refused before anything is allocated (0: no
/// maximum, for texts of the kernel).
///
/// Throws: invalid_argument, "invalid format: <text>", "value of out range, maximum is <n>".
/// Source: moby pkg/sysinfo/sysinfo_linux.go, parseUintList (CVE-2018-20699).
std::set<int> parse_cpu_list(std::string_view text, int maximum);

/// Whether every number of `requested` is in `available`. Throws: as parse_cpu_list.
/// Source: moby pkg/sysinfo/sysinfo_linux.go, isCpusetListAvailable.
bool is_cpu_list_available(std::string_view requested, const std::set<int>& available);

}  // namespace dockerd::runtime

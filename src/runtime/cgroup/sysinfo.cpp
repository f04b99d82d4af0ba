#include <dockerd/runtime/sysinfo.hpp>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/seccomp.hpp>

#include "files.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;
using base::Error;
using base::ErrorKind;

namespace {

/// The greatest number of CPUs accepted where the machine has fewer.
/// Source: moby pkg/sysinfo/sysinfo_linux.go, defaultMaxCPUs.
constexpr int default_max_cpus = 8192;

/// Looks for one knob and notes what is missing. An empty `warning` keeps silent.
struct Knob {
    bool SysInfo::*field;
    const char* file;
    const char* warning;
};

void check_knobs(SysInfo& info, const std::string& folder, std::initializer_list<Knob> knobs) {
    for (const Knob& knob : knobs) {
        info.*knob.field = files::exists(AT_FDCWD, folder + "/" + knob.file);
        if (!(info.*knob.field) && *knob.warning) info.warnings.emplace_back(knob.warning);
    }
}

/// What v1's memory, cpu and blkio offer. The texts are moby's.
void read_v1_knobs(SysInfo& info, const CgroupHost& cgroups) {
    const std::string memory = cgroups.controller_path("memory");
    info.memory_limit = !memory.empty();
    if (memory.empty()) {
        info.warnings.emplace_back("Your kernel does not support cgroup memory limit");
    } else {
        check_knobs(info, memory,
                    {{&SysInfo::swap_limit, "memory.memsw.limit_in_bytes",
                      "Your kernel does not support swap memory limit"},
                     {&SysInfo::memory_reservation, "memory.soft_limit_in_bytes",
                      "Your kernel does not support memory reservation"},
                     {&SysInfo::oom_kill_disable, "memory.oom_control",
                      "Your kernel does not support oom control"},
                     {&SysInfo::memory_swappiness, "memory.swappiness",
                      "Your kernel does not support memory swappiness"},
                     {&SysInfo::kernel_memory, "memory.kmem.limit_in_bytes", ""},
                     {&SysInfo::kernel_memory_tcp, "memory.kmem.tcp.limit_in_bytes", ""}});
    }
    const std::string cpu = cgroups.controller_path("cpu");
    if (cpu.empty()) {
        info.warnings.emplace_back("Unable to find cpu cgroup in mounts");
    } else {
        check_knobs(
            info, cpu,
            {{&SysInfo::cpu_shares, "cpu.shares", "Your kernel does not support CPU shares"},
             {&SysInfo::cpu_cfs, "cpu.cfs_quota_us",
              "Your kernel does not support CPU CFS scheduler"},
             {&SysInfo::cpu_realtime, "cpu.rt_period_us",
              "Your kernel does not support CPU realtime scheduler"}});
    }
    const std::string blkio = cgroups.controller_path("blkio");
    if (blkio.empty()) {
        info.warnings.emplace_back("Unable to find blkio cgroup in mounts");
        return;
    }
    check_knobs(info, blkio,
                {{&SysInfo::blkio_weight, "blkio.weight",
                  "Your kernel does not support cgroup blkio weight"},
                 {&SysInfo::blkio_weight_device, "blkio.weight_device",
                  "Your kernel does not support cgroup blkio weight_device"},
                 {&SysInfo::blkio_read_bps_device, "blkio.throttle.read_bps_device",
                  "Your kernel does not support cgroup blkio throttle.read_bps_device"},
                 {&SysInfo::blkio_write_bps_device, "blkio.throttle.write_bps_device",
                  "Your kernel does not support cgroup blkio throttle.write_bps_device"},
                 {&SysInfo::blkio_read_iops_device, "blkio.throttle.read_iops_device",
                  "Your kernel does not support cgroup blkio throttle.read_iops_device"},
                 {&SysInfo::blkio_write_iops_device, "blkio.throttle.write_iops_device",
                  "Your kernel does not support cgroup blkio throttle.write_iops_device"}});
}

void read_cpuset(SysInfo& info, const std::string& folder, std::string_view suffix) {
    info.cpuset = true;
    const auto list = [&](std::string_view name) {
        const std::string text =
            files::read_text(AT_FDCWD, fmt::format("{}/{}{}", folder, name, suffix));
        return std::string(base::trim(text));
    };
    info.cpus = list("cpuset.cpus");
    info.mems = list("cpuset.mems");
    try {
        info.cpu_set = parse_cpu_list(info.cpus, 0);
        info.mem_set = parse_cpu_list(info.mems, 0);
    } catch (const Error& error) {
        info.warnings.push_back(fmt::format("Unable to parse cpuset cpus: {}", error.what()));
    }
}

void read_v1(SysInfo& info, const CgroupHost& cgroups) {
    read_v1_knobs(info, cgroups);
    const std::string cpuset = cgroups.controller_path("cpuset");
    if (cpuset.empty()) {
        info.warnings.emplace_back("Unable to find cpuset cgroup in mounts");
    } else {
        read_cpuset(info, cpuset, "");
    }
    info.pids_limit = !cgroups.controller_path("pids").empty();
    if (!info.pids_limit) info.warnings.emplace_back("Unable to find pids cgroup in mounts");
    info.cgroup_devices = !cgroups.controller_path("devices").empty();
}

bool swap_limit_v2(const std::string& mount) {
    const std::string text = files::read_text(AT_FDCWD, "/proc/self/cgroup");
    for (const auto line : files::fields(text, "\n")) {
        if (!line.starts_with("0::")) continue;
        return files::exists(AT_FDCWD, fmt::format("{}{}/memory.swap.max", mount, line.substr(3)));
    }
    return false;
}

void read_v2(SysInfo& info, const CgroupHost& cgroups) {
    const auto controllers = cgroups.controllers();
    const std::string mount = cgroups.controller_path("");
    const auto has = [&](std::string_view name) {
        const bool found = std::ranges::find(controllers, name) != controllers.end();
        if (!found) info.warnings.push_back(fmt::format("Unable to find {} controller", name));
        return found;
    };
    if (has("memory")) {
        info.memory_limit = info.memory_reservation = true;
        info.swap_limit = swap_limit_v2(mount);
    }
    if (has("cpu")) info.cpu_shares = info.cpu_cfs = true;
    if (has("io")) {
        info.blkio_weight = info.blkio_weight_device = true;
        info.blkio_read_bps_device = info.blkio_write_bps_device = true;
        info.blkio_read_iops_device = info.blkio_write_iops_device = true;
    }
    if (has("cpuset")) read_cpuset(info, mount, ".effective");
    info.pids_limit = has("pids");
    info.cgroup_devices = true;
}

int usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
    return std::max(static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)), 1);
}

}  // namespace

SysInfo read_sysinfo(const CgroupHost& cgroups) {
    SysInfo info;
    const std::string forward = files::read_text(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward");
    info.ipv4_forwarding_disabled = base::trim(forward) != "1";
    info.app_armor = files::read(AT_FDCWD, "/sys/kernel/security/apparmor/profiles").has_value();
    info.seccomp = seccomp_supported();
    info.cgroup_namespaces = files::exists(AT_FDCWD, "/proc/self/ns/cgroup");
    info.num_cpu = usable_cpus();
    info.cgroup_unified = cgroups.version() == CgroupVersion::v2;
    if (info.cgroup_unified) {
        read_v2(info, cgroups);
    } else {
        read_v1(info, cgroups);
    }
    return info;
}

namespace {

struct CpuRange {
    int first = 0;
    int last = 0;
};

/// The ranges of "0-3,7", as they stand there: a short text may name very many numbers.
std::vector<CpuRange> parse_cpu_ranges(std::string_view text, int maximum) {
    std::vector<CpuRange> ranges;
    if (text.empty()) return ranges;
    const auto parse = [&](std::string_view part) {
        const auto number = base::parse_int(part);
        if (!number) {
            throw Error(ErrorKind::invalid_argument, fmt::format("invalid format: {}", text));
        }
        return static_cast<int>(std::clamp<std::int64_t>(*number, -0x7fffffff, 0x7fffffff));
    };
    for (const std::string& part : base::split(text, ',')) {
        const std::size_t dash = part.find('-');
        CpuRange range;
        range.first = parse(std::string_view(part).substr(0, dash));
        range.last = dash == std::string::npos ? range.first
                                               : parse(std::string_view(part).substr(dash + 1));
        if (range.last < range.first) {
            throw Error(ErrorKind::invalid_argument, fmt::format("invalid format: {}", text));
        }
        if (maximum != 0 && range.last > maximum) {
            throw Error(ErrorKind::invalid_argument,
                        fmt::format("value of out range, maximum is {}", maximum));
        }
        ranges.push_back(range);
    }
    return ranges;
}

}  // namespace

std::set<int> parse_cpu_list(std::string_view text, int maximum) {
    std::set<int> numbers;
    for (const CpuRange& range : parse_cpu_ranges(text, maximum)) {
        for (int number = range.first; number <= range.last; ++number) numbers.insert(number);
    }
    return numbers;
}

bool is_cpu_list_available(std::string_view requested, const std::set<int>& available) {
    const int maximum =
        available.empty() ? default_max_cpus : std::max(default_max_cpus, *available.rbegin());
    // CVE-2018-20699: not longer than up to the first number that is missing.
    return std::ranges::all_of(parse_cpu_ranges(requested, maximum), [&](const CpuRange& range) {
        for (int number = range.first; number <= range.last; ++number) {
            if (!available.contains(number)) return false;
        }
        return true;
    });
}

}  // namespace dockerd::runtime

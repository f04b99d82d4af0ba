#include <cerrno>
#include <limits>
#include <string>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/cgroup.hpp>

#include "devices.hpp"
#include "files.hpp"
#include "impl.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;
using base::Error;
using base::ErrorKind;

std::uint64_t cpu_weight_of_shares(std::uint64_t shares) {
    if (shares == 0) return 0;
    if (shares <= 2) return 1;
    if (shares >= 262144) return 10000;
    return 1 + ((shares - 2) * 9999) / 262142;
}

std::uint64_t io_weight_of_blkio(std::uint16_t weight) {
    if (weight < 10) return weight == 0 ? 0 : 1;
    return 1 + (static_cast<std::uint64_t>(weight) - 10) * 9999 / 990;
}

void inherit_cpuset(const CgroupDirectory& directory, const CgroupLimits& limits) {
    for (const auto& [file, wanted] : {std::pair{"cpuset.cpus", &limits.cpuset_cpus},
                                       std::pair{"cpuset.mems", &limits.cpuset_mems}}) {
        // Up to the first ancestor with a value (the root has one), then down again: a child's
        // set must lie within its parent's.
        std::vector<std::string> without;
        std::string value;
        for (std::string path = directory.path; value.empty() && !path.empty();) {
            const std::size_t slash = path.rfind('/');
            path.resize(slash == std::string::npos ? 0 : slash);
            const std::string text = files::read_text(
                directory.root(), path.empty() ? std::string(file) : path + "/" + file);
            value = base::trim(text);
            if (value.empty() && !path.empty()) without.push_back(path);
        }
        for (auto path = without.rbegin(); path != without.rend(); ++path) {
            const CgroupDirectory ancestor{.hierarchy = directory.hierarchy, .path = *path};
            ancestor.write(file, value);
        }
        directory.write(file, wanted->empty() ? value : *wanted);
    }
}

namespace {

std::string number_or_max(std::int64_t value) { return value < 0 ? "max" : std::to_string(value); }

void set_memory_limit_v1(const CgroupDirectory& memory, std::int64_t value) {
    if (value == 0) return;
    const std::string text = std::to_string(value);
    const int error = files::write(memory.root(), memory.file("memory.limit_in_bytes"), text);
    if (error == 0) return;
    if (error != EBUSY) memory.fail_write(error, "memory.limit_in_bytes", text);
    const auto usage = files::read_number(memory.root(), memory.file("memory.usage_in_bytes"));
    const auto peak = files::read_number(memory.root(), memory.file("memory.max_usage_in_bytes"));
    // Source: runc libcontainer/cgroups/fs/memory.go, setMemory.
    throw Error(ErrorKind::internal,
                fmt::format("unable to set memory limit to {} (current usage: {}, peak usage: {})",
                            value, usage.value_or(0), peak.value_or(0)));
}

void set_memory_v1(const CgroupDirectory& memory, const CgroupLimits& limits) {
    constexpr std::string_view swap_file = "memory.memsw.limit_in_bytes";
    std::int64_t swap = limits.memory_swap;
    if (limits.memory == -1 && swap == 0 && files::exists(memory.root(), memory.file(swap_file))) {
        swap = -1;  // no memory limit and swap not mentioned: both go
    }
    const auto set_swap = [&] {
        if (swap == 0) return;
        const std::string text = std::to_string(swap);
        const int error = files::write(memory.root(), memory.file(swap_file), text);
        // Without swap accounting there is no limit to lift.
        if (error != 0 && !(error == ENOENT && swap == -1)) {
            memory.fail_write(error, swap_file, text);
        }
    };
    bool swap_first = false;
    if (limits.memory != 0 && swap != 0) {
        // The kernel keeps memory <= memory plus swap at every step, so a growing pair is
        // written swap first.
        const auto now =
            files::read_number(memory.root(), memory.file("memory.limit_in_bytes")).value_or(0);
        swap_first = swap == -1 || now < static_cast<std::uint64_t>(swap);
    }
    if (swap_first) set_swap();
    set_memory_limit_v1(memory, limits.memory);
    if (!swap_first) set_swap();

    if (limits.memory_reservation != 0) {
        memory.write("memory.soft_limit_in_bytes", std::to_string(limits.memory_reservation));
    }
    if (limits.oom_kill_disable) memory.write("memory.oom_control", "1");
    if (limits.memory_swappiness) {
        memory.write("memory.swappiness", std::to_string(*limits.memory_swappiness));
    }
}

/// Writes period and quota; a period the kernel refuses beside the old quota is tried again after
/// the new quota. Source: runc libcontainer/cgroups/fs/cpu.go, Set and SetRtSched.
void set_period_and_quota(const CgroupDirectory& cpu, std::string_view period_file,
                          std::uint64_t period, std::string_view quota_file, std::int64_t quota) {
    bool retry = false;
    if (period != 0) {
        const std::string text = std::to_string(period);
        const int error = files::write(cpu.root(), cpu.file(period_file), text);
        retry = error == EINVAL && quota != 0;
        if (error != 0 && !retry) cpu.fail_write(error, period_file, text);
    }
    if (quota != 0) cpu.write(quota_file, std::to_string(quota));
    if (retry) cpu.write(period_file, std::to_string(period));
}

void set_cpu_v1(const CgroupDirectory& cpu, const CgroupLimits& limits) {
    if (limits.cpu_shares != 0) {
        cpu.write("cpu.shares", std::to_string(limits.cpu_shares));
        const auto now = files::read_number(cpu.root(), cpu.file("cpu.shares"));
        if (now && *now != limits.cpu_shares) {
            // Source: runc libcontainer/cgroups/fs/cpu.go, Set.
            throw Error(ErrorKind::internal,
                        fmt::format("the {} allowed cpu-shares is {}",
                                    limits.cpu_shares > *now ? "maximum" : "minimum", *now));
        }
    }
    set_period_and_quota(cpu, "cpu.cfs_period_us", limits.cpu_period, "cpu.cfs_quota_us",
                         limits.cpu_quota);
    set_period_and_quota(cpu, "cpu.rt_period_us", limits.cpu_rt_period, "cpu.rt_runtime_us",
                         limits.cpu_rt_runtime);
}

void set_blkio_v1(const CgroupDirectory& blkio, const CgroupLimits& limits) {
    if (limits.blkio_weight != 0 || !limits.blkio_weight_device.empty()) {
        const bool plain = files::exists(blkio.root(), blkio.file("blkio.weight"));
        const std::string prefix = plain ? "blkio.weight" : "blkio.bfq.weight";
        if (limits.blkio_weight != 0) blkio.write(prefix, std::to_string(limits.blkio_weight));
        for (const BlockDeviceValue& one : limits.blkio_weight_device) {
            blkio.write(prefix + "_device",
                        fmt::format("{}:{} {}", one.major, one.minor, one.value));
        }
    }
    const auto throttle = [&](std::string_view file, const std::vector<BlockDeviceValue>& values) {
        for (const BlockDeviceValue& one : values) {
            blkio.write(file, fmt::format("{}:{} {}", one.major, one.minor, one.value));
        }
    };
    throttle("blkio.throttle.read_bps_device", limits.read_bps);
    throttle("blkio.throttle.write_bps_device", limits.write_bps);
    throttle("blkio.throttle.read_iops_device", limits.read_iops);
    throttle("blkio.throttle.write_iops_device", limits.write_iops);
}

std::string pids_value(std::int64_t limit) { return limit > 0 ? std::to_string(limit) : "max"; }

void set_io_v2(const CgroupDirectory& directory, const CgroupLimits& limits) {
    if (limits.blkio_weight != 0) {
        const std::string bfq = std::to_string(limits.blkio_weight);
        if (files::write(directory.root(), directory.file("io.bfq.weight"), bfq) != 0) {
            directory.write("io.weight", std::to_string(io_weight_of_blkio(limits.blkio_weight)));
        }
    }
    for (const BlockDeviceValue& one : limits.blkio_weight_device) {
        // Device weights exist with BFQ only; kernels without them are left alone, as runc does.
        const std::string text = fmt::format("{}:{} {}\n", one.major, one.minor, one.value);
        const int error = files::write(directory.root(), directory.file("io.bfq.weight"), text);
        if (error != 0 && error != ENOENT && error != EINVAL) {
            directory.fail_write(error, "io.bfq.weight", text);
        }
    }
    const auto throttle = [&](std::string_view key, const std::vector<BlockDeviceValue>& values) {
        for (const BlockDeviceValue& one : values) {
            directory.write("io.max",
                            fmt::format("{}:{} {}={}", one.major, one.minor, key, one.value));
        }
    };
    throttle("rbps", limits.read_bps);
    throttle("wbps", limits.write_bps);
    throttle("riops", limits.read_iops);
    throttle("wiops", limits.write_iops);
}

/// The swap part of memory plus swap. Source: runc, ConvertMemorySwapToCgroupV2Value.
std::int64_t swap_only(std::int64_t both, std::int64_t memory) {
    if (memory == -1 && both == 0) return -1;
    if (both == -1 || both == 0 || memory == -1) return both;
    if (memory == 0) {
        throw Error(ErrorKind::internal, "unable to set swap limit without memory limit");
    }
    if (both < memory) {
        throw Error(ErrorKind::internal, "memory+swap limit should be >= memory limit");
    }
    return both - memory;
}

void set_memory_v2(const CgroupDirectory& directory, const CgroupLimits& limits) {
    if (const auto swap = swap_limit_v2(limits)) {
        const std::string text = number_or_max(*swap);
        const int error = files::write(directory.root(), directory.file("memory.swap.max"), text);
        // Without swap accounting "none at all" and "no limit" are true already.
        const bool harmless = error == ENOENT && (text == "max" || text == "0");
        if (error != 0 && !harmless) directory.fail_write(error, "memory.swap.max", text);
    }
    if (limits.memory != 0) directory.write("memory.max", number_or_max(limits.memory));
    if (limits.memory_reservation != 0) {
        directory.write("memory.low", number_or_max(limits.memory_reservation));
    }
}

}  // namespace

std::optional<std::int64_t> swap_limit_v2(const CgroupLimits& limits) {
    const std::int64_t swap = swap_only(limits.memory_swap, limits.memory);
    return swap != 0 || limits.memory_swap > 0 ? std::optional(swap) : std::nullopt;
}

void apply_limits_v1(const Cgroup::Impl& cgroup, const CgroupLimits& limits) {
    if (const auto* devices = cgroup.find("devices"); devices && !limits.devices.empty()) {
        apply_devices_v1(*devices, limits.devices);
    }
    if (const auto* cpuset = cgroup.find("cpuset")) {
        if (!limits.cpuset_cpus.empty()) cpuset->write("cpuset.cpus", limits.cpuset_cpus);
        if (!limits.cpuset_mems.empty()) cpuset->write("cpuset.mems", limits.cpuset_mems);
    }
    if (const auto* memory = cgroup.find("memory")) set_memory_v1(*memory, limits);
    if (const auto* cpu = cgroup.find("cpu")) set_cpu_v1(*cpu, limits);
    if (const auto* pids = cgroup.find("pids"); pids && limits.pids) {
        pids->write("pids.max", pids_value(*limits.pids));
    }
    if (const auto* blkio = cgroup.find("blkio")) set_blkio_v1(*blkio, limits);
    if (const auto* hugetlb = cgroup.find("hugetlb")) {
        for (const auto& [size, bytes] : limits.hugetlb) {
            hugetlb->write(fmt::format("hugetlb.{}.limit_in_bytes", size), std::to_string(bytes));
        }
    }
}

void apply_limits_v2(const CgroupDirectory& directory, const CgroupLimits& limits) {
    if (limits.pids) directory.write("pids.max", pids_value(*limits.pids));
    set_memory_v2(directory, limits);
    set_io_v2(directory, limits);
    if (limits.cpu_shares != 0) {
        directory.write("cpu.weight", std::to_string(cpu_weight_of_shares(limits.cpu_shares)));
    }
    if (limits.cpu_quota != 0 || limits.cpu_period != 0) {
        const std::uint64_t period = limits.cpu_period != 0 ? limits.cpu_period : 100000;
        const std::string quota = limits.cpu_quota > 0 ? std::to_string(limits.cpu_quota) : "max";
        directory.write("cpu.max", fmt::format("{} {}", quota, period));
    }
    if (!limits.cpuset_cpus.empty()) directory.write("cpuset.cpus", limits.cpuset_cpus);
    if (!limits.cpuset_mems.empty()) directory.write("cpuset.mems", limits.cpuset_mems);
    if (!limits.devices.empty()) apply_devices_v2(directory, limits.devices);
    for (const auto& [size, bytes] : limits.hugetlb) {
        directory.write(fmt::format("hugetlb.{}.max", size), std::to_string(bytes));
    }
    for (const auto& [file, value] : limits.unified) {
        if (file.find('/') != std::string::npos) {
            throw Error(ErrorKind::internal,
                        fmt::format("unified resource {} must be a file name (no slashes)",
                                    base::quote(file)));
        }
        directory.write(file, value);
    }
}

}  // namespace dockerd::runtime

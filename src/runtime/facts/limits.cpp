#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/runtime/host_facts.hpp>

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;

namespace {

BlockDeviceValue numbered(const std::string& path, std::uint64_t value) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) base::throw_errno(errno, "stat " + path);
    return {.major = major(info.st_rdev), .minor = minor(info.st_rdev), .value = value};
}

std::vector<BlockDeviceValue> numbered(const model::List<model::ThrottleDevice>& devices) {
    std::vector<BlockDeviceValue> values;
    for (const auto& device : devices) values.push_back(numbered(device.path, device.rate));
    return values;
}

void set_cpu(const model::Resources& resources, CgroupLimits& limits) {
    if (resources.cpu_shares < 0) {
        throw Error(ErrorKind::internal,
                    fmt::format("invalid CPU shares ({}): value must be a positive integer",
                                resources.cpu_shares));
    }
    limits.cpu_shares = static_cast<std::uint64_t>(resources.cpu_shares);
    if (resources.nano_cpus > 0) {
        constexpr std::int64_t period = 100000;  // microseconds
        limits.cpu_period = period;
        limits.cpu_quota = resources.nano_cpus * period / 1'000'000'000;
    }
    if (resources.cpu_period != 0) {
        limits.cpu_period = static_cast<std::uint64_t>(resources.cpu_period);
    }
    if (resources.cpu_quota != 0) limits.cpu_quota = resources.cpu_quota;
    limits.cpu_rt_period = static_cast<std::uint64_t>(resources.cpu_realtime_period);
    limits.cpu_rt_runtime = resources.cpu_realtime_runtime;
    limits.cpuset_cpus = resources.cpuset_cpus;
    limits.cpuset_mems = resources.cpuset_mems;
}

void set_blkio(const model::Resources& resources, CgroupLimits& limits) {
    limits.blkio_weight = static_cast<std::uint16_t>(resources.blkio_weight);
    for (const auto& device : resources.blkio_weight_device) {
        limits.blkio_weight_device.push_back(
            numbered(device.path, static_cast<std::uint64_t>(device.weight)));
    }
    limits.read_bps = numbered(resources.blkio_device_read_bps);
    limits.write_bps = numbered(resources.blkio_device_write_bps);
    limits.read_iops = numbered(resources.blkio_device_read_iops);
    limits.write_iops = numbered(resources.blkio_device_write_iops);
}

}  // namespace

CgroupLimits cgroup_limits(const model::Resources& resources, LimitsFor purpose) {
    CgroupLimits limits;
    // Only what a client may change later can be taken back: there -1 has to reach the kernel. A
    // new cgroup has no limit anyway, and no swap file where swap is not accounted.
    const auto set = [&](std::int64_t value) {
        return value > 0 || purpose == LimitsFor::update ? value : 0;
    };
    limits.memory = set(resources.memory);
    limits.memory_reservation = set(resources.memory_reservation);
    limits.memory_swap = set(resources.memory_swap);
    if (purpose == LimitsFor::create) {
        if (resources.memory_swappiness && *resources.memory_swappiness >= 0) {
            limits.memory_swappiness = static_cast<std::uint64_t>(*resources.memory_swappiness);
        }
        limits.oom_kill_disable = resources.oom_kill_disable.value_or(false);
    }
    set_cpu(resources, limits);
    set_blkio(resources, limits);
    limits.pids = resources.pids_limit;
    return limits;
}

}  // namespace dockerd::runtime

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dockerd::runtime {

/// A rule of the devices controller, applied in order; the default is to deny.
struct DeviceRule {
    bool allow = true;
    char type = 'a';          ///< 'a' all, 'c', 'b'
    std::int64_t major = -1;  ///< -1: any
    std::int64_t minor = -1;  ///< -1: any
    std::string access = "rwm";
};

/// A value for one block device: a weight, bytes or operations a second.
struct BlockDeviceValue {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    std::uint64_t value = 0;
};

/// Limits to set, in the terms of cgroup v1. What is 0, empty or nullopt is left alone.
/// Source: OCI runtime-spec config-linux.md, Control groups.
struct CgroupLimits {
    std::int64_t memory = 0;              ///< bytes; -1 none
    std::int64_t memory_reservation = 0;  ///< bytes; -1 none
    std::int64_t memory_swap = 0;         ///< bytes, memory included; -1 none
    std::optional<std::uint64_t> memory_swappiness;
    bool oom_kill_disable = false;

    std::uint64_t cpu_shares = 0;
    std::int64_t cpu_quota = 0;       ///< microseconds; -1 none
    std::uint64_t cpu_period = 0;     ///< microseconds
    std::int64_t cpu_rt_runtime = 0;  ///< microseconds
    std::uint64_t cpu_rt_period = 0;  ///< microseconds
    std::string cpuset_cpus;
    std::string cpuset_mems;

    std::optional<std::int64_t> pids;  ///< <= 0: none, as Docker's API has it

    std::uint16_t blkio_weight = 0;
    std::vector<BlockDeviceValue> blkio_weight_device;
    std::vector<BlockDeviceValue> read_bps;
    std::vector<BlockDeviceValue> write_bps;
    std::vector<BlockDeviceValue> read_iops;
    std::vector<BlockDeviceValue> write_iops;

    /// Empty: the devices controller is left alone.
    std::vector<DeviceRule> devices;
    std::vector<std::pair<std::string, std::uint64_t>> hugetlb;  ///< page size ("2MB"), bytes
    std::vector<std::pair<std::string, std::string>> unified;    ///< v2 file, value
};

/// cpu.weight for cpu.shares. Source: runc 1.1, ConvertCPUSharesToCgroupV2Value.
std::uint64_t cpu_weight_of_shares(std::uint64_t shares);
/// io.weight for blkio.weight. Source: runc, ConvertBlkIOToIOWeightValue.
std::uint64_t io_weight_of_blkio(std::uint16_t weight);

}  // namespace dockerd::runtime

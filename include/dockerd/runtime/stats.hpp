#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dockerd::runtime {

/// One line of a blkio table: a device, an operation ("Read", "Write", "Sync", ... on v1,
/// "read" and "write" on v2; empty where the kernel prints none) and its count.
struct BlkioEntry {
    std::uint64_t major = 0;
    std::uint64_t minor = 0;
    std::string op;
    std::uint64_t value = 0;
};

/// What the cgroup of a container has used, in the units of Docker's stats document.
/// Source: moby daemon/stats_unix.go, statsV1 and statsV2.
struct CgroupStats {
    struct Cpu {
        bool present = false;
        std::uint64_t total = 0;             ///< nanoseconds
        std::vector<std::uint64_t> per_cpu;  ///< nanoseconds; v1 only
        std::uint64_t user = 0;              ///< nanoseconds
        std::uint64_t kernel = 0;            ///< nanoseconds
        std::uint64_t periods = 0;
        std::uint64_t throttled_periods = 0;
        std::uint64_t throttled_time = 0;  ///< nanoseconds
    };
    struct Memory {
        bool present = false;
        std::uint64_t usage = 0;      ///< bytes
        std::uint64_t max_usage = 0;  ///< bytes; v1 only
        std::uint64_t failcnt = 0;
        /// Bytes; the machine's memory where the cgroup has no lower limit.
        std::uint64_t limit = 0;
        /// The "stats" object, sorted by name: Docker's selection of memory.stat.
        std::vector<std::pair<std::string, std::uint64_t>> stats;
    };
    struct Blkio {
        bool present = false;
        std::vector<BlkioEntry> io_service_bytes;
        std::vector<BlkioEntry> io_serviced;
        std::vector<BlkioEntry> io_queued;
        std::vector<BlkioEntry> io_service_time;
        std::vector<BlkioEntry> io_wait_time;
        std::vector<BlkioEntry> io_merged;
        std::vector<BlkioEntry> io_time;
        std::vector<BlkioEntry> sectors;
    };
    struct Pids {
        bool present = false;
        std::uint64_t current = 0;
        std::uint64_t limit = 0;  ///< the greatest 64-bit number when there is no limit
    };

    Cpu cpu;
    Memory memory;
    Blkio blkio;
    Pids pids;
};

/// CPU time of the whole machine, for "system_cpu_usage" and "online_cpus".
struct SystemCpu {
    std::uint64_t usage = 0;  ///< nanoseconds: user to softirq plus steal, as Docker sums them
    std::uint32_t cpus = 0;
};

/// Reads /proc/stat. Throws: internal, "open /proc/stat: <errno text>".
/// Source: moby daemon/stats_unix.go, readSystemCPUUsage.
SystemCpu read_system_cpu();

/// The same from a text in the form of /proc/stat.
SystemCpu parse_system_cpu(const std::string& text);

/// Bytes of memory of this machine, from /proc/meminfo; 0 when it cannot be read.
std::uint64_t machine_memory();

}  // namespace dockerd::runtime

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <limits>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/stats.hpp>

#include "files.hpp"
#include "impl.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;

namespace {

/// USER_HZ is 100 on every Linux. Source: moby daemon/stats_unix.go, clockTicksPerSecond.
constexpr std::uint64_t nanoseconds_per_tick = 1'000'000'000 / 100;

// Docker's selections of memory.stat, sorted as its JSON is.
// Source: moby daemon/stats_unix.go, statsV1 and statsV2.
constexpr std::array memory_keys_v1{"active_anon",
                                    "active_file",
                                    "cache",
                                    "dirty",
                                    "hierarchical_memory_limit",
                                    "hierarchical_memsw_limit",
                                    "inactive_anon",
                                    "inactive_file",
                                    "mapped_file",
                                    "pgfault",
                                    "pgmajfault",
                                    "pgpgin",
                                    "pgpgout",
                                    "rss",
                                    "rss_huge",
                                    "total_active_anon",
                                    "total_active_file",
                                    "total_cache",
                                    "total_dirty",
                                    "total_inactive_anon",
                                    "total_inactive_file",
                                    "total_mapped_file",
                                    "total_pgfault",
                                    "total_pgmajfault",
                                    "total_pgpgin",
                                    "total_pgpgout",
                                    "total_rss",
                                    "total_rss_huge",
                                    "total_unevictable",
                                    "total_writeback",
                                    "unevictable",
                                    "writeback"};
constexpr std::array memory_keys_v2{"active_anon",
                                    "active_file",
                                    "anon",
                                    "anon_thp",
                                    "file",
                                    "file_dirty",
                                    "file_mapped",
                                    "file_writeback",
                                    "inactive_anon",
                                    "inactive_file",
                                    "kernel_stack",
                                    "pgactivate",
                                    "pgdeactivate",
                                    "pgfault",
                                    "pglazyfree",
                                    "pglazyfreed",
                                    "pgmajfault",
                                    "pgrefill",
                                    "pgscan",
                                    "pgsteal",
                                    "shmem",
                                    "slab",
                                    "slab_reclaimable",
                                    "slab_unreclaimable",
                                    "sock",
                                    "thp_collapse_alloc",
                                    "thp_fault_alloc",
                                    "unevictable",
                                    "workingset_activate",
                                    "workingset_nodereclaim",
                                    "workingset_refault"};

template <typename Keys>
void pick_memory_stats(const Keys& keys, const std::string& text, CgroupStats::Memory& memory) {
    auto pairs = files::parse_pairs(text);
    std::ranges::sort(pairs);
    memory.stats.reserve(keys.size());
    for (const std::string_view key : keys) {
        const auto found =
            std::ranges::lower_bound(pairs, key, {}, [](const auto& pair) { return pair.first; });
        const bool there = found != pairs.end() && found->first == key;
        memory.stats.emplace_back(key, there ? found->second : 0);
    }
}

void clip_limit(CgroupStats::Memory& memory) {
    const std::uint64_t machine = machine_memory();
    if (machine != 0 && memory.limit > machine) memory.limit = machine;
}

std::uint64_t number(const CgroupDirectory& directory, std::string_view file) {
    return files::read_number(directory.root(), directory.file(file)).value_or(0);
}

std::string text_of(const CgroupDirectory& directory, std::string_view file) {
    return files::read_text(directory.root(), directory.file(file));
}

void read_cpu_v1(const Cgroup::Impl& cgroup, CgroupStats::Cpu& cpu) {
    if (const auto* account = cgroup.find("cpuacct")) {
        cpu.present = true;
        cpu.total = number(*account, "cpuacct.usage");
        const std::string stat = text_of(*account, "cpuacct.stat");
        cpu.user = files::pair_value(stat, "user") * nanoseconds_per_tick;
        cpu.kernel = files::pair_value(stat, "system") * nanoseconds_per_tick;
        const std::string each = text_of(*account, "cpuacct.usage_percpu");
        for (const auto word : files::fields(each, " \n")) {
            cpu.per_cpu.push_back(files::parse_number(word).value_or(0));
        }
    }
    if (const auto* group = cgroup.find("cpu")) {
        cpu.present = true;
        const std::string stat = text_of(*group, "cpu.stat");
        cpu.periods = files::pair_value(stat, "nr_periods");
        cpu.throttled_periods = files::pair_value(stat, "nr_throttled");
        cpu.throttled_time = files::pair_value(stat, "throttled_time");
    }
}

std::vector<BlkioEntry> read_blkio_table(const CgroupDirectory& blkio, std::string_view file) {
    std::vector<BlkioEntry> table;
    const std::string text = text_of(blkio, file);
    for (const auto line : files::fields(text, "\n")) {
        const auto words = files::fields(line, " :");
        if (words.size() < 3) continue;  // the sum over all devices
        BlkioEntry entry;
        entry.major = files::parse_number(words[0]).value_or(0);
        entry.minor = files::parse_number(words[1]).value_or(0);
        if (words.size() > 3) entry.op = words[2];
        entry.value = files::parse_number(words.back()).value_or(0);
        table.push_back(std::move(entry));
    }
    return table;
}

void read_blkio_v1(const CgroupDirectory& directory, CgroupStats::Blkio& blkio) {
    blkio.present = true;
    // Source: containerd/cgroups cgroup1/blkio.go, Stat: CFQ's tables, else the throttler's.
    if (files::exists(directory.root(), directory.file("blkio.io_serviced_recursive"))) {
        const auto table = [&](std::string_view name) {
            return read_blkio_table(directory, "blkio." + std::string(name) + "_recursive");
        };
        blkio.sectors = table("sectors");
        blkio.io_service_bytes = table("io_service_bytes");
        blkio.io_serviced = table("io_serviced");
        blkio.io_queued = table("io_queued");
        blkio.io_service_time = table("io_service_time");
        blkio.io_wait_time = table("io_wait_time");
        blkio.io_merged = table("io_merged");
        blkio.io_time = table("time");
        if (!blkio.io_serviced.empty() || !blkio.io_service_bytes.empty()) return;
    }
    blkio.io_serviced = read_blkio_table(directory, "blkio.throttle.io_serviced");
    blkio.io_service_bytes = read_blkio_table(directory, "blkio.throttle.io_service_bytes");
}

void read_io_v2(const CgroupDirectory& directory, CgroupStats::Blkio& blkio) {
    blkio.present = true;
    const std::string text = text_of(directory, "io.stat");
    for (const auto line : files::fields(text, "\n")) {
        const auto words = files::fields(line, " ");
        const auto device = words.empty() ? words : files::fields(words[0], ":");
        if (words.size() < 2 || device.size() != 2) continue;
        const auto major = files::parse_number(device[0]);
        const auto minor = files::parse_number(device[1]);
        if (!major || !minor) continue;
        BlkioEntry read{.major = *major, .minor = *minor, .op = "read"};
        BlkioEntry write{.major = *major, .minor = *minor, .op = "write"};
        for (const auto word : words) {
            const std::size_t equals = word.find('=');
            if (equals == std::string_view::npos) continue;
            const std::uint64_t value = files::parse_number(word.substr(equals + 1)).value_or(0);
            if (word.substr(0, equals) == "rbytes") read.value = value;
            if (word.substr(0, equals) == "wbytes") write.value = value;
        }
        blkio.io_service_bytes.push_back(std::move(read));
        blkio.io_service_bytes.push_back(std::move(write));
    }
}

}  // namespace

CgroupStats read_stats_v1(const Cgroup::Impl& cgroup) {
    CgroupStats stats;
    read_cpu_v1(cgroup, stats.cpu);
    if (const auto* memory = cgroup.find("memory")) {
        stats.memory.present = true;
        pick_memory_stats(memory_keys_v1, text_of(*memory, "memory.stat"), stats.memory);
        stats.memory.usage = number(*memory, "memory.usage_in_bytes");
        stats.memory.max_usage = number(*memory, "memory.max_usage_in_bytes");
        stats.memory.failcnt = number(*memory, "memory.failcnt");
        stats.memory.limit = number(*memory, "memory.limit_in_bytes");
        clip_limit(stats.memory);
    }
    if (const auto* blkio = cgroup.find("blkio")) read_blkio_v1(*blkio, stats.blkio);
    if (const auto* pids = cgroup.find("pids")) {
        // No limit is told here, but with v2 the largest number.
        // Source: containerd cgroups, cgroup1/pids.go and cgroup2/manager.go.
        const std::uint64_t limit = number(*pids, "pids.max");
        stats.pids = {.present = true,
                      .current = number(*pids, "pids.current"),
                      .limit = limit == std::numeric_limits<std::uint64_t>::max() ? 0 : limit};
    }
    return stats;
}

CgroupStats read_stats_v2(const CgroupDirectory& directory) {
    CgroupStats stats;
    const std::string cpu = text_of(directory, "cpu.stat");
    const auto microseconds = [&](std::string_view key) {
        return files::pair_value(cpu, key) * 1000;
    };
    stats.cpu = {.present = true,
                 .total = microseconds("usage_usec"),
                 .per_cpu = {},
                 .user = microseconds("user_usec"),
                 .kernel = microseconds("system_usec"),
                 .periods = files::pair_value(cpu, "nr_periods"),
                 .throttled_periods = files::pair_value(cpu, "nr_throttled"),
                 .throttled_time = microseconds("throttled_usec")};
    stats.memory.present = true;
    pick_memory_stats(memory_keys_v2, text_of(directory, "memory.stat"), stats.memory);
    stats.memory.usage = number(directory, "memory.current");
    stats.memory.limit = number(directory, "memory.max");
    stats.memory.failcnt = files::pair_value(text_of(directory, "memory.events"), "oom");
    clip_limit(stats.memory);
    read_io_v2(directory, stats.blkio);
    stats.pids = {.present = true,
                  .current = number(directory, "pids.current"),
                  .limit = number(directory, "pids.max")};
    return stats;
}

SystemCpu parse_system_cpu(const std::string& text) {
    SystemCpu cpu;
    for (const auto line : files::fields(text, "\n")) {
        if (line.size() < 4 || !line.starts_with("cpu")) break;
        if (line[3] == ' ') {
            const auto words = files::fields(line, " ");
            if (words.size() < 8) {
                base::fail(base::ErrorKind::internal, "invalid number of cpu fields");
            }
            std::uint64_t ticks = 0;
            for (std::size_t at = 1; at < 8; ++at) {
                ticks += files::parse_number(words[at]).value_or(0);
            }
            cpu.usage = ticks * nanoseconds_per_tick;
        } else if (line[3] >= '0' && line[3] <= '9') {
            ++cpu.cpus;
        }
    }
    return cpu;
}

SystemCpu read_system_cpu() {
    const std::string text = files::read_text(AT_FDCWD, "/proc/stat");
    if (text.empty()) base::throw_errno(errno, "open /proc/stat");
    return parse_system_cpu(text);
}

std::uint64_t machine_memory() {
    static const std::uint64_t bytes = [] {
        const std::string text = files::read_text(AT_FDCWD, "/proc/meminfo");
        const auto lines = files::fields(text, "\n");
        for (const auto line : lines) {
            const auto words = files::fields(line, " :");
            if (words.size() >= 2 && words[0] == "MemTotal") {
                return files::parse_number(words[1]).value_or(0) * 1024;
            }
        }
        return std::uint64_t{0};
    }();
    return bytes;
}

}  // namespace dockerd::runtime

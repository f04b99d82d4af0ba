#include "systemd/properties.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/sysinfo.hpp>

#include "cgroup/impl.hpp"

namespace dockerd::runtime::systemd {

namespace {

constexpr std::uint64_t infinity = std::numeric_limits<std::uint64_t>::max();
constexpr std::string_view slice_suffix = ".slice";

/// From these versions on systemd knows the properties.
/// Source: systemd NEWS, 242 (CPUQuotaPeriodSec=) and 244 (AllowedCPUs=, AllowedMemoryNodes=).
constexpr int version_with_quota_period = 242;
constexpr int version_with_cpusets = 244;

/// -1 and other negative numbers: no limit.
std::uint64_t limit_value(std::int64_t value) {
    return value < 0 ? infinity : static_cast<std::uint64_t>(value);
}

/// "0-2,9" as systemd takes it: one bit a number, the lowest first.
/// Source: runc libcontainer/cgroups/systemd/cpuset.go, RangeToBits.
std::vector<std::uint8_t> bits_of(const std::string& list) {
    constexpr int greatest = 8191;  // moby pkg/sysinfo/sysinfo_linux.go, defaultMaxCPUs
    const std::set<int> numbers = parse_cpu_list(list, greatest);
    if (numbers.empty()) base::fail(base::ErrorKind::internal, "empty value");
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(*numbers.rbegin()) / 8 + 1);
    for (const int number : numbers) {
        auto& byte = bits[static_cast<std::size_t>(number) / 8];
        byte = static_cast<std::uint8_t>(byte | (1 << (number % 8)));
    }
    return bits;
}

/// systemd counts in whole hundredths of a processor. What is finer is in the cgroup's file alone,
/// so the next greater one is told. Source: runc libcontainer/cgroups/systemd/common.go, addCpuQuota.
void add_quota(std::vector<UnitProperty>& out, const CgroupLimits& limits, int version) {
    if (limits.cpu_quota == 0 && limits.cpu_period == 0) return;
    constexpr std::uint64_t hundredth = 10'000;  // microseconds of a second
    const std::uint64_t period = limits.cpu_period != 0 ? limits.cpu_period : 100'000;
    if (limits.cpu_period != 0 && version >= version_with_quota_period) {
        out.push_back({"CPUQuotaPeriodUSec", limits.cpu_period});
    }
    std::uint64_t per_second = infinity;
    if (limits.cpu_quota > 0) {
        per_second = static_cast<std::uint64_t>(limits.cpu_quota) * 1'000'000 / period;
        per_second = (per_second + hundredth - 1) / hundredth * hundredth;
    }
    out.push_back({"CPUQuotaPerSecUSec", per_second});
}

}  // namespace

std::optional<std::string> slice_path(std::string_view slice) {
    if (!slice.ends_with(slice_suffix) || slice.find('/') != std::string_view::npos) return {};
    slice.remove_suffix(slice_suffix.size());
    if (slice == "-") return std::string();
    std::string path;
    std::string name;
    for (const std::string& part : base::split(slice, '-')) {
        if (part.empty()) return {};
        name += part;
        path += fmt::format("{}{}{}", path.empty() ? "" : "/", name, slice_suffix);
        name += '-';
    }
    return path.empty() ? std::nullopt : std::optional(path);
}

std::string scope_name(std::string_view id) { return fmt::format("docker-{}.scope", id); }

std::vector<UnitProperty> scope_properties(std::string_view id, std::string_view slice,
                                           pid_t pid) {
    return {{"Description", fmt::format("libcontainer container {}", id)},
            {"Slice", std::string(slice)},
            // What is below the scope is the container's own business.
            {"Delegate", true},
            {"PIDs", std::vector{static_cast<std::uint32_t>(pid)}},
            {"MemoryAccounting", true},
            {"CPUAccounting", true},
            {"IOAccounting", true},
            {"TasksAccounting", true},
            // Else the scope would be stopped at a shutdown before the daemon stops the container.
            {"DefaultDependencies", false}};
}

std::vector<UnitProperty> limit_properties(const CgroupLimits& limits, int version) {
    std::vector<UnitProperty> out;
    if (limits.memory != 0) out.push_back({"MemoryMax", limit_value(limits.memory)});
    if (limits.memory_reservation != 0) {
        out.push_back({"MemoryLow", limit_value(limits.memory_reservation)});
    }
    if (const auto swap = swap_limit_v2(limits)) {
        out.push_back({"MemorySwapMax", limit_value(*swap)});
    }
    if (limits.cpu_shares != 0) {
        out.push_back({"CPUWeight", cpu_weight_of_shares(limits.cpu_shares)});
    }
    add_quota(out, limits, version);
    if (limits.blkio_weight != 0) {
        out.push_back({"IOWeight", io_weight_of_blkio(limits.blkio_weight)});
    }
    if (limits.pids) {
        out.push_back({"TasksMax", *limits.pids > 0 ? limit_value(*limits.pids) : infinity});
    }
    if (version >= version_with_cpusets) {
        if (!limits.cpuset_cpus.empty()) {
            out.push_back({"AllowedCPUs", bits_of(limits.cpuset_cpus)});
        }
        if (!limits.cpuset_mems.empty()) {
            out.push_back({"AllowedMemoryNodes", bits_of(limits.cpuset_mems)});
        }
    }
    return out;
}

int parse_version(std::string_view text) {
    if (text.starts_with('v')) text.remove_prefix(1);
    const auto end = std::ranges::find_if(text, [](char c) { return c < '0' || c > '9'; });
    const std::string_view digits(text.begin(), end);
    if (digits.empty() || digits.size() > 6) return -1;
    return static_cast<int>(base::parse_int(digits).value_or(-1));
}

}  // namespace dockerd::runtime::systemd

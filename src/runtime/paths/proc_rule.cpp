#include "paths/proc_rule.hpp"

namespace dockerd::runtime {

ProcPlace proc_place(std::string_view path) {
    constexpr std::string_view top = "/proc";
    if (!path.starts_with(top)) return ProcPlace::outside;
    const std::string_view below = path.substr(top.size());
    if (below.empty()) return ProcPlace::top;
    if (below[0] != '/') return ProcPlace::outside;
    // As since runc 1.2.7: /proc/net/dev, which earlier ones let through, is a process's own.
    constexpr std::string_view emulated[] = {
        "/cpuinfo",
        "/diskstats",
        "/meminfo",
        "/stat",
        "/swaps",
        "/uptime",
        "/loadavg",
        "/slabinfo",
        "/sys/kernel/ns_last_pid",
        "/sys/crypto/fips_enabled",
    };
    for (const std::string_view name : emulated) {
        if (below == name) return ProcPlace::emulated;
    }
    return ProcPlace::inside;
}

std::string proc_refusal(ProcPlace place, bool is_procfs, std::string_view destination,
                         std::string_view shown) {
    const bool allowed = place == ProcPlace::outside || place == ProcPlace::emulated ||
                         (place == ProcPlace::top && is_procfs);
    if (allowed) return {};
    std::string text("create mountpoint for ");
    text.append(destination).append(" mount: check proc-safety of ");
    text.append(destination).append(" mount: \"").append(shown);
    return text.append(place == ProcPlace::top
                           ? "\" cannot be mounted because it is not of type proc"
                           : "\" cannot be mounted because it is inside /proc");
}

}  // namespace dockerd::runtime

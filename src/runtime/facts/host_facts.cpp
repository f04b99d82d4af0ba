#include <dockerd/runtime/host_facts.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/sysinfo.hpp>

#include "cgroup/files.hpp"

namespace dockerd::runtime {

namespace files = cgroup_files;

namespace {

/// True when uids are mapped in any way but one to one. Source: moby/sys userns, RunningInUserNS.
bool in_user_namespace() {
    const std::string text = files::read_text(AT_FDCWD, "/proc/self/uid_map");
    const auto words = files::fields(text, " \n");
    return !words.empty() &&
           !(words.size() == 3 && words[0] == "0" && words[1] == "0" && words[2] == "4294967295");
}

bool has_mount_setattr() {
    // No such descriptor: EBADF from a kernel that has the call and something to do.
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    return ::mount_setattr(-1, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0 &&
           errno != ENOSYS;
}

std::vector<std::string> thermal_folders() {
    std::vector<std::string> found;
    const std::string text = files::read_text(AT_FDCWD, "/sys/devices/system/cpu/possible");
    std::set<int> cpus;
    try {
        cpus = parse_cpu_list(base::trim(text), 8192);
    } catch (const base::Error&) {
        return found;  // a kernel that prints it differently has no such folders
    }
    for (const int cpu : cpus) {
        auto path = fmt::format("/sys/devices/system/cpu/cpu{}/thermal_throttle", cpu);
        if (files::exists(AT_FDCWD, path)) found.push_back(std::move(path));
    }
    return found;
}

}  // namespace

HostFacts read_host_facts() {
    const auto there = [](const char* path) { return files::exists(AT_FDCWD, path); };
    HostFacts facts;
    // Without the parser no profile can be loaded: Docker then runs containers without one.
    // Source: containerd pkg/apparmor/apparmor_linux.go, hostSupports.
    facts.app_armor =
        there("/sys/kernel/security/apparmor") && there("/sbin/apparmor_parser") &&
        ::getenv("container") == nullptr &&
        files::read_text(AT_FDCWD, "/sys/module/apparmor/parameters/enabled").starts_with('Y');
    facts.recursive_read_only = has_mount_setattr();
    facts.ping_group_range = there("/proc/sys/net/ipv4/ping_group_range");
    facts.unprivileged_port_start = there("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    facts.in_user_namespace = in_user_namespace();
    facts.thermal_throttle = thermal_folders();
    return facts;
}

std::vector<std::string> default_masked_paths(const HostFacts& facts) {
    std::vector<std::string> paths{
        "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
        "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
    paths.insert(paths.end(), facts.thermal_throttle.begin(), facts.thermal_throttle.end());
    return paths;
}

std::vector<std::string> default_read_only_paths() {
    return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

}  // namespace dockerd::runtime

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/cgroup.hpp>

namespace dockerd::runtime {

namespace systemd {
class Units;
}

/// One mounted hierarchy of this machine.
struct Hierarchy {
    std::string name;                      ///< last part of the mount point; "" on v2
    std::vector<std::string> controllers;  ///< v1: "cpu", "name=systemd"; v2: cgroup.controllers
    std::string mountpoint;
    std::string own_path;  ///< the daemon's own cgroup, "/" for the root
    base::Fd root;

    [[nodiscard]] bool has(std::string_view controller) const;
};

struct CgroupHost::Impl {
    CgroupVersion version = CgroupVersion::v1;
    CgroupDriver driver = CgroupDriver::cgroupfs;
    std::vector<Hierarchy> hierarchies;
    /// systemd, also where the driver is cgroupfs: an earlier daemon's may have been another.
    std::shared_ptr<const systemd::Units> units;

    /// systemd's version, asked for once. Throws: as Units::version().
    [[nodiscard]] int systemd_version() const;
    mutable std::atomic<int> known_version{0};

    /// The v1 hierarchy with `controller`, or the v2 one for any; null when absent.
    [[nodiscard]] const Hierarchy* find(std::string_view controller) const;
};

/// A cgroup in one hierarchy; `path` is relative to its root and never starts with '/'.
struct CgroupDirectory {
    const Hierarchy* hierarchy = nullptr;
    std::string path;

    [[nodiscard]] int root() const { return hierarchy->root.get(); }
    [[nodiscard]] std::string file(std::string_view name) const;
    [[nodiscard]] std::string host_path() const;
    /// Throws: internal, `failed to write "<value>": write <path>: <errno text>`.
    void write(std::string_view name, std::string_view value) const;
    [[noreturn]] void fail_write(int error, std::string_view name, std::string_view value) const;
};

struct Cgroup::Impl {
    std::shared_ptr<const CgroupHost::Impl> host;
    std::string path;                          ///< as Docker names it
    std::string unit;                          ///< the scope, if systemd made it
    std::vector<CgroupDirectory> directories;  ///< in the order of host->hierarchies

    [[nodiscard]] const CgroupDirectory* find(std::string_view controller) const;
    [[nodiscard]] bool unified() const { return host->version == CgroupVersion::v2; }
};

/// Resolves "." and ".." of `path` without leaving the root; no '/' at either end.
std::string clean(std::string_view path);
/// Controller (v1: "cpu", "name=systemd"; v2: "") to the cgroup of a process, "self" or its number.
std::map<std::string, std::string, std::less<>> cgroups_of(std::string_view process);
/// Makes the parents of `directory`, outermost first.
void make_parents(const CgroupDirectory& directory, bool unified);

/// Copies cpus and mems down from the nearest ancestor that has some; a v1 cpuset without them
/// takes no process. Source: runc libcontainer/cgroups/fs/cpuset.go, cpusetEnsureParent.
void inherit_cpuset(const CgroupDirectory& directory, const CgroupLimits& limits);

void apply_limits_v1(const Cgroup::Impl& cgroup, const CgroupLimits& limits);
void apply_limits_v2(const CgroupDirectory& directory, const CgroupLimits& limits);

/// What v2's memory.swap.max is to be, -1 for no limit; nullopt: as it is.
/// Throws: internal, for a swap limit that does not go with the memory's.
std::optional<std::int64_t> swap_limit_v2(const CgroupLimits& limits);

CgroupStats read_stats_v1(const Cgroup::Impl& cgroup);
CgroupStats read_stats_v2(const CgroupDirectory& directory);

}  // namespace dockerd::runtime

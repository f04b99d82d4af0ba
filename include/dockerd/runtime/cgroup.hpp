#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/stats.hpp>

namespace dockerd::runtime {

/// v1 covers legacy and hybrid mounts: v2 only where /sys/fs/cgroup itself is cgroup2.
enum class CgroupVersion { v1, v2 };

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

/// One v1 hierarchy as a container sees it below /sys/fs/cgroup, or the only one of v2.
struct CgroupMountView {
    std::string name;                      ///< folder name: "cpu,cpuacct", "systemd"; "" on v2
    std::vector<std::string> controllers;  ///< "cpu", "cpuacct"; "name=systemd"
    std::string host_path;                 ///< this cgroup's directory on the host
};

/// The cgroup of one container: a directory in every hierarchy.
///
/// Holds no descriptors: an idle container costs its path. Destroying the object removes nothing;
/// remove() does.
/// Thread: one call at a time, except fds handed out.
class Cgroup {
public:
    Cgroup() noexcept;
    Cgroup(Cgroup&&) noexcept;
    Cgroup& operator=(Cgroup&&) noexcept;
    ~Cgroup();
    explicit operator bool() const noexcept { return impl_ != nullptr; }

    /// Path below each hierarchy's mount, as given: "/docker/<id>".
    [[nodiscard]] const std::string& path() const;
    [[nodiscard]] CgroupVersion version() const;

    /// Files open for writing, one a hierarchy (tasks, or cgroup.procs of v2): a process of one
    /// thread that writes "0" to each has joined. Opened anew at each call.
    [[nodiscard]] std::vector<base::Fd> open_procs() const;
    /// The directory in the v2 hierarchy, for CLONE_INTO_CGROUP; empty on v1.
    [[nodiscard]] base::Fd open_unified_directory() const;
    [[nodiscard]] std::vector<CgroupMountView> mount_views() const;

    /// Changes limits of a running container; memory and memory plus swap in the order the
    /// kernel accepts.
    /// Throws: internal, with the file's name and the kernel's reason.
    void update(const CgroupLimits& limits);

    /// Stops every process until thaw(). Throws: internal, "unable to freeze".
    void freeze();
    void thaw();
    [[nodiscard]] bool is_frozen() const;

    /// SIGKILL to every process, also in nested cgroups, and again until a look finds none that
    /// was not hit; frozen ones are thawed.
    void kill_all();

    /// Processes here and in nested cgroups, as seen from the daemon's PID namespace.
    [[nodiscard]] std::vector<pid_t> pids() const;

    /// Removes the directories, nested ones first. Waits for dying processes up to `patience`.
    /// True when nothing is left.
    /// Units: milliseconds.
    bool remove(int patience_ms = 2000);

    /// How often the kernel's OOM killer has hit a process here.
    [[nodiscard]] std::uint64_t oom_kills() const;
    /// Processes wait for memory, for the kernel is not to kill any (v1 alone: oom_kill_disable).
    [[nodiscard]] bool is_out_of_memory() const;
    /// Readable when these may have changed: an eventfd on v1, an inotify descriptor on v2. Read
    /// it empty (8 bytes; up to 4 KiB). Empty when the memory controller is absent.
    [[nodiscard]] base::Fd open_oom_events() const;

    [[nodiscard]] CgroupStats stats() const;

    struct Impl;

private:
    friend class CgroupHost;
    explicit Cgroup(std::unique_ptr<Impl> impl) noexcept;
    std::unique_ptr<Impl> impl_;
};

/// The cgroup hierarchies of this machine, opened once.
/// Thread: any.
class CgroupHost {
public:
    /// Finds the hierarchies from mountinfo. Throws: internal, "no cgroup mount found in
    /// mountinfo".
    static CgroupHost open();

    /// For tests: `version` and folders that stand for the mounts. For v1 each folder below
    /// `root` is a hierarchy named like its controllers ("cpu,cpuacct", "systemd").
    static CgroupHost open_recorded(CgroupVersion version, const std::string& root);

    CgroupHost(CgroupHost&&) noexcept;
    CgroupHost& operator=(CgroupHost&&) noexcept;
    ~CgroupHost();

    [[nodiscard]] CgroupVersion version() const;

    /// Makes `parent`/`id` in every hierarchy with `limits`; parents are made as needed (cpuset
    /// values inherited, v2 controllers enabled). An absolute parent counts from the mounts, a
    /// relative one from the daemon's own cgroup; ".." cannot leave either.
    ///
    /// A directory that is already there is taken over if no process is in it.
    /// Throws: internal, "<file>: <errno text>"; the half-made cgroup is removed.
    /// Source: runc libcontainer/cgroups/fs, paths.go.
    [[nodiscard]] Cgroup create(std::string_view parent, std::string_view id,
                                const CgroupLimits& limits) const;

    /// The cgroup of a container that an earlier daemon started. Never makes directories.
    [[nodiscard]] Cgroup attach(std::string_view parent, std::string_view id) const;

    /// Makes the next join of a cgroup quick: the first one after a quiet time waits some ten
    /// milliseconds for the kernel's RCU; one that comes while another is waiting, or soon
    /// after, does not wait anew. Called when a start is to be expected. Blocks meanwhile.
    ///
    /// What is written is the daemon's own place among cgroups, so nothing moves.
    /// Source: kernel kernel/cgroup/cgroup.c, cgroup_attach_lock; kernel/rcu/sync.c.
    void warm() const noexcept;

    /// Folder of `controller` ("memory"; "" on v2), or empty when it is absent.
    [[nodiscard]] std::string controller_path(std::string_view controller) const;
    /// Controllers present: v1 names, or cgroup.controllers of the v2 root.
    [[nodiscard]] std::vector<std::string> controllers() const;

    struct Impl;

private:
    explicit CgroupHost(std::shared_ptr<const Impl> impl) noexcept;
    std::shared_ptr<const Impl> impl_;
};

/// The parent path Docker's cgroupfs driver uses: `container` if set, else `daemon`, else
/// "/docker". Source: moby daemon/oci_linux.go, withCgroups.
std::string cgroup_parent(std::string_view container, std::string_view daemon);

}  // namespace dockerd::runtime

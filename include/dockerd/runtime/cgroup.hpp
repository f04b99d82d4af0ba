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
#include <dockerd/runtime/cgroup_limits.hpp>
#include <dockerd/runtime/stats.hpp>

namespace dockerd::runtime {

/// v1 covers legacy and hybrid mounts: v2 only where /sys/fs/cgroup itself is cgroup2.
enum class CgroupVersion { v1, v2 };

/// Who makes the cgroups of containers: this daemon, by directories, or systemd, as scopes.
enum class CgroupDriver { cgroupfs, systemd };

/// "cgroupfs" or "systemd".
std::string_view driver_name(CgroupDriver driver);

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

    /// Path below each hierarchy's mount, as given: "/docker/<id>"; of a scope,
    /// "/system.slice/docker-<id>.scope".
    [[nodiscard]] const std::string& path() const;
    [[nodiscard]] CgroupVersion version() const;

    /// Files open for writing, one a hierarchy (tasks, or cgroup.procs of v2): a process of one
    /// thread that writes "0" to each has joined. Opened anew at each call.
    [[nodiscard]] std::vector<base::Fd> open_procs() const;
    /// The directory in the v2 hierarchy, for CLONE_INTO_CGROUP; empty on v1.
    [[nodiscard]] base::Fd open_unified_directory() const;
    [[nodiscard]] std::vector<CgroupMountView> mount_views() const;

    /// Changes limits of a running container; memory and memory plus swap in the order the
    /// kernel accepts. systemd is told those of a scope that it would write itself.
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

    /// Removes the directories, nested ones first, and systemd's scope. Waits for dying processes
    /// up to `patience`.
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
    /// Finds the hierarchies from mountinfo. Without a wish the driver is Docker's choice: systemd
    /// where that runs and cgroup v2 is mounted. With v1 it is always cgroupfs.
    /// Throws: internal, "no cgroup mount found in mountinfo".
    /// Source: moby daemon/daemon_unix.go, UsingSystemd.
    static CgroupHost open(std::optional<CgroupDriver> wanted = {});

    /// For tests: `version` and folders that stand for the mounts. For v1 each folder below
    /// `root` is a hierarchy named like its controllers ("cpu,cpuacct", "systemd"). With an
    /// address the driver is the systemd that listens there.
    static CgroupHost open_recorded(CgroupVersion version, const std::string& root,
                                    const std::string& systemd_address = {});

    CgroupHost(CgroupHost&&) noexcept;
    CgroupHost& operator=(CgroupHost&&) noexcept;
    ~CgroupHost();

    [[nodiscard]] CgroupVersion version() const;
    [[nodiscard]] CgroupDriver driver() const;

    /// Makes `parent`/`id` in every hierarchy with `limits`; parents are made as needed (cpuset
    /// values inherited, v2 controllers enabled). An absolute parent counts from the mounts, a
    /// relative one from the daemon's own cgroup; ".." cannot leave either.
    ///
    /// A directory that is already there is taken over if no process is in it.
    /// Throws: internal, "<file>: <errno text>"; the half-made cgroup is removed.
    /// Source: runc libcontainer/cgroups/fs, paths.go.
    [[nodiscard]] Cgroup create(std::string_view parent, std::string_view id,
                                const CgroupLimits& limits) const;

    /// Has systemd make the scope "docker-<id>.scope" of `slice` with `limits` and put `pid` into
    /// it; a scope cannot be without a process. What systemd knows not or less exactly of the
    /// limits is written to the cgroup's files, and the rules for devices there alone.
    /// Pre: driver() is systemd.
    /// Throws: internal, "unable to start unit ..."; the scope has ended then.
    /// Source: runc libcontainer/cgroups/systemd/v2.go, Apply and Set.
    [[nodiscard]] Cgroup create_scope(std::string_view slice, std::string_view id, pid_t pid,
                                      const CgroupLimits& limits) const;

    /// The place of a container's cgroup, by the rules of the driver. Never makes anything.
    [[nodiscard]] Cgroup attach(std::string_view parent, std::string_view id) const;

    /// The cgroup of a container that an earlier daemon started, maybe with another driver or
    /// parent: the one of `pid` that has the container's name; without a process what is there.
    [[nodiscard]] Cgroup find(std::string_view parent, std::string_view id, pid_t pid) const;

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
    [[nodiscard]] Cgroup at(CgroupDriver driver, std::string_view parent,
                            std::string_view id) const;
    explicit CgroupHost(std::shared_ptr<const Impl> impl) noexcept;
    std::shared_ptr<const Impl> impl_;
};

/// The parent Docker uses: `container` if set, else `daemon`, else "/docker", or "system.slice"
/// with systemd. Source: moby daemon/oci_linux.go, withCgroups.
std::string cgroup_parent(std::string_view container, std::string_view daemon,
                          CgroupDriver driver = CgroupDriver::cgroupfs);

/// Docker's check of a cgroup parent where systemd is the driver, and its words for what is none.
/// Source: moby daemon/daemon_unix.go, verifyDaemonSettings.
bool is_slice_name(std::string_view parent);
constexpr const char* not_a_slice =
    R"(cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice")";

}  // namespace dockerd::runtime

#pragma once

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

namespace dockerd::runtime::init {

/// What the steps of preparing a container's files share. All of them end the process by fail()
/// when something does not work.
struct Rootfs {
    ContainerPlan& plan;
    const base::Fd& root;       ///< the mounted root file system
    base::Fd host_null;         ///< O_PATH of the host's /dev/null, verified
    bool join_awaited = false;  ///< the monitor has said that this process is in its cgroups
    bool cgroup_namespace_entered = false;
};

/// Makes the mount namespace a slave of the host's and puts the root file system into it.
void attach_root(Rootfs& rootfs);

/// All mounts of the plan, in order. Cgroup mounts that show the container's cgroup namespace
/// come last, when the process is in its cgroups.
void apply_mounts(Rootfs& rootfs);

/// Device nodes, /dev/fd and its like, /dev/ptmx. Nothing when /dev is a bind.
void make_devices(Rootfs& rootfs);

/// Masked and read-only paths.
void hide_paths(Rootfs& rootfs);

/// Makes the root file system the only one there is, and "/" of this process.
void enter_root(Rootfs& rootfs);

/// Writes the plan's sysctls through a procfs nobody else can reach.
void write_sysctls(const ContainerPlan& plan);

/// Makes a terminal in the container's devpts, sends its master to the monitor, binds it to
/// /dev/console when `bind_console`, and makes it standard input, output and error.
void open_terminal(const base::Fd& root, ConsoleSize size, bool bind_console);

/// Attaches the detached mount `tree` on the place `at`. 0 or an errno.
int attach(const base::Fd& tree, const base::Fd& at);

/// A new mount of `type` with comma-separated `options`, attached nowhere. `attributes` are
/// MOUNT_ATTR_ bits; `source` is what mountinfo shows, the type by default. Empty on failure, with
/// errno.
base::Fd new_mount(const char* type, const std::string& options, unsigned attributes,
                   const char* source = nullptr);

/// Waits until the monitor has put this process into its cgroups.
void await_join(Rootfs& rootfs);

/// Makes or joins the cgroup namespace. Pre: await_join().
void enter_cgroup_namespace(Rootfs& rootfs);

/// True for the character device 1:3.
bool is_null_device(const base::Fd& fd);

}  // namespace dockerd::runtime::init

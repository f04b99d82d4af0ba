#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::runtime {

/// Something of the host that is seen in a container's files.
struct ViewMount {
    enum class Submounts : std::uint8_t { as_they_are, read_only_if_possible, read_only };

    std::string source;   ///< path on the host
    std::string subpath;  ///< below `source`, resolved inside it; empty: all of it
    std::string destination;
    bool writable = true;
    bool recursive = true;
    Submounts submounts = Submounts::read_only_if_possible;  ///< of a mount that is not writable
};

/// A container's files as the engine sees them.
struct ViewPlan {
    base::Fd rootfs;                ///< detached mount
    bool read_only_rootfs = false;  ///< once the mount points are made
    std::vector<ViewMount> mounts;  ///< in any order
};

/// Runs `work` where the container's files are mounted as its processes see them, but for tmpfs and
/// what the kernel makes up (/proc, /sys, /dev); `root` is their root directory.
///
/// The mounts are private, nosuid, nodev and noexec, live in a mount namespace that nobody else
/// sees, and are gone on return. Missing mount points are made, and stay. Paths are to be resolved
/// from `root` with RESOLVE_IN_ROOT only; a mount point can be neither removed nor replaced.
///
/// Thread: `work` runs on a thread of its own, whose "/" has nothing but /proc; the caller waits.
/// Throws: what `work` throws; internal, with the path and the errno text, when a source or a mount
/// point cannot be had.
/// Source: moby daemon/containerfs_linux.go, openContainerFS.
void in_file_view(ViewPlan plan, const std::function<void(int root)>& work);

/// Whom files copied with copyUIDGID belong to.
struct FileOwner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};

/// Looks a container's Config.User up in etc/passwd and etc/group below `root`.
/// Throws: invalid_argument, `failed to look up user "x" in container: no matching entries in
/// passwd file`, and the same for groups. Source: moby daemon/archive_tarcopyoptions_unix.go.
FileOwner look_up_owner(int root, std::string_view user);

}  // namespace dockerd::runtime

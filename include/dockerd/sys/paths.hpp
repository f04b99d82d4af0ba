#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include <dockerd/base/fd.hpp>

namespace dockerd::sys {

/// Opens `path` as if `root` were "/": symbolic links stay inside, magic links are refused.
/// The descriptor is close-on-exec.
/// Returns an empty Fd with errno set on failure. Source: openat2(2), RESOLVE_IN_ROOT.
base::Fd try_open_in_root(int root, const std::string& path, int flags, mode_t mode = 0) noexcept;

/// Opens `path` below `root`. Unlike with try_open_in_root a symbolic link that leads out of
/// `root`, absolute ones included, is an error: EXDEV.
/// The descriptor is close-on-exec.
/// Returns an empty Fd with errno set on failure. Source: openat2(2), RESOLVE_BENEATH.
base::Fd try_open_beneath(int root, const std::string& path, int flags) noexcept;

/// Opens `path` below `root` if no part of it is a symbolic link: ELOOP.
/// The descriptor is close-on-exec.
/// Returns an empty Fd with errno set on failure. Source: openat2(2), RESOLVE_NO_SYMLINKS.
base::Fd try_open_without_links(int root, const std::string& path, int flags) noexcept;

/// What a part of a path that is not there means.
enum class Missing { is_error, is_kept };

/// `path` without symbolic links, "." and "..", as it is seen from inside `root`: "/a/b".
///
/// A text to be shown and compared: what it names may be another file a moment later.
/// Throws: internal, "lstat <path>: <errno text>" or "not a directory", with the errno; "too many
/// links", as the Go function of each kind says it.
/// Source: Go filepath.EvalSymlinks; moby/sys/symlink, FollowSymlinkInScope (is_kept).
std::string resolve_in_root(int root, const std::string& path, Missing missing);

/// Makes `path` and its missing parents inside `root` and opens the last directory.
/// Throws: internal, "mkdir <path>: <errno text>"; ENOTDIR where a part is no directory.
base::Fd make_directories_in_root(int root, const std::string& path, mode_t mode, uid_t uid,
                                  gid_t gid);

/// True when `path` is a directory on the host.
bool is_directory(const std::string& path) noexcept;
bool exists(const std::string& path) noexcept;

/// Makes `path` and its missing parents on the host. Throws: internal, "mkdir <path>: ...".
void make_directories(const std::string& path, mode_t mode);

}  // namespace dockerd::sys

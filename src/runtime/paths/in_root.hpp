#pragma once

#include <dockerd/base/fd.hpp>

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::runtime {

/// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS and what `resolve` adds. The
/// descriptor is close-on-exec. Empty on failure, with errno.
base::Fd open_in_root(const base::Fd& root, std::string_view path, int flags, mode_t mode = 0,
                      std::uint64_t resolve = 0);

enum class Leaf { directory, file };

/// Opens (O_PATH) the place a path names inside `root`, making it and what is missing above it.
/// Symbolic links are followed within the root, also dangling ones, as Docker's runtime does.
/// Empty on failure, with errno.
base::Fd make_in_root(const base::Fd& root, std::string_view path, Leaf leaf, mode_t mode = 0755);

/// The directory of `path` (made if absent), and its last part in `name`.
base::Fd make_parent_in_root(const base::Fd& root, std::string_view path, std::string& name);

}  // namespace dockerd::runtime

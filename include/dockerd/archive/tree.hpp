#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::archive {

/// Opens `path` below the directory `root` as if `root` were "/": links on the way, also absolute
/// ones and "..", stay inside; magic links are refused. -1 with errno on failure.
/// Source: openat2(2), RESOLVE_IN_ROOT.
base::Fd open_in_root(int root, const std::string& path, int flags);

/// Names of what is in `directory`, but "." and "..", in order. Throws: internal, "open: <errno text>".
std::vector<std::string> sorted_names(int directory);

/// Bytes of all files and symlinks below `directory`, hard links once; directories count nothing.
/// Source: moby daemon/internal/directory, Size.
std::int64_t tree_size(int directory);

/// Deletes `directory`/`name` with everything in it, following no link; missing is success.
/// Returns 0 or the first errno met; deletes as much as it can. ECANCELED: `stop` was set meanwhile.
int remove_all(int directory, const char* name, const std::atomic<bool>* stop = nullptr) noexcept;

/// "/proc/self/fd/<fd>", for calls that take no descriptor of an O_PATH open.
std::string fd_path(int fd);

}  // namespace dockerd::archive

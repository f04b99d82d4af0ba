#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>

struct stat;

namespace dockerd::archive {

/// Opens `path` below the directory `root` as if `root` were "/": links on the way, also absolute
/// ones and "..", stay inside; magic links are refused. -1 with errno on failure.
/// Source: openat2(2), RESOLVE_IN_ROOT.
base::Fd open_in_root(int root, const std::string& path, int flags);

/// Names of what is in `directory`, but "." and "..", in order. Throws: internal, "open: <errno text>".
std::vector<std::string> sorted_names(int directory);

/// Calls `visit` for everything below `directory`, however deep, with the open directory it is in; a directory
/// comes before what is in it. What vanishes meanwhile is left out.
void walk_tree(int directory, const std::function<void(int parent, const std::string& name,
                                                       const struct ::stat& info)>& visit);

/// Bytes of all files and symlinks below `directory`, hard links once; directories count nothing.
/// Source: moby daemon/internal/directory, Size.
std::int64_t tree_size(int directory);

/// Deletes `directory`/`name` with everything in it, following no link; missing is success.
/// Returns 0 or the first errno met; deletes as much as it can. ECANCELED: `stop` was set meanwhile.
int remove_all(int directory, const char* name, const std::atomic<bool>* stop = nullptr) noexcept;

/// "/proc/self/fd/<fd>", for calls that take no descriptor of an O_PATH open.
std::string fd_path(int fd);

}  // namespace dockerd::archive

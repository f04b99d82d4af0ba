#pragma once

#include <string>

namespace dockerd::store {

/// What Docker calls the file system a folder lies on: "extfs", "xfs"; "<unknown>".
/// Source: moby daemon/internal/fstype/fstype.go, FsNames.
std::string backing_file_system(int folder);

}  // namespace dockerd::store

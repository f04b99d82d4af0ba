#pragma once

#include <cstdint>
#include <string>

#include <dockerd/base/time.hpp>

/// Words of `docker cp`.
namespace dockerd::engine {

/// A file of a container, as `docker cp` asks for it.
struct PathStat {
    std::string name;
    std::int64_t size = 0;   ///< bytes, as lstat(2) says
    std::uint32_t mode = 0;  ///< st_mode
    base::WallTime mtime;
    std::string link_target;  ///< of a symlink: where it leads in the end, absolute
};

/// How a stream is packed on its way.
enum class ContentEncoding { identity, gzip, deflate };

/// How files are put into a container.
struct ExtractPathOptions {
    bool no_overwrite_dir_non_dir = false;
    bool copy_uid_gid = false;  ///< everything belongs to the container's user
};

}  // namespace dockerd::engine

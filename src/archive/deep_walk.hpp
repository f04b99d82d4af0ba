#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::archive {

/// Where a walk through a tree stands: the directories from its top to here.
///
/// Trees may be deeper than any path and than descriptors go round, so only the lowest few are
/// held open. One that was closed is opened again by "..", and must then be the same: somebody else
/// may move directories meanwhile.
class DeepWalk {
public:
    /// What comes first in a directory that was opened again.
    enum class Reopened { goes_on, starts_over };

    explicit DeepWalk(Reopened reopened) : reopened_(reopened) {}

    /// Goes into the directory `at`/`name`, following no link. False with errno.
    bool enter(int at, const std::string& name);
    /// The next entry of the current directory but "." and "..", and those to be passed over; null
    /// at its end. Valid until the next call.
    const dirent* next();
    /// Passes `name` over from now on; only of use where directories start over.
    void pass_over(const std::string& name) { levels_.back().passed_over.insert(name); }
    /// Goes up; returns the name of the directory that was left. False with errno in `left_name`'s
    /// stead when the one above cannot be had again: the walk is over then.
    bool leave(std::string& left_name);

    [[nodiscard]] bool at_end() const { return levels_.empty(); }
    [[nodiscard]] int directory() const { return ::dirfd(levels_.back().stream.get()); }

private:
    struct Close {
        void operator()(DIR* stream) const { ::closedir(stream); }
    };
    using Stream = std::unique_ptr<DIR, Close>;
    struct Level {
        Stream stream;  ///< none: closed for the time being
        long position = 0;
        dev_t device = 0;
        ino_t inode = 0;
        std::string name;
        std::set<std::string> passed_over;
    };
    static constexpr std::size_t most_open = 16;

    static Stream stream_of(base::Fd fd);
    bool reopen(Level& level, int below);

    Reopened reopened_;
    std::vector<Level> levels_;
};

}  // namespace dockerd::archive

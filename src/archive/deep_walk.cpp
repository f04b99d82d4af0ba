#include "deep_walk.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>
#include <utility>

namespace dockerd::archive {
namespace {

constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool is_dot(const char* name) {
    const std::string_view text(name);
    return text == "." || text == "..";
}

}  // namespace

DeepWalk::Stream DeepWalk::stream_of(base::Fd fd) {
    if (!fd) return nullptr;
    Stream out(::fdopendir(fd.get()));
    if (out) (void)fd.release();
    return out;
}

bool DeepWalk::enter(int at, const std::string& name) {
    Level level;
    level.stream = stream_of(base::Fd{::openat(at, name.c_str(), flags)});
    struct stat info {};
    if (!level.stream || ::fstat(::dirfd(level.stream.get()), &info) != 0) return false;
    level.device = info.st_dev;
    level.inode = info.st_ino;
    level.name = name;
    levels_.push_back(std::move(level));
    if (levels_.size() > most_open) {
        Level& above = levels_[levels_.size() - 1 - most_open];
        if (above.stream) above.position = ::telldir(above.stream.get());
        above.stream.reset();
    }
    return true;
}

const dirent* DeepWalk::next() {
    const Level& level = levels_.back();
    while (const dirent* item = ::readdir(level.stream.get())) {
        if (is_dot(item->d_name)) continue;
        if (!level.passed_over.empty() && level.passed_over.contains(item->d_name)) continue;
        return item;
    }
    return nullptr;
}

bool DeepWalk::reopen(Level& level, int below) {
    level.stream = stream_of(base::Fd{::openat(below, "..", flags)});
    struct stat info {};
    if (!level.stream || ::fstat(::dirfd(level.stream.get()), &info) != 0) return false;
    if (info.st_dev != level.device || info.st_ino != level.inode) {
        errno = ESTALE;
        return false;
    }
    if (reopened_ == Reopened::goes_on) ::seekdir(level.stream.get(), level.position);
    return true;
}

bool DeepWalk::leave(std::string& left_name) {
    const Level left = std::move(levels_.back());
    levels_.pop_back();
    left_name = left.name;
    if (levels_.empty() || levels_.back().stream) return true;
    if (reopen(levels_.back(), ::dirfd(left.stream.get()))) return true;
    const int error = errno;
    levels_.clear();
    errno = error;
    return false;
}

}  // namespace dockerd::archive

#include <dockerd/archive/tree.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <set>
#include <string_view>
#include <utility>

#include <dockerd/base/error.hpp>

#include "deep_walk.hpp"

namespace dockerd::archive {
namespace {

/// Takes a tree away, the lowest first.
class Remover {
public:
    Remover(int directory, const std::atomic<bool>* stop) : above_(directory), stop_(stop) {}

    int run(const char* name) {
        if (!walk_.enter(above_, name)) return errno == ENOENT ? 0 : errno;
        while (!walk_.at_end()) {
            if (stop_ != nullptr && stop_->load()) return ECANCELED;
            if (const dirent* item = walk_.next()) {
                take(*item);
            } else {
                leave();
            }
        }
        return first_error_;
    }

private:
    void take(const dirent& item) {
        if (item.d_type != DT_DIR) {
            if (::unlinkat(walk_.directory(), item.d_name, 0) == 0 || errno == ENOENT) return;
            if (errno != EISDIR) return failed(errno, item.d_name);
        }
        const std::string name = item.d_name;
        if (!walk_.enter(walk_.directory(), name) && errno != ENOENT) failed(errno, name);
    }
    void leave() {
        std::string name;
        if (!walk_.leave(name)) {
            if (first_error_ == 0) first_error_ = errno;
            return;
        }
        const int directory = walk_.at_end() ? above_ : walk_.directory();
        if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
            failed(errno, name);
        }
    }
    /// What cannot go is not met again.
    void failed(int error, const std::string& name) {
        if (first_error_ == 0) first_error_ = error;
        if (!walk_.at_end()) walk_.pass_over(name);
    }

    int above_;
    const std::atomic<bool>* stop_;
    DeepWalk walk_{DeepWalk::Reopened::starts_over};
    int first_error_ = 0;
};

}  // namespace

base::Fd open_in_root(int root, const std::string& path, int flags) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    for (int attempt = 0;; ++attempt) {
        const long raw =
            ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
        // EAGAIN: a rename elsewhere made ".." unsafe to judge; openat2(2) says to try again.
        if (raw >= 0 || (errno != EAGAIN && errno != EINTR) || attempt == 64) {
            return base::Fd(static_cast<int>(raw));
        }
    }
}

std::vector<std::string> sorted_names(int directory) {
    base::Fd copy{::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    DIR* const stream = copy ? ::fdopendir(copy.get()) : nullptr;
    if (stream == nullptr) base::throw_errno(errno, "open");
    (void)copy.release();
    std::vector<std::string> names;
    while (const dirent* item = ::readdir(stream)) {
        const std::string_view name(item->d_name);
        if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(stream);
    std::ranges::sort(names);
    return names;
}

void walk_tree(int directory, const std::function<void(int parent, const std::string& name,
                                                       const struct stat& info)>& visit) {
    DeepWalk walk(DeepWalk::Reopened::goes_on);
    if (!walk.enter(directory, ".")) base::throw_errno(errno, "read directory");
    std::string name;
    while (!walk.at_end()) {
        const dirent* item = walk.next();
        if (item == nullptr) {
            // Moved away under our hands: what lies above cannot be reached any more.
            if (!walk.leave(name)) break;
            continue;
        }
        name = item->d_name;
        struct stat info {};
        if (::fstatat(walk.directory(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        visit(walk.directory(), name, info);
        if (S_ISDIR(info.st_mode)) (void)walk.enter(walk.directory(), name);
    }
}

std::int64_t tree_size(int directory) {
    std::set<std::pair<dev_t, ino_t>> seen;
    std::int64_t total = 0;
    walk_tree(directory, [&](int /*parent*/, const std::string& /*name*/, const struct stat& info) {
        if (S_ISDIR(info.st_mode)) return;
        if (info.st_nlink > 1 && !seen.emplace(info.st_dev, info.st_ino).second) return;
        total += info.st_size;
    });
    return total;
}

int remove_all(int directory, const char* name, const std::atomic<bool>* stop) noexcept {
    if (::unlinkat(directory, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    try {
        return Remover(directory, stop).run(name);
    } catch (const std::exception&) {
        return ENOMEM;  // nothing else is thrown here
    }
}

std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace dockerd::archive

#include "paths/in_root.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <vector>

namespace dockerd::runtime {

namespace {

constexpr std::uint64_t inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
constexpr int most_links = 255;

/// Parts of `path` to be walked, the next one last.
using Parts = std::vector<std::string>;

void push_parts(Parts& parts, std::string_view path) {
    Parts fresh;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        if (!part.empty() && part != ".") fresh.emplace_back(part);
        path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    }
    while (!fresh.empty()) {
        parts.push_back(std::move(fresh.back()));
        fresh.pop_back();
    }
}

std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? std::string{} : path.substr(0, slash);
}

/// "." for the root itself: openat2 refuses an empty path.
const char* as_path(const std::string& resolved) {
    return resolved.empty() ? "." : resolved.c_str();
}

/// Makes `name` in the directory `at`; something that appeared meanwhile is fine.
int make_one(const base::Fd& at, const std::string& name, bool directory, mode_t mode) {
    if (directory) {
        return ::mkdirat(at.get(), name.c_str(), mode) == 0 || errno == EEXIST ? 0 : errno;
    }
    const base::Fd file{::openat(at.get(), name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)};
    return file || errno == EEXIST ? 0 : errno;
}

/// Walks part by part without the kernel following any link, so that each step can be made.
class Walk {
public:
    Walk(const base::Fd& root, Leaf leaf, mode_t mode) : root_(root), leaf_(leaf), mode_(mode) {}

    base::Fd run(std::string_view path) {
        push_parts(parts_, path);
        int steps = 0;
        while (!parts_.empty()) {
            if (++steps > PATH_MAX) return error(ELOOP);
            std::string part = std::move(parts_.back());
            parts_.pop_back();
            if (part == "..") {
                resolved_ = parent_of(resolved_);
            } else if (const int failure = step(part)) {
                return error(failure);
            }
        }
        return open_in_root(root_, as_path(resolved_), O_PATH, 0, RESOLVE_NO_SYMLINKS);
    }

private:
    static base::Fd error(int number) {
        errno = number;
        return base::Fd{};
    }

    int step(const std::string& part) {
        const std::string next = resolved_.empty() ? part : resolved_ + "/" + part;
        for (int attempt = 0; attempt < 2; ++attempt) {
            const base::Fd found = open_in_root(root_, next, O_PATH | O_NOFOLLOW);
            if (found) return enter(found, next);
            if (errno != ENOENT) return errno;
            const base::Fd at = open_in_root(root_, as_path(resolved_), O_PATH | O_DIRECTORY, 0,
                                             RESOLVE_NO_SYMLINKS);
            if (!at) return errno;
            const bool directory = !parts_.empty() || leaf_ == Leaf::directory;
            if (const int failure = make_one(at, part, directory, directory ? 0755 : mode_)) {
                return failure;
            }
        }
        return EAGAIN;
    }

    int enter(const base::Fd& found, const std::string& next) {
        struct stat info {};
        if (::fstat(found.get(), &info) != 0) return errno;
        if (!S_ISLNK(info.st_mode)) {
            resolved_ = next;
            return 0;
        }
        if (++links_ > most_links) return ELOOP;
        char target[PATH_MAX];
        const ssize_t size = ::readlinkat(found.get(), "", target, sizeof target);
        if (size < 0) return errno;
        const std::string_view text(target, static_cast<std::size_t>(size));
        if (text.starts_with('/')) resolved_.clear();
        push_parts(parts_, text);
        return 0;
    }

    const base::Fd& root_;
    Leaf leaf_;
    mode_t mode_;
    std::string resolved_;  ///< without links, relative to the root
    Parts parts_;
    int links_ = 0;
};

}  // namespace

base::Fd open_in_root(const base::Fd& root, std::string_view path, int flags, mode_t mode,
                      std::uint64_t resolve) {
    const std::string text(path);
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
    how.mode = mode;
    how.resolve = inside | resolve;
    for (int attempt = 0;; ++attempt) {
        const long fd = ::syscall(SYS_openat2, root.get(), text.c_str(), &how, sizeof how);
        // EAGAIN: something was renamed while ".." was resolved; the kernel asks to try again.
        if (fd >= 0) return base::Fd(static_cast<int>(fd));
        if ((errno != EAGAIN && errno != EINTR) || attempt > 64) return base::Fd{};
    }
}

base::Fd make_in_root(const base::Fd& root, std::string_view path, Leaf leaf, mode_t mode) {
    base::Fd found = open_in_root(root, path, O_PATH);
    if (found || errno != ENOENT) return found;
    return Walk(root, leaf, mode).run(path);
}

base::Fd make_parent_in_root(const base::Fd& root, std::string_view path, std::string& name) {
    while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    const auto slash = path.rfind('/');
    name = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
    if (name.empty() || name == "." || name == "..") {
        errno = EINVAL;
        return base::Fd{};
    }
    const auto parent =
        slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
    return make_in_root(root, parent.empty() ? "." : parent, Leaf::directory);
}

}  // namespace dockerd::runtime

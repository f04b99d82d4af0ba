#include <dockerd/sys/paths.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::sys {

using base::Fd;

namespace {

Fd try_open(int root, const std::string& path, int flags, mode_t mode,
            std::uint64_t resolve) noexcept {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = resolve;
    // EAGAIN: a rename raced with the look-up; the kernel asks to try again.
    for (int tries = 0; tries < 64; ++tries) {
        const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
        if (fd >= 0) return Fd(static_cast<int>(fd));
        if (errno != EAGAIN && errno != EINTR) break;
    }
    return {};
}

}  // namespace

Fd try_open_in_root(int root, const std::string& path, int flags, mode_t mode) noexcept {
    return try_open(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Fd try_open_without_links(int root, const std::string& path, int flags) noexcept {
    return try_open(root, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

Fd try_open_beneath(int root, const std::string& path, int flags) noexcept {
    return try_open(root, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

namespace {

/// Walks a path part by part, without the kernel following any link.
class Resolver {
public:
    Resolver(int root, const std::string& path, Missing missing)
        : root_(root), path_(path), keeps_missing_(missing == Missing::is_kept) {
        push(path);
    }

    std::string run() {
        int steps = 0;
        while (!parts_.empty()) {
            if (keeps_missing_ && ++steps > most_links) too_many();
            const std::string part = std::move(parts_.back());
            parts_.pop_back();
            if (part == "..") {
                done_.erase(done_.empty() ? 0 : done_.rfind('/'));
            } else {
                step(part);
            }
        }
        return done_.empty() ? "/" : done_;
    }

private:
    static constexpr int most_links = 255;

    void push(const std::string& path) {
        const auto parts = base::split(path, '/');
        for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
            if (!part->empty() && *part != ".") parts_.push_back(*part);
        }
    }

    void step(const std::string& part) {
        const std::string next = done_ + "/" + part;
        const Fd found = try_open_in_root(root_, next, O_PATH | O_NOFOLLOW);
        struct stat info {};
        if (!found || ::fstat(found.get(), &info) != 0) {
            if (errno != ENOENT || !keeps_missing_) base::throw_errno(errno, "lstat " + next);
            done_ = next;
        } else if (S_ISLNK(info.st_mode)) {
            if (!keeps_missing_ && ++links_ > most_links) too_many();
            enter_link(found.get(), next);
        } else if (!S_ISDIR(info.st_mode) && !parts_.empty() && !keeps_missing_) {
            throw base::Error(base::ErrorKind::internal, base::errno_text(ENOTDIR), ENOTDIR);
        } else {
            done_ = next;
        }
    }

    void enter_link(int link, const std::string& name) {
        std::string target(PATH_MAX, '\0');
        const ssize_t size = ::readlinkat(link, "", target.data(), target.size());
        if (size < 0) base::throw_errno(errno, "readlink " + name);
        target.resize(static_cast<std::size_t>(size));
        if (target.starts_with('/')) done_.clear();
        push(target);
    }

    [[noreturn]] void too_many() const {
        base::fail(base::ErrorKind::internal,
                   keeps_missing_ ? "evalSymlinksInScope: too many links in " + path_
                                  : "EvalSymlinks: too many links");
    }

    int root_;
    const std::string& path_;
    bool keeps_missing_;
    std::vector<std::string> parts_;  ///< still to walk, the next one last
    std::string done_;
    int links_ = 0;
};

}  // namespace

std::string resolve_in_root(int root, const std::string& path, Missing missing) {
    return Resolver(root, path, missing).run();
}

Fd make_directories_in_root(int root, const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
    std::string done;
    Fd current = try_open_in_root(root, "/", O_PATH | O_DIRECTORY);
    for (const std::string& part : base::split(path, '/')) {
        if (part.empty() || part == ".") continue;
        const std::string next = done + "/" + part;
        Fd child = try_open_in_root(root, next, O_PATH | O_DIRECTORY);
        if (!child && errno == ENOENT) {
            if (::mkdirat(current.get(), part.c_str(), mode) == 0) {
                (void)::fchownat(current.get(), part.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW);
            } else if (errno != EEXIST) {
                base::throw_errno(errno, "mkdir " + path);
            }
            child = try_open_in_root(root, next, O_PATH | O_DIRECTORY);
        }
        if (!child) base::throw_errno(errno, "mkdir " + path);
        current = std::move(child);
        done = next;
    }
    return current;
}

bool is_directory(const std::string& path) noexcept {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool exists(const std::string& path) noexcept {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0;
}

void make_directories(const std::string& path, mode_t mode) {
    if (is_directory(path)) return;
    const auto slash = path.find_last_of('/');
    if (slash != std::string::npos && slash > 0) make_directories(path.substr(0, slash), mode);
    if (::mkdir(path.c_str(), mode) != 0 && (errno != EEXIST || !is_directory(path))) {
        base::throw_errno(errno == EEXIST ? ENOTDIR : errno, "mkdir " + path);
    }
}

}  // namespace dockerd::sys

#include <dockerd/sys/paths.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::sys {

using base::Fd;

Fd try_open_in_root(int root, const std::string& path, int flags, mode_t mode) noexcept {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    // EAGAIN: a rename raced with the look-up; the kernel asks to try again.
    for (int tries = 0; tries < 64; ++tries) {
        const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
        if (fd >= 0) return Fd(static_cast<int>(fd));
        if (errno != EAGAIN && errno != EINTR) break;
    }
    return {};
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

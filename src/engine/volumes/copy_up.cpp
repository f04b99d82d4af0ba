#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <linux/fs.h>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/store/durable.hpp>

#include "volumes/volumes.hpp"

namespace dockerd::engine {

namespace {

constexpr int max_depth = 1024;

/// `name` in `directory` by a path whose last part alone is not followed.
std::string by_descriptor(int directory, const std::string& name) {
    return "/proc/self/fd/" + std::to_string(directory) + (name.empty() ? "" : "/" + name);
}

/// A directory below `root`, reached without any symlink.
base::Fd open_beneath(int root, const std::string& path) {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return base::Fd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

class Copier {
public:
    explicit Copier(int root) : root_(root) {}

    void directory(int source, int target, const std::string& path, int depth) {
        if (depth > max_depth) base::throw_errno(ELOOP, "copy " + path);
        for (const auto& name : archive::sorted_names(source)) {
            member(source, target, name, path.empty() ? name : path + "/" + name, depth);
        }
        struct stat found;
        if (::fstat(source, &found) != 0) fail(path);
        attributes(source, "", target, "", found, path);
    }

private:
    [[noreturn]] static void fail(const std::string& path) {
        base::throw_errno(errno, "copy " + (path.empty() ? std::string(".") : path));
    }

    void member(int source, int target, const std::string& name, const std::string& path,
                int depth) {
        struct stat found;
        if (::fstatat(source, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) fail(path);
        if (S_ISDIR(found.st_mode)) {
            if (::mkdirat(target, name.c_str(), 0700) != 0) fail(path);
            const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
            const base::Fd from(::openat(source, name.c_str(), flags));
            const base::Fd to(::openat(target, name.c_str(), flags));
            if (!from || !to) fail(path);
            directory(from.get(), to.get(), path, depth + 1);
            return;
        }
        if (S_ISSOCK(found.st_mode)) return;
        if (found.st_nlink > 1 && linked(target, name, found, path)) return;
        if (S_ISREG(found.st_mode)) {
            file(source, target, name, path);
        } else if (S_ISLNK(found.st_mode)) {
            symlink(source, target, name, path);
        } else if (::mknodat(target, name.c_str(), found.st_mode, found.st_rdev) != 0) {
            fail(path);
        }
        attributes(source, name, target, name, found, path);
    }

    /// Links `name` to the copy already made of its inode; false when there is none yet.
    bool linked(int target, const std::string& name, const struct stat& found,
                const std::string& path) {
        const auto [known, is_new] = copies_.try_emplace({found.st_dev, found.st_ino}, path);
        if (is_new) return false;
        const auto slash = known->second.rfind('/');
        const bool at_top = slash == std::string::npos;
        const base::Fd directory =
            open_beneath(root_, at_top ? "." : known->second.substr(0, slash));
        const std::string first = at_top ? known->second : known->second.substr(slash + 1);
        if (!directory || ::linkat(directory.get(), first.c_str(), target, name.c_str(), 0) != 0) {
            fail(path);
        }
        return true;
    }

    static void file(int source, int target, const std::string& name, const std::string& path) {
        const base::Fd from(
            ::openat(source, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        const base::Fd to(::openat(target, name.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!from || !to) fail(path);
        if (::ioctl(to.get(), FICLONE, from.get()) == 0) return;
        bool in_kernel = true;
        while (true) {
            ssize_t copied = -1;
            if (in_kernel) {
                copied = ::copy_file_range(from.get(), nullptr, to.get(), nullptr, 1U << 30U, 0);
                // Not between these file systems: by hand from here on.
                if (copied < 0 &&
                    (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
                    in_kernel = false;
                    continue;
                }
            } else {
                copied = by_hand(from.get(), to.get());
            }
            if (copied == 0) return;
            if (copied < 0 && errno != EINTR) fail(path);
        }
    }

    static ssize_t by_hand(int from, int to) {
        std::array<char, 64 * 1024> buffer;
        const ssize_t got = ::read(from, buffer.data(), buffer.size());
        for (ssize_t done = 0; done < got;) {
            const ssize_t put =
                ::write(to, buffer.data() + done, static_cast<std::size_t>(got - done));
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) return -1;
            done += put;
        }
        return got;
    }

    static void symlink(int source, int target, const std::string& name, const std::string& path) {
        std::array<char, 4097> text{};
        const ssize_t size = ::readlinkat(source, name.c_str(), text.data(), text.size() - 1);
        if (size < 0 || ::symlinkat(text.data(), target, name.c_str()) != 0) fail(path);
    }

    /// fchmodat(2) follows links, and what was made may be one by now: another container can have
    /// the volume, too.
    static int change_mode(int directory, const std::string& name, mode_t mode) {
        const base::Fd made(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        struct stat info {};
        if (!made || ::fstat(made.get(), &info) != 0) return -1;
        if (S_ISLNK(info.st_mode)) {
            errno = ELOOP;
            return -1;
        }
        return ::chmod(by_descriptor(made.get(), "").c_str(), mode);
    }

    /// Owner first: a change of owner takes setuid bits and capabilities away.
    static void attributes(int source, const std::string& from, int target, const std::string& to,
                           const struct stat& found, const std::string& path) {
        const int flags = AT_SYMLINK_NOFOLLOW | (to.empty() ? AT_EMPTY_PATH : 0);
        if (::fchownat(target, to.c_str(), found.st_uid, found.st_gid, flags) != 0) fail(path);
        if (!S_ISLNK(found.st_mode)) {
            const mode_t mode = found.st_mode & 07777;
            const int result = to.empty() ? ::fchmod(target, mode) : change_mode(target, to, mode);
            if (result != 0) fail(path);
        }
        extended_attributes(by_descriptor(source, from), by_descriptor(target, to), from.empty(),
                            path);
        const std::array<timespec, 2> times = {found.st_atim, found.st_mtim};
        const int result = to.empty()
                               ? ::futimens(target, times.data())
                               : ::utimensat(target, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
        if (result != 0) fail(path);
    }

    /// `follow`: the paths are descriptors' own links.
    static void extended_attributes(const std::string& from, const std::string& to, bool follow,
                                    const std::string& path) {
        std::vector<char> list(64 * 1024);
        const ssize_t size = follow ? ::listxattr(from.c_str(), list.data(), list.size())
                                    : ::llistxattr(from.c_str(), list.data(), list.size());
        std::vector<char> value;
        for (const char* name = list.data(); name < list.data() + size;
             name += std::char_traits<char>::length(name) + 1) {
            // The overlay's own marks are not the image's.
            if (std::string_view(name).starts_with("trusted.overlay.")) continue;
            value.resize(64 * 1024);
            const ssize_t length =
                follow ? ::getxattr(from.c_str(), name, value.data(), value.size())
                       : ::lgetxattr(from.c_str(), name, value.data(), value.size());
            if (length < 0) continue;
            const auto bytes = static_cast<std::size_t>(length);
            const int result = follow ? ::setxattr(to.c_str(), name, value.data(), bytes, 0)
                                      : ::lsetxattr(to.c_str(), name, value.data(), bytes, 0);
            if (result != 0 && errno != EOPNOTSUPP && errno != EPERM) fail(path);
        }
    }

    using Inode = std::pair<dev_t, ino_t>;
    int root_;
    std::map<Inode, std::string> copies_;  ///< where the first copy of a file with links lies
};

}  // namespace

void copy_up(int source, int target) {
    if (!archive::sorted_names(target).empty()) return;
    Copier(target).directory(source, target, "", 0);
    // It is copied once and never again: what a power cut took would be missed for good.
    if (!archive::sorted_names(target).empty()) store::flush_trees({target});
}

}  // namespace dockerd::engine

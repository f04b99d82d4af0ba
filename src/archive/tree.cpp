#include <dockerd/archive/tree.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string_view>

#include <dockerd/base/error.hpp>

namespace dockerd::archive {
namespace {

struct CloseDirectory {
    void operator()(DIR* stream) const { ::closedir(stream); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory open_directory(int at, const char* name) {
    base::Fd fd{::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd) return nullptr;
    Directory out(::fdopendir(fd.get()));
    if (out) (void)fd.release();
    return out;
}

bool is_dot(const char* name) {
    const std::string_view text(name);
    return text == "." || text == "..";
}

std::int64_t size_below(DIR* stream, std::set<ino_t>& seen) {
    std::int64_t total = 0;
    while (const dirent* item = ::readdir(stream)) {
        if (is_dot(item->d_name)) continue;
        if (item->d_type == DT_DIR) {
            const Directory below = open_directory(::dirfd(stream), item->d_name);
            if (below) total += size_below(below.get(), seen);
            continue;
        }
        struct stat info {};
        // A file that vanished meanwhile counts nothing.
        if (::fstatat(::dirfd(stream), item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (info.st_nlink > 1 && !seen.insert(info.st_ino).second) continue;
        total += info.st_size;
    }
    return total;
}

int remove_contents(DIR* stream) noexcept {
    int first_error = 0;
    while (const dirent* item = ::readdir(stream)) {
        if (is_dot(item->d_name)) continue;
        int error = 0;
        if (item->d_type == DT_DIR) {
            error = remove_all(::dirfd(stream), item->d_name);
        } else if (::unlinkat(::dirfd(stream), item->d_name, 0) != 0 && errno != ENOENT) {
            error = errno == EISDIR ? remove_all(::dirfd(stream), item->d_name) : errno;
        }
        if (first_error == 0) first_error = error;
    }
    return first_error;
}

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

std::int64_t tree_size(int directory) {
    const Directory stream = open_directory(directory, ".");
    if (!stream) base::throw_errno(errno, "read directory");
    std::set<ino_t> seen;
    return size_below(stream.get(), seen);
}

int remove_all(int directory, const char* name) noexcept {
    if (::unlinkat(directory, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    int error = 0;
    {
        const Directory stream = open_directory(directory, name);
        if (!stream) return errno == ENOENT ? 0 : errno;
        error = remove_contents(stream.get());
    }
    if (::unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    return error != 0 ? error : errno;
}

std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace dockerd::archive

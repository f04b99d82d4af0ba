#include "build/large_files.hpp"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

/// What costs less to copy than to do in two steps.
constexpr off_t least = 1L << 20;
constexpr const char* mark_name = "trusted.dockerd.place";

std::string mark_of(int file) {
    std::array<char, 128> buffer{};
    const ssize_t n = ::fgetxattr(file, mark_name, buffer.data(), buffer.size());
    return n < 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

/// The file at a place, if it keeps that for `mark`: a later source may have taken it.
base::Fd open_place(int parent, const std::string& name, const std::string& mark) {
    base::Fd file{
        ::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (file && mark_of(file.get()) == mark) return file;
    return {};
}

std::pair<std::string, std::string> parent_and_name(const std::string& place) {
    const auto slash = place.rfind('/');
    return {slash == std::string::npos ? "." : place.substr(0, slash), place.substr(slash + 1)};
}

void set_times(int fd, const struct stat& info, const std::string& path) {
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    if (::futimens(fd, times.data()) != 0) base::throw_errno(errno, "set times of " + path);
}

/// In the kernel where it can, which may share the bytes on the disk.
void copy_bytes(base::Fd from, int to, const std::string& place) {
    for (;;) {
        const ssize_t n = ::copy_file_range(from.get(), nullptr, to, nullptr, 1U << 30U, 0);
        if (n == 0) return;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) {
            base::throw_errno(errno, "copy to " + place);
        }
        if (n < 0) break;
    }
    (void)archive::copy(archive::fd_source(std::move(from)), archive::fd_sink(to));
}

}  // namespace

LargeFiles::LargeFiles() : mark_(base::random_hex(16)) {}

void LargeFiles::leave_out(const SourceTree& tree, const std::string& path,
                           const std::string& place, const std::optional<Owner>& owner, int file,
                           const struct stat& info, archive::TarEntry& member) {
    if (info.st_size < least || !member.xattrs.empty()) return;
    // Of one that is in a layer already the layer knows only the bytes.
    if (info.st_nlink != 1 || member.mode != (info.st_mode & 07777U) ||
        (owner && *owner != Owner{info.st_uid, info.st_gid}) ||
        ::flistxattr(file, nullptr, 0) != 0) {
        return;
    }
    const base::Fd given = tree.open_given(path);
    struct stat same {};
    if (!given || ::fstat(given.get(), &same) != 0 || same.st_dev != info.st_dev ||
        same.st_ino != info.st_ino) {
        return;
    }
    // Only a hint; the flush that counts comes later.
    (void)::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
    files_.push_back({&tree, path, info.st_ino, place.substr(1),
                      mark_ + std::to_string(files_.size())});
    member.size = 0;
    member.xattrs[mark_name] = files_.back().mark;
}

void LargeFiles::check_places(int root) {
    for (; checked_ < files_.size(); ++checked_) {
        const File& file = files_[checked_];
        const auto [above, name] = parent_and_name(file.place);
        const base::Fd parent = sys::try_open_without_links(root, above, O_RDONLY | O_DIRECTORY);
        if (!parent || !open_place(parent.get(), name, file.mark)) {
            base::fail(base::ErrorKind::internal, "copy to " + file.place + ": it is not there");
        }
    }
}

void LargeFiles::fill(int upper) const {
    for (const File& file : files_) {
        const auto [above, name] = parent_and_name(file.place);
        const base::Fd parent = sys::try_open_without_links(upper, above, O_RDONLY | O_DIRECTORY);
        if (!parent || !open_place(parent.get(), name, file.mark)) continue;
        const base::Fd given = file.tree->open_given(file.path);
        struct stat info {};
        if (!given || ::fstat(given.get(), &info) != 0 || info.st_ino != file.inode) {
            base::fail(base::ErrorKind::internal, "copy of " + file.path + ": it is not there");
        }
        struct stat above_it {};
        if (::fstat(parent.get(), &above_it) != 0) base::throw_errno(errno, "stat " + above);
        if (!link(file, given.get(), parent.get(), name)) copy(file, given.get(), parent.get(), name);
        // The directory has had its times already.
        set_times(parent.get(), above_it, above);
    }
}

/// False where the file's system is another one, or another layer has the file.
bool LargeFiles::link(const File& file, int given, int parent, const std::string& name) {
    const std::string temporary = ".dockerd-" + file.mark;
    if (::linkat(AT_FDCWD, archive::fd_path(given).c_str(), parent, temporary.c_str(),
                 AT_SYMLINK_FOLLOW) != 0) {
        return false;
    }
    struct stat info {};
    // Its name in the tree and this one: another stage may link it at the same time.
    if (::fstat(given, &info) == 0 && info.st_nlink == 2 &&
        ::renameat(parent, temporary.c_str(), parent, name.c_str()) == 0) {
        return true;
    }
    if (::unlinkat(parent, temporary.c_str(), 0) != 0) {
        base::throw_errno(errno, "unlink " + temporary);
    }
    return false;
}

void LargeFiles::copy(const File& file, int given, int parent, const std::string& name) {
    base::Fd from{::open(archive::fd_path(given).c_str(), O_RDONLY | O_CLOEXEC)};
    const base::Fd to{
        ::openat(parent, name.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat info {};
    if (!from || !to || ::fstat(to.get(), &info) != 0) {
        base::throw_errno(errno, "open " + file.place);
    }
    copy_bytes(std::move(from), to.get(), file.place);
    if (::fremovexattr(to.get(), mark_name) != 0) base::throw_errno(errno, "copy to " + file.place);
    set_times(to.get(), info, file.place);
    (void)::sync_file_range(to.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

}  // namespace dockerd::engine::builds

#include <dockerd/archive/pack.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include <dockerd/archive/tar.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "paths.hpp"

namespace dockerd::archive {
namespace {

/// What cannot be read has nothing in it.
std::vector<std::string> readable_names(int directory) {
    try {
        return sorted_names(directory);
    } catch (const base::Error&) {
        return {};
    }
}

std::string read_link(int directory, const std::string& name) {
    std::array<char, 4097> buffer{};
    const ssize_t n = ::readlinkat(directory, name.c_str(), buffer.data(), buffer.size());
    return n < 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

/// security.capability, brought to revision 2: a root uid means nothing outside its namespace.
/// Source: moby/go-archive archive.go, ReadSecurityXattrToTarHeader.
std::string capability_of(int fd) {
    std::array<char, 64> buffer{};
    const ssize_t n = ::fgetxattr(fd, "security.capability", buffer.data(), buffer.size());
    if (n <= 3) return {};
    std::string out(buffer.data(), static_cast<std::size_t>(n));
    constexpr char revision_2 = 2;
    constexpr char revision_3 = 3;
    if (out[3] == revision_3 && out.size() >= 20) {
        out[3] = revision_2;
        out.resize(20);
    }
    return out;
}

char type_flag(mode_t mode) {
    switch (mode & static_cast<mode_t>(S_IFMT)) {
        case S_IFREG:
            return '0';
        case S_IFLNK:
            return '2';
        case S_IFCHR:
            return '3';
        case S_IFBLK:
            return '4';
        case S_IFDIR:
            return '5';
        case S_IFIFO:
            return '6';
        default:
            return 0;
    }
}

class Packer {
public:
    Packer(const PackOptions& options, const ByteSink& sink)
        : options_(options), writer_(sink, options.tap), buffer_(128 * 1024) {}

    void tree(int root);
    void one(int directory, const std::string& name, const std::string& member);
    void single(int root, const PackedChange& change);
    void finish() { writer_.finish(); }

private:
    void walk(int directory, const std::string& prefix);
    void add(int directory, const std::string& name, const std::string& path);
    void add_file(int directory, const std::string& name, TarEntry& entry);
    void add_directory(int fd, TarEntry& entry);
    void read_xattrs(int fd, TarEntry& entry) const;
    [[nodiscard]] TarEntry describe(const struct stat& info, const std::string& path) const;
    bool as_hard_link(const struct stat& info, TarEntry& entry);

    const PackOptions& options_;
    TarWriter writer_;
    std::vector<char> buffer_;
    std::map<std::pair<dev_t, ino_t>, std::string> seen_;
    bool recursive_ = true;
};

void Packer::tree(int root) {
    if (options_.start_name) {
        struct stat info {};
        if (::fstat(root, &info) != 0) base::throw_errno(errno, "stat");
        TarEntry entry = describe(info, *options_.start_name);
        add_directory(root, entry);
    } else {
        walk(root, {});
    }
    writer_.finish();
}

void Packer::one(int directory, const std::string& name, const std::string& member) {
    add(directory, name, member);
    writer_.finish();
}

void Packer::walk(int directory, const std::string& prefix) {
    for (const std::string& name : readable_names(directory)) add(directory, name, prefix + name);
}

TarEntry Packer::describe(const struct stat& info, const std::string& path) const {
    TarEntry entry;
    entry.name = path;
    entry.type_flag = type_flag(info.st_mode);
    entry.mode = info.st_mode & 07777U;
    if (options_.as_chowned && S_ISREG(info.st_mode)) {
        entry.mode &= ~static_cast<std::uint32_t>(S_ISUID);
        if ((info.st_mode & S_IXGRP) != 0) entry.mode &= ~static_cast<std::uint32_t>(S_ISGID);
    }
    if (options_.mode && !S_ISLNK(info.st_mode)) entry.mode = *options_.mode;
    entry.uid = options_.owner ? options_.owner->first : info.st_uid;
    entry.gid = options_.owner ? options_.owner->second : info.st_gid;
    // Whole seconds, as Docker's tars have them: layers stay equal across file systems.
    entry.mtime = base::WallTime(info.st_mtim.tv_sec, 0);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
        entry.device_major = major(info.st_rdev);
        entry.device_minor = minor(info.st_rdev);
    }
    return entry;
}

bool Packer::as_hard_link(const struct stat& info, TarEntry& entry) {
    if (info.st_nlink < 2) return false;
    const auto [at, is_new] = seen_.try_emplace({info.st_dev, info.st_ino}, entry.name);
    if (is_new) return false;
    entry.type_flag = '1';
    entry.link_name = at->second;
    entry.size = 0;
    return true;
}

void Packer::add(int directory, const std::string& name, const std::string& path) {
    // Docker cannot name what lies deeper, and leaves it out; nor may depth cost us the stack.
    if (path.size() >= PATH_MAX) return;
    struct stat info {};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        // A live container deletes files under our hands; Docker leaves them out too.
        base::log::debug("cannot add {} to tar: {}", path, base::errno_text(errno));
        return;
    }
    TarEntry entry = describe(info, path);
    if (entry.type_flag == 0) return;  // a socket has no place in a tar
    if (S_ISDIR(info.st_mode)) {
        const base::Fd below{
            ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (below) add_directory(below.get(), entry);
        return;
    }
    if (S_ISLNK(info.st_mode)) entry.link_name = read_link(directory, name);
    const bool is_whiteout =
        options_.overlay_whiteouts && S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
    if (is_whiteout) {
        // The kernel's whiteouts are links to one device. Docker leaves the link's name in the
        // header of all but the first, and layers are to come out equal.
        (void)as_hard_link(info, entry);
        const auto [parent, base] = split_path(path);
        entry.name = (parent.empty() ? "" : parent + "/") + ".wh." + base;
        entry.mode = 0600;
        entry.type_flag = '0';
        writer_.begin(entry);
    } else if (S_ISREG(info.st_mode)) {
        add_file(directory, name, entry);
    } else {
        (void)as_hard_link(info, entry);
        writer_.begin(entry);
    }
}

void Packer::read_xattrs(int fd, TarEntry& entry) const {
    // One call tells that there are none, which is the rule.
    if (::flistxattr(fd, nullptr, 0) == 0) return;
    const std::string capability = options_.as_chowned ? std::string() : capability_of(fd);
    if (!capability.empty()) entry.xattrs["security.capability"] = capability;
    if (options_.on_attributes) options_.on_attributes(fd);
}

void Packer::single(int root, const PackedChange& change) {
    const auto [parent, base] = split_path(change.path);
    const std::string prefix = parent.empty() ? "" : parent + "/";
    if (change.removed) {
        TarEntry entry;
        entry.name = prefix + ".wh." + base;
        entry.mtime = base::WallTime(base::WallTime::now().seconds(), 0);
        writer_.begin(entry);
        return;
    }
    recursive_ = false;
    const base::Fd above = open_in_root(root, parent, O_RDONLY | O_DIRECTORY);
    if (above) add(above.get(), base, change.path);  // else it has gone meanwhile
}

void Packer::add_directory(int fd, TarEntry& entry) {
    entry.name += '/';
    read_xattrs(fd, entry);
    writer_.begin(entry);
    if (options_.overlay_whiteouts) {
        char opaque = 0;
        if (::fgetxattr(fd, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y') {
            TarEntry marker = entry;
            marker.type_flag = '0';
            marker.name = entry.name + ".wh..wh..opq";
            marker.mode = entry.mode & 0777U;
            marker.mtime = base::WallTime(0, 0);
            marker.xattrs.clear();
            writer_.begin(marker);
        }
    }
    if (recursive_) walk(fd, entry.name);
}

void Packer::add_file(int directory, const std::string& name, TarEntry& entry) {
    // Not blocking: since it was looked at the file may have become a fifo.
    const base::Fd file{
        ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    read_xattrs(file.get(), entry);
    entry.size = info.st_size;
    const bool is_link = as_hard_link(info, entry);
    if (!is_link && options_.on_file) options_.on_file(file.get(), info, entry);
    writer_.begin(entry);
    if (is_link) return;
    std::int64_t left = entry.size;
    while (left > 0) {
        const auto wanted = std::min<std::size_t>(buffer_.size(), static_cast<std::size_t>(left));
        const ssize_t n = ::read(file.get(), buffer_.data(), wanted);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;  // the writer fills up what the header promised
        writer_.data({buffer_.data(), static_cast<std::size_t>(n)});
        left -= n;
    }
}

}  // namespace

void pack(int root, const PackOptions& options, const ByteSink& sink) {
    Packer(options, sink).tree(root);
}

void pack_one(int directory, const std::string& name, const std::string& member,
              const ByteSink& sink, const PackOptions& options) {
    Packer(options, sink).one(directory, name, member);
}

void pack_changes(int root, const std::vector<PackedChange>& changes, const ByteSink& sink,
                  const PackOptions& options) {
    Packer packer(options, sink);
    for (const PackedChange& change : changes) packer.single(root, change);
    packer.finish();
}

}  // namespace dockerd::archive

#include <dockerd/archive/extract.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "paths.hpp"

namespace dockerd::archive {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_marker = ".wh..wh..opq";
/// Source: moby/go-archive archive.go, ImpliedDirectoryMode.
constexpr mode_t implied_directory_mode = 0755;
/// Smaller files are left to the flush at the end, which orders them better.
constexpr std::int64_t writeback_threshold = 1 << 20;

[[noreturn]] void refuse(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

timespec to_timespec(base::WallTime time) {
    // Source: moby/go-archive time.go, boundTime: what a 64-bit nanosecond count cannot hold is 0.
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 1'000'000'000;
    if (time.seconds() < 0 || time.seconds() > most) return {0, 0};
    return {time.seconds(), time.nanoseconds()};
}

std::array<timespec, 2> times_of(const TarEntry& entry) {
    const base::WallTime access =
        entry.atime && *entry.atime > entry.mtime ? *entry.atime : entry.mtime;
    return {to_timespec(access), to_timespec(entry.mtime)};
}

/// The call that makes a member of this type, as Go names it in its errors.
std::string_view verb_of(const TarEntry& entry) {
    switch (entry.type) {
        case TarEntry::Type::directory:
            return "mkdir";
        case TarEntry::Type::symlink:
            return "symlink";
        case TarEntry::Type::hard_link:
            return "link";
        case TarEntry::Type::char_device:
        case TarEntry::Type::block_device:
        case TarEntry::Type::fifo:
            return "mknod";
        case TarEntry::Type::file:
        case TarEntry::Type::global_header:
        case TarEntry::Type::other:
            break;
    }
    return "open";
}

class Extractor {
public:
    Extractor(TarReader& reader, int root, const ExtractOptions& options)
        : reader_(reader), root_(root), options_(options) {}

    ExtractResult run() {
        while (const TarEntry* entry = reader_.next()) {
            if (entry->type == TarEntry::Type::global_header) continue;
            ++result_.entries;
            try {
                one(*entry);
            } catch (const base::Error& error) {
                // The kernel's refusals are the archive's fault, except a full or broken disk.
                const int code = error.errno_value();
                if (code == 0 || code == ENOSPC || code == EDQUOT || code == EIO) throw;
                throw base::Error(base::ErrorKind::invalid_argument, error.what(), code);
            }
        }
        set_directory_times();
        if (replaced_ && options_.below.empty()) result_.size = tree_size(root_);
        return result_;
    }

private:
    struct Place {
        int parent = -1;
        std::string base;
    };
    /// A member that was made. Descriptors opened with O_PATH know neither fchmod nor fsetxattr;
    /// for those the place is set, which names the member once more.
    struct Held {
        int fd = -1;
        const Place* place = nullptr;
    };
    struct DirectoryTimes {
        std::string path;
        std::array<timespec, 2> times;
    };

    void one(const TarEntry& entry);
    /// A member's path from the root on, without a leading slash.
    [[nodiscard]] std::string full_path(const std::string& cleaned) const {
        if (options_.below.empty()) return cleaned;
        return cleaned == "." ? options_.below : options_.below + "/" + cleaned;
    }
    /// The same as a client reads it.
    [[nodiscard]] std::string shown(const TarEntry& entry) const {
        return "/" + full_path(clean_name(entry.name));
    }
    void check_link(std::string_view kind, std::string_view target, const std::string& path,
                    const std::string& link) const;
    void enter_parent(const TarEntry& entry, const std::string& path);
    void make_implied(const std::string& path);
    bool whiteout(const TarEntry& entry, const Place& place);
    void overlay_whiteout(const TarEntry& entry, const Place& place, const std::string& hidden);
    void make_room(const TarEntry& entry, const Place& place);
    void create(const TarEntry& entry, const Place& place);
    void create_directory(const TarEntry& entry, const Place& place);
    void create_file(const TarEntry& entry, const Place& place);
    void create_node(const TarEntry& entry, const Place& place);
    void create_symlink(const TarEntry& entry, const Place& place);
    void create_link(const TarEntry& entry, const Place& place);
    void write_data(const TarEntry& entry, int fd);
    void attributes(const TarEntry& entry, const Held& held);
    void set_xattrs(const TarEntry& entry, const Held& held);
    static bool change_mode_of_path(int fd, const Place& place, mode_t mode);
    static base::Fd open_same(const Place& place, const struct stat& looked_at);
    static void go_to(int directory);
    void set_directory_times();
    [[nodiscard]] std::pair<uid_t, gid_t> owner_of(const TarEntry& entry) const;

    /// Runs `call` until it makes the object, making room once if something is in the way. `what`
    /// says in Go's way what was tried: "open", "link /a".
    template <typename Call>
    void exclusively(const TarEntry& entry, const Place& place, std::string_view what,
                     const Call& call) {
        if (call()) return;
        if (errno == EEXIST) {
            make_room(entry, place);
            if (call()) return;
        }
        const int error = errno;
        base::throw_errno(error, fmt::format("{} {}", what, shown(entry)));
    }

    TarReader& reader_;
    int root_;
    const ExtractOptions& options_;
    ExtractResult result_;
    std::int64_t written_ = 0;
    bool replaced_ = false;
    std::string parent_path_;
    base::Fd parent_;
    bool parent_set_gid_ = false;
    std::vector<DirectoryTimes> directories_;
};

void Extractor::one(const TarEntry& entry) {
    const std::string path = clean_name(options_.names_stay_inside ? "/" + entry.name : entry.name);
    // Source: moby/go-archive archive.go, Unpack.
    if (path == ".." || path.starts_with("../")) {
        refuse(fmt::format("{} is outside of {}", base::quote(path),
                           base::quote("/" + options_.below)));
    }
    if (path == ".") return;
    auto [parent, base] = split_path(full_path(path));
    enter_parent(entry, parent);
    const Place place{parent_.get(), std::move(base)};
    if (whiteout(entry, place)) return;
    create(entry, place);
}

void Extractor::enter_parent(const TarEntry& entry, const std::string& path) {
    if (parent_ && path == parent_path_) return;
    constexpr int flags = O_PATH | O_DIRECTORY;
    base::Fd fd = open_in_root(root_, path, flags);
    if (!fd && errno == ENOENT) {
        make_implied(path);
        fd = open_in_root(root_, path, flags);
    }
    if (!fd) {
        const int error = errno;
        base::throw_errno(error, fmt::format("{} {}", verb_of(entry), shown(entry)));
    }
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) base::throw_errno(errno, "stat");
    parent_set_gid_ = (info.st_mode & S_ISGID) != 0;
    parent_ = std::move(fd);
    parent_path_ = path;
}

void Extractor::make_implied(const std::string& path) {
    std::size_t end = 0;
    while (end != std::string::npos) {
        end = path.find('/', end == 0 ? 0 : end + 1);
        const std::string prefix = path.substr(0, end);
        const base::Fd there = open_in_root(root_, prefix, O_PATH | O_DIRECTORY);
        if (there) continue;
        if (errno != ENOENT) base::throw_errno(errno, fmt::format("mkdir {}", prefix));
        const auto [parent, base] = split_path(prefix);
        const base::Fd above = open_in_root(root_, parent, O_PATH | O_DIRECTORY);
        if (!above || ::mkdirat(above.get(), base.c_str(), implied_directory_mode) != 0) {
            base::throw_errno(errno, fmt::format("mkdir {}", prefix));
        }
        // The process's umask must not show in an image.
        const base::Fd made{
            ::openat(above.get(), base.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (!made || ::fchmod(made.get(), implied_directory_mode) != 0) {
            base::throw_errno(errno, fmt::format("chmod {}", prefix));
        }
        if (options_.owner &&
            ::fchown(made.get(), options_.owner->first, options_.owner->second) != 0) {
            base::throw_errno(errno, fmt::format("chown {}", prefix));
        }
    }
}

bool Extractor::whiteout(const TarEntry& entry, const Place& place) {
    if (options_.whiteouts == ExtractOptions::Whiteouts::plain) return false;
    if (!place.base.starts_with(whiteout_prefix)) return false;
    const bool overlay = options_.whiteouts == ExtractOptions::Whiteouts::overlay;
    if (place.base == opaque_marker) {
        if (!overlay) return true;
        go_to(place.parent);
        if (::lsetxattr(".", "trusted.overlay.opaque", "y", 1, 0) != 0) {
            base::throw_errno(errno, fmt::format("setxattr {}", entry.name));
        }
        return true;
    }
    const std::string hidden = place.base.substr(whiteout_prefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
        refuse(fmt::format("invalid whiteout {}", base::quote(entry.name)));
    }
    if (overlay) {
        overlay_whiteout(entry, place, hidden);
    } else {
        const int error = remove_all(place.parent, hidden.c_str());
        if (error != 0) base::throw_errno(error, fmt::format("remove {}", entry.name));
        parent_.reset();
    }
    return true;
}

void Extractor::overlay_whiteout(const TarEntry& entry, const Place& place,
                                 const std::string& hidden) {
    if (::mknodat(place.parent, hidden.c_str(), S_IFCHR, makedev(0, 0)) == 0) {
        const auto [uid, gid] = owner_of(entry);
        if (::fchownat(place.parent, hidden.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
            base::throw_errno(errno, fmt::format("chown {}", entry.name));
        }
        return;
    }
    if (errno != EEXIST) base::throw_errno(errno, fmt::format("mknod {}", entry.name));
    // A whiteout hides lower layers only: what this layer itself brings stays.
    const base::Fd own{
        ::openat(place.parent, hidden.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (own && ::fsetxattr(own.get(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
        base::throw_errno(errno, fmt::format("setxattr {}", entry.name));
    }
}

void Extractor::make_room(const TarEntry& entry, const Place& place) {
    struct stat info {};
    if (::fstatat(place.parent, place.base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return;
        base::throw_errno(errno, "lstat " + shown(entry));
    }
    const bool is_directory = S_ISDIR(info.st_mode);
    const bool wants_directory = entry.type == TarEntry::Type::directory;
    // Source: moby/go-archive archive.go, Unpack: the words `docker cp` shows.
    if (options_.no_overwrite_dir_non_dir && is_directory && !wants_directory) {
        refuse(fmt::format("cannot overwrite directory {} with non-directory {}",
                           base::quote(shown(entry)), base::quote("/" + options_.below)));
    }
    if (options_.no_overwrite_dir_non_dir && !is_directory && wants_directory) {
        refuse(fmt::format("cannot overwrite non-directory {} with directory {}",
                           base::quote(shown(entry)), base::quote("/" + options_.below)));
    }
    const int error = remove_all(place.parent, place.base.c_str());
    if (error != 0) base::throw_errno(error, "unlinkat " + shown(entry));
    replaced_ = true;
}

void Extractor::create(const TarEntry& entry, const Place& place) {
    switch (entry.type) {
        case TarEntry::Type::directory:
            create_directory(entry, place);
            return;
        case TarEntry::Type::file:
            create_file(entry, place);
            return;
        case TarEntry::Type::char_device:
        case TarEntry::Type::block_device:
        case TarEntry::Type::fifo:
            create_node(entry, place);
            return;
        case TarEntry::Type::symlink:
            create_symlink(entry, place);
            return;
        case TarEntry::Type::hard_link:
            create_link(entry, place);
            return;
        case TarEntry::Type::global_header:
            return;
        case TarEntry::Type::other:
            break;
    }
    // Source: moby/go-archive archive.go, createTarFile.
    refuse(fmt::format("unhandled tar header type {}", static_cast<int>(entry.type_flag)));
}

void Extractor::create_directory(const TarEntry& entry, const Place& place) {
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    base::Fd fd;
    if (::mkdirat(place.parent, place.base.c_str(), 0700) != 0) {
        if (errno != EEXIST) base::throw_errno(errno, "mkdir " + shown(entry));
        // A directory that is there already is merged with.
        fd.reset(::openat(place.parent, place.base.c_str(), flags));
        if (!fd) {
            make_room(entry, place);
            if (::mkdirat(place.parent, place.base.c_str(), 0700) != 0) {
                base::throw_errno(errno, "mkdir " + shown(entry));
            }
        }
    }
    if (!fd) fd.reset(::openat(place.parent, place.base.c_str(), flags));
    if (!fd) base::throw_errno(errno, "open " + shown(entry));
    attributes(entry, {.fd = fd.get()});
    directories_.push_back({full_path(clean_name(entry.name)), times_of(entry)});
}

void Extractor::create_file(const TarEntry& entry, const Place& place) {
    base::Fd fd;
    exclusively(entry, place, "open", [&] {
        fd.reset(::openat(place.parent, place.base.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        return static_cast<bool>(fd);
    });
    write_data(entry, fd.get());
    result_.size += entry.size;
    attributes(entry, {.fd = fd.get()});
    if (::futimens(fd.get(), times_of(entry).data()) != 0) base::throw_errno(errno, entry.name);
    if (options_.start_writeback && entry.size >= writeback_threshold) {
        // Only a hint; the flush that counts comes later.
        (void)::sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

void Extractor::write_data(const TarEntry& entry, int fd) {
    for (;;) {
        std::string_view bytes = reader_.read_view();
        if (bytes.empty()) return;
        written_ += static_cast<std::int64_t>(bytes.size());
        if (options_.max_bytes > 0 && written_ > options_.max_bytes) {
            refuse(fmt::format("archive is larger than {} bytes", options_.max_bytes));
        }
        while (!bytes.empty()) {
            const ssize_t n = ::write(fd, bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) base::throw_errno(errno, fmt::format("write {}", entry.name));
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }
}

void Extractor::create_node(const TarEntry& entry, const Place& place) {
    mode_t mode = entry.mode & 07777U;
    if (entry.type == TarEntry::Type::char_device) mode |= S_IFCHR;
    if (entry.type == TarEntry::Type::block_device) mode |= S_IFBLK;
    if (entry.type == TarEntry::Type::fifo) mode |= S_IFIFO;
    const dev_t device =
        entry.type == TarEntry::Type::fifo ? 0 : makedev(entry.device_major, entry.device_minor);
    bool skipped = false;
    exclusively(entry, place, "mknod", [&] {
        const mode_t before = ::umask(0);
        const int made = ::mknodat(place.parent, place.base.c_str(), mode, device);
        const int error = errno;
        (void)::umask(before);
        errno = error;
        if (made == 0) return true;
        skipped = errno == EPERM && options_.best_effort;
        return skipped;
    });
    if (skipped) return;
    const base::Fd node{
        ::openat(place.parent, place.base.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    if (!node) base::throw_errno(errno, entry.name);
    attributes(entry, {.fd = node.get(), .place = &place});
    if (::utimensat(place.parent, place.base.c_str(), times_of(entry).data(),
                    AT_SYMLINK_NOFOLLOW) != 0) {
        base::throw_errno(errno, entry.name);
    }
}

void Extractor::create_symlink(const TarEntry& entry, const Place& place) {
    if (!options_.below.empty()) {
        const std::string path = full_path(clean_name(entry.name));
        check_link("symlink", "/" + split_path(path).first + "/" + entry.link_name, "/" + path,
                   entry.link_name);
    }
    exclusively(entry, place, "symlink " + entry.link_name, [&] {
        return ::symlinkat(entry.link_name.c_str(), place.parent, place.base.c_str()) == 0;
    });
    result_.size += static_cast<std::int64_t>(entry.link_name.size());
    const auto [uid, gid] = owner_of(entry);
    if (::fchownat(place.parent, place.base.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
        base::throw_errno(errno, fmt::format("chown {}", entry.name));
    }
    if (!entry.xattrs.empty()) {
        const base::Fd link{
            ::openat(place.parent, place.base.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        if (link) set_xattrs(entry, {.fd = link.get(), .place = &place});
    }
    if (::utimensat(place.parent, place.base.c_str(), times_of(entry).data(),
                    AT_SYMLINK_NOFOLLOW) != 0) {
        base::throw_errno(errno, entry.name);
    }
}

void Extractor::create_link(const TarEntry& entry, const Place& place) {
    const std::string target = clean_name("/" + options_.below + "/" + entry.link_name);
    if (!options_.below.empty()) check_link("hardlink", target, "/" + target, entry.link_name);
    const std::string what = "link /" + target;
    const auto [parent, base] = split_path(target);
    const base::Fd target_parent = open_in_root(root_, parent, O_PATH | O_DIRECTORY);
    if (!target_parent) base::throw_errno(errno, what + " " + shown(entry));
    if (base == ".") base::throw_errno(EPERM, what + " " + shown(entry));
    exclusively(entry, place, what, [&] {
        return ::linkat(target_parent.get(), base.c_str(), place.parent, place.base.c_str(), 0) ==
               0;
    });
    const base::Fd node{
        ::openat(place.parent, place.base.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    struct stat info {};
    if (!node || ::fstat(node.get(), &info) != 0) base::throw_errno(errno, entry.name);
    if (S_ISREG(info.st_mode)) {
        const base::Fd file = open_same(place, info);
        attributes(entry, {.fd = file.get()});
    } else {
        attributes(entry, {.fd = node.get(), .place = &place});
    }
    if (!S_ISLNK(info.st_mode) && ::utimensat(place.parent, place.base.c_str(),
                                              times_of(entry).data(), AT_SYMLINK_NOFOLLOW) != 0) {
        base::throw_errno(errno, entry.name);
    }
}

/// Docker's own check by name, which refuses links that lead out of where is unpacked. What keeps
/// this safe is not it but that no link is ever followed out of the root.
/// Source: moby/go-archive archive.go, createTarFile.
void Extractor::check_link(std::string_view kind, std::string_view target, const std::string& path,
                           const std::string& link) const {
    if (("/" + clean_name("/" + std::string(target))).starts_with("/" + options_.below)) return;
    refuse(fmt::format("invalid {} {} -> {}", kind, base::quote(path), base::quote(link)));
}

std::pair<uid_t, gid_t> Extractor::owner_of(const TarEntry& entry) const {
    if (options_.owner) return *options_.owner;
    constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max() - 1;
    if (entry.uid < 0 || entry.uid > most || entry.gid < 0 || entry.gid > most) {
        refuse(fmt::format("{}: user {} or group {} is out of range", entry.name, entry.uid,
                           entry.gid));
    }
    return {static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid)};
}

/// Owner first: chown(2) takes setuid bits and capabilities away again.
void Extractor::attributes(const TarEntry& entry, const Held& held) {
    const auto [uid, gid] = owner_of(entry);
    // A new file is root's already, unless its directory hands its group down.
    const bool maybe_old =
        entry.type == TarEntry::Type::hard_link || entry.type == TarEntry::Type::directory;
    if (uid != 0 || gid != 0 || parent_set_gid_ || maybe_old || ::geteuid() != 0) {
        if (::fchownat(held.fd, "", uid, gid, AT_EMPTY_PATH) != 0) {
            base::throw_errno(errno, fmt::format("failed to Lchown {} for UID {}, GID {}",
                                                 base::quote(shown(entry)), uid, gid));
        }
    }
    if (!entry.xattrs.empty()) set_xattrs(entry, held);
    const mode_t mode = entry.mode & 07777U;
    const bool done = held.place == nullptr ? ::fchmod(held.fd, mode) == 0
                                            : change_mode_of_path(held.fd, *held.place, mode);
    if (!done) base::throw_errno(errno, fmt::format("chmod {}", entry.name));
}

/// chmod of what is neither a regular file nor a directory. It was made with its mode, which
/// chown(2) may have taken bits of.
bool Extractor::change_mode_of_path(int fd, const Place& place, mode_t mode) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return false;
    if (S_ISLNK(info.st_mode) || (info.st_mode & 07777U) == mode) return true;
    constexpr long fchmodat2_call = 452;  // the same on all architectures; since Linux 6.6
    if (::syscall(fchmodat2_call, fd, "", mode, AT_EMPTY_PATH) == 0) return true;
    return ::fchmodat(place.parent, place.base.c_str(), mode, 0) == 0;
}

/// The regular file at `place`, which must be the one that was looked at.
base::Fd Extractor::open_same(const Place& place, const struct stat& looked_at) {
    base::Fd file{
        ::openat(place.parent, place.base.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0) base::throw_errno(errno, place.base);
    if (info.st_ino != looked_at.st_ino || info.st_dev != looked_at.st_dev) {
        base::throw_errno(ESTALE, place.base);
    }
    return file;
}

/// Makes a directory the working one: attributes have no call that takes a descriptor and a name,
/// and the root may have no /proc to name descriptors by.
void Extractor::go_to(int directory) {
    if (::fchdir(directory) != 0) base::throw_errno(errno, "chdir");
}

void Extractor::set_xattrs(const TarEntry& entry, const Held& held) {
    if (held.place != nullptr) go_to(held.place->parent);
    for (const auto& [name, value] : entry.xattrs) {
        // Overlay's own attributes would let an image redirect lookups into other layers.
        if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) continue;
        const int failed = held.place == nullptr
                               ? ::fsetxattr(held.fd, name.c_str(), value.data(), value.size(), 0)
                               : ::lsetxattr(held.place->base.c_str(), name.c_str(), value.data(),
                                             value.size(), 0);
        if (failed == 0) continue;
        if (errno == EPERM || (errno == ENOTSUP && options_.best_effort)) continue;
        base::throw_errno(errno, fmt::format("setxattr {} {}", entry.name, name));
    }
}

void Extractor::set_directory_times() {
    for (const DirectoryTimes& directory : directories_) {
        const auto [parent, base] = split_path(directory.path);
        const base::Fd above = open_in_root(root_, parent, O_PATH | O_DIRECTORY);
        // A later member may have replaced the directory; then there is nothing to set.
        if (!above) continue;
        (void)::utimensat(above.get(), base.c_str(), directory.times.data(), AT_SYMLINK_NOFOLLOW);
    }
}

}  // namespace

ExtractResult extract(TarReader& reader, int root, const ExtractOptions& options) {
    return Extractor(reader, root, options).run();
}

ExtractResult extract(ByteSource source, int root, const ExtractOptions& options) {
    TarReader reader(decompress(std::move(source)));
    const ExtractResult result = extract(reader, root, options);
    reader.drain();
    return result;
}

}  // namespace dockerd::archive

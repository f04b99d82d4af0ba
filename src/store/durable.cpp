#include <dockerd/store/durable.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::store {
namespace {

/// Source: moby/sys/atomicwriter: the prefix Docker's own leftovers have.
constexpr std::string_view temporary_prefix = ".tmp-";
constexpr long xfs_magic = 0x58465342;
/// So many are flushed one by one.
constexpr int few_files = 100;
/// More than a large image; what lies above is likely to be others' data.
constexpr std::int64_t patience = std::int64_t{1} << 30;

void write_whole(int fd, const std::string& name, std::string_view content) {
    while (!content.empty()) {
        const ssize_t n = ::write(fd, content.data(), content.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, fmt::format("write {}", name));
        content.remove_prefix(static_cast<std::size_t>(n));
    }
}

/// A new file beside `name` with the content and exact mode.
std::pair<std::string, base::Fd> write_temporary(int directory, const std::string& name,
                                                 std::string_view content, mode_t mode) {
    const std::string temporary =
        fmt::format("{}{}{}", temporary_prefix, name, base::random_hex(5));
    base::Fd fd{
        ::openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)};
    if (!fd) base::throw_errno(errno, fmt::format("write {}", name));
    try {
        write_whole(fd.get(), name, content);
        if (::fchmod(fd.get(), mode) != 0) base::throw_errno(errno, fmt::format("chmod {}", name));
    } catch (...) {
        (void)::unlinkat(directory, temporary.c_str(), 0);  // the first failure is reported
        throw;
    }
    return {temporary, std::move(fd)};
}

bool has_sequential_journal(int fd) {
    struct statfs info {};
    if (::fstatfs(fd, &info) != 0) return false;
    return info.f_type == EXT4_SUPER_MAGIC || info.f_type == xfs_magic;
}

/// Detaches every mount at or below `path`, deepest first.
void detach_below(const std::string& path) {
    std::ifstream table("/proc/self/mountinfo");
    std::vector<std::string> targets;
    for (std::string line; std::getline(table, line);) {
        const std::vector<std::string> fields = base::split(line, ' ');
        if (fields.size() < 5) continue;
        if (fields[4] == path || fields[4].starts_with(path + "/")) targets.push_back(fields[4]);
    }
    for (auto target = targets.rbegin(); target != targets.rend(); ++target) {
        // Gone already is as good.
        (void)::umount2(target->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    }
}

/// What the machine has yet to write, by /proc/meminfo.
std::int64_t dirty_bytes() {
    std::ifstream table("/proc/meminfo");
    for (std::string line; std::getline(table, line);) {
        if (!line.starts_with("Dirty:")) continue;
        const std::string_view digits = base::trim(std::string_view(line).substr(6));
        return base::parse_int(digits.substr(0, digits.find(' '))).value_or(0) * 1024;
    }
    return 0;
}

struct CloseStream {
    void operator()(DIR* stream) const { ::closedir(stream); }
};
using DirectoryStream = std::unique_ptr<DIR, CloseStream>;

/// Of the directory from its beginning; none and errno on failure.
DirectoryStream open_stream(int directory) {
    base::Fd copy{::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    DirectoryStream stream(copy ? ::fdopendir(copy.get()) : nullptr);
    if (stream) (void)copy.release();  // the stream's
    return stream;
}

/// Writes the data of every regular file below and waits for it.
void flush_files(int directory) {
    constexpr unsigned whole =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const DirectoryStream stream = open_stream(directory);
    if (!stream) base::throw_errno(errno, "read directory");
    while (const dirent* item = ::readdir(stream.get())) {
        const std::string_view name(item->d_name);
        const bool is_directory = item->d_type == DT_DIR && name != "." && name != "..";
        if (item->d_type != DT_REG && !is_directory) continue;
        const base::Fd fd{
            ::openat(directory, item->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
        if (!fd) base::throw_errno(errno, "open");
        if (is_directory) {
            flush_files(fd.get());
        } else if (::sync_file_range(fd.get(), 0, 0, whole) != 0) {
            base::throw_errno(errno, "sync_file_range");
        }
    }
}

/// Whether there are at most `left` files and directories below; `left` is what is left of that.
bool has_few_files(int directory, int& left) {
    const DirectoryStream stream = open_stream(directory);
    if (!stream) base::throw_errno(errno, "read directory");
    while (const dirent* item = ::readdir(stream.get())) {
        const std::string_view name(item->d_name);
        if (name == "." || name == "..") continue;
        if (--left < 0) return false;
        if (item->d_type != DT_DIR) continue;
        const base::Fd fd{
            ::openat(directory, item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (!fd) base::throw_errno(errno, "open");
        if (!has_few_files(fd.get(), left)) return false;
    }
    return true;
}

std::string path_of(int directory) {
    std::array<char, 4096> buffer{};
    const ssize_t n = ::readlink(archive::fd_path(directory).c_str(), buffer.data(), buffer.size());
    return n < 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

}  // namespace

void write_durable(int directory, const std::string& name, std::string_view content, mode_t mode) {
    auto [temporary, fd] = write_temporary(directory, name, content, mode);
    const bool stored = ::fsync(fd.get()) == 0 &&
                        ::renameat(directory, temporary.c_str(), directory, name.c_str()) == 0;
    if (!stored) {
        const int error = errno;
        (void)::unlinkat(directory, temporary.c_str(), 0);  // the first failure is reported
        base::throw_errno(error, fmt::format("write {}", name));
    }
    if (::fsync(directory) != 0) base::throw_errno(errno, fmt::format("sync {}", name));
}

void write_durable(const std::string& path, std::string_view content, mode_t mode) {
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const base::Fd directory{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory) base::throw_errno(errno, fmt::format("open {}", parent));
    write_durable(directory.get(), path.substr(slash + 1), content, mode);
}

Batch::~Batch() = default;

void Batch::write_new(int directory, const std::string& name, std::string_view content,
                      mode_t mode) {
    base::Fd fd{::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)};
    if (!fd) base::throw_errno(errno, fmt::format("write {}", name));
    write_whole(fd.get(), name, content);
    if (content.empty()) return;
    // Begins the write; commit() waits for it, after all files have been begun.
    (void)::sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    files_.push_back(std::move(fd));
}

void Batch::replace(int directory, const std::string& name, std::string_view content, mode_t mode) {
    auto [temporary, fd] = write_temporary(directory, name, content, mode);
    rename(directory, fd, temporary, name);
    files_.push_back(std::move(fd));
}

void Batch::rename(int directory, const base::Fd& file, const std::string& from,
                   const std::string& to) {
    // Data before name: else a power cut could show an empty file under the final name.
    constexpr unsigned whole =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    (void)::sync_file_range(file.get(), 0, 0, whole);
    if (::renameat(directory, from.c_str(), directory, to.c_str()) == 0) return;
    const int error = errno;
    (void)::unlinkat(directory, from.c_str(), 0);  // the first failure is reported
    base::throw_errno(error, fmt::format("write {}", to));
}

void StartWrites::settle() noexcept {
    Batch batch;
    std::map<dev_t, int> last;  ///< the directory changed last, on each file system
    // They own what the directories are open by.
    const std::vector<Write> writes = std::exchange(writes_, {});
    for (const Write& write : writes) {
        try {
            const int directory = write(batch);
            struct stat info {};
            if (directory >= 0 && ::fstat(directory, &info) == 0) last[info.st_dev] = directory;
        } catch (const std::exception& error) {
            base::log::error("what the start changed is not on disk: {}", error.what());
        }
    }
    for (const auto& [device, directory] : last) {
        try {
            batch.commit(directory);
        } catch (const std::exception& error) {
            base::log::error("what the start changed is not on disk: {}", error.what());
        }
    }
}

void Batch::flush_data() {
    constexpr unsigned whole =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    for (const base::Fd& file : files_) {
        if (::sync_file_range(file.get(), 0, 0, whole) != 0) {
            base::throw_errno(errno, "sync_file_range");
        }
    }
    files_.clear();
}

void flush_trees(const std::vector<int>& directories) {
    int left = few_files;
    const bool few = std::ranges::all_of(
        directories, [&](int directory) { return has_few_files(directory, left); });
    const bool patient = !few && dirty_bytes() < patience;
    std::set<dev_t> flushed;
    for (const int directory : directories) {
        // syncfs orders the writes best, but it also waits for everybody else's data.
        if (!patient && has_sequential_journal(directory)) {
            flush_files(directory);
            continue;
        }
        struct stat info {};
        if (::fstat(directory, &info) != 0) base::throw_errno(errno, "stat");
        if (!flushed.insert(info.st_dev).second) continue;
        if (::syncfs(directory) != 0) base::throw_errno(errno, "syncfs");
    }
}

void Batch::order(int directory) {
    if (!has_sequential_journal(directory)) return commit(directory);
    flush_data();
}

void Batch::commit(int directory) {
    if (!has_sequential_journal(directory)) {
        files_.clear();
        if (::syncfs(directory) != 0) base::throw_errno(errno, "syncfs");
        return;
    }
    flush_data();
    // Another thread's fsync may have committed the directory's last change already, and then an
    // fsync here would return at once, without the extents of the files just written. A fresh
    // change of the directory joins the journal's newest transaction, so all before it goes too.
    (void)::futimens(directory, nullptr);
    if (::fsync(directory) != 0) base::throw_errno(errno, "fsync");
}

void sweep_temporaries(int directory) {
    const DirectoryStream stream = open_stream(directory);
    while (const dirent* item = stream ? ::readdir(stream.get()) : nullptr) {
        if (std::string_view(item->d_name).starts_with(temporary_prefix)) {
            (void)::unlinkat(directory, item->d_name, 0);  // a leftover: next start tries again
        }
    }
}

void remove_tree(int directory, const std::string& name, const std::atomic<bool>* stop) {
    int error = archive::remove_all(directory, name.c_str(), stop);
    if (error == EBUSY) {
        detach_below(path_of(directory) + "/" + name);
        error = archive::remove_all(directory, name.c_str(), stop);
    }
    if (error != 0) base::throw_errno(error, fmt::format("remove {}", name));
}

base::Fd open_regular(int directory, const std::string& name, int flags) {
    // Without O_NONBLOCK a FIFO in the file's place would keep us for ever.
    flags |= O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    base::Fd fd = directory == AT_FDCWD
                      ? base::Fd{::openat(directory, name.c_str(), flags)}
                      : sys::try_open_without_links(directory, name, flags);
    if (!fd) {
        if (errno == ENOENT) {
            throw base::Error(base::ErrorKind::not_found,
                              fmt::format("read {}: {}", name, base::errno_text(ENOENT)), ENOENT);
        }
        base::throw_errno(errno, fmt::format("read {}", name));
    }
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) base::throw_errno(errno, fmt::format("read {}", name));
    if (S_ISDIR(info.st_mode)) base::throw_errno(EISDIR, fmt::format("read {}", name));
    if (!S_ISREG(info.st_mode)) {
        base::fail(base::ErrorKind::internal, fmt::format("read {}: not a regular file", name));
    }
    return fd;
}

std::string read_file(int directory, const std::string& name, std::size_t limit) {
    const base::Fd fd = open_regular(directory, name, O_RDONLY);
    struct stat info {};
    if (::fstat(fd.get(), &info) == 0 && info.st_size > 0 &&
        static_cast<std::size_t>(info.st_size) > limit) {
        base::fail(base::ErrorKind::internal, fmt::format("read {}: file too large", name));
    }
    std::string out;
    std::array<char, 8192> buffer;
    for (;;) {
        const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, fmt::format("read {}", name));
        if (n == 0) return out;
        out.append(buffer.data(), static_cast<std::size_t>(n));
        if (out.size() > limit) {
            base::fail(base::ErrorKind::internal, fmt::format("read {}: file too large", name));
        }
    }
}

std::string set_aside(const std::string& path) {
    std::string name = fmt::format("{}.damaged-{}", path, base::random_hex(4));
    if (::rename(path.c_str(), name.c_str()) != 0) {
        base::throw_errno(errno, fmt::format("rename {}", path));
    }
    return name;
}

base::Fd open_or_make_directory(const std::string& path, mode_t mode) {
    base::Fd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (fd) return fd;
    if (errno == ENOENT) {
        const std::size_t slash = path.find_last_not_of('/');
        const std::size_t cut = path.rfind('/', slash);
        if (cut != std::string::npos && cut > 0)
            (void)open_or_make_directory(path.substr(0, cut), mode);
        if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
            base::throw_errno(errno, fmt::format("mkdir {}", path));
        }
        fd.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd) (void)::fchmod(fd.get(), mode);  // the umask is the caller's business elsewhere
    }
    if (!fd) base::throw_errno(errno, fmt::format("open {}", path));
    return fd;
}

}  // namespace dockerd::store

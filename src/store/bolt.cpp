#include <dockerd/store/bolt.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/store/durable.hpp>

namespace dockerd::store {
namespace {

/// Source: bbolt bolt_unix.go, flock: how often it asks again.
constexpr std::chrono::milliseconds lock_retry{50};
constexpr std::size_t max_size = 1U << 30U;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }
std::string base_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string temporary_of(const std::string& path) {
    return fmt::format(".tmp-{}{}", base_of(path), base::random_hex(5));
}

bool is_current(int fd, const std::string& path) {
    struct stat held {};
    struct stat named {};
    return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

bool is_regular(int fd) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

/// Opens the file, or makes it where there is none. A directory, link, FIFO or device in its place
/// is set aside.
base::Fd open_file(const std::string& path, mode_t mode) {
    for (bool again = false;; again = true) {
        base::Fd fd{::open(path.c_str(),
                           O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode)};
        if (fd && is_regular(fd.get())) return fd;
        const bool other = fd || errno == EISDIR || errno == ELOOP || errno == ENXIO;
        if (!other || again) base::throw_errno(fd ? EINVAL : errno, fmt::format("open {}", path));
        const std::string name = set_aside(path);
        base::log::error("{} is not a file; it is kept as {}", path, name);
    }
}

/// Opens and locks the file that bears the name now: its holder may replace it meanwhile.
base::Fd open_locked(const std::string& path, mode_t mode, std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        base::Fd fd = open_file(path, mode);
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
            if (is_current(fd.get(), path)) return fd;
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            base::throw_errno(errno, fmt::format("lock {}", path));
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            throw base::Error(
                base::ErrorKind::unavailable,
                fmt::format("{} is locked: another engine is running on this data root", path),
                EWOULDBLOCK);
        }
        // flock(2) has no deadline of its own.
        std::this_thread::sleep_for(lock_retry);
    }
}

/// Writes and waits for the disk.
void write_at(int fd, std::string_view bytes, std::uint64_t at, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, fmt::format("write {}", path));
        bytes.remove_prefix(static_cast<std::size_t>(n));
        at += static_cast<std::uint64_t>(n);
    }
    if (::fdatasync(fd) != 0) base::throw_errno(errno, fmt::format("write {}", path));
}

}  // namespace

BoltFile::BoltFile(const std::string& path, std::chrono::milliseconds timeout, mode_t mode,
                   const StartWrites* later)
    : path_(path), mode_(mode), later_(later), file_(open_locked(path, mode, timeout)) {
    folder_.reset(::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_) base::throw_errno(errno, fmt::format("open {}", parent_of(path)));
    sweep_temporaries(folder_.get());
    struct stat info {};
    if (::fstat(file_.get(), &info) != 0) base::throw_errno(errno, fmt::format("stat {}", path));
    page_size_ = static_cast<std::uint32_t>(::sysconf(_SC_PAGESIZE));
    if (static_cast<std::size_t>(info.st_size) > max_size) {
        recover({}, "file too large");
        return;
    }
    const std::string bytes = read_file(AT_FDCWD, path, max_size);
    if (bytes.empty()) {
        save({});
        return;
    }
    try {
        root_ = parse_bolt(bytes, &transaction_, &page_size_);
    } catch (const base::Error& error) {
        recover(bytes, error.what());
    }
}

/// Goes on with what can be read of the file's bytes, and keeps the file for a human.
void BoltFile::recover(const std::string& bytes, const char* reason) {
    const std::string name = set_aside(path_);
    damaged_ = std::move(file_);
    base::log::error("{}: {}; it is kept as {}, and what can be read of it is used", path_, reason,
                     name);
    // The name is free: it must not stay so.
    BoltBucket kept = salvage_bolt(bytes);
    replace(kept);
    root_ = std::move(kept);
}

/// A new file with the bytes, locked before it bears the name, so nobody ever finds it free.
base::Fd BoltFile::write(const std::string& bytes, const std::string& temporary) const {
    base::Fd next{
        ::openat(folder_.get(), temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode_)};
    if (!next) base::throw_errno(errno, fmt::format("write {}", path_));
    base::Undo remove([&]() noexcept { (void)::unlinkat(folder_.get(), temporary.c_str(), 0); });
    archive::fd_sink(next.get())(bytes);
    if (::flock(next.get(), LOCK_EX | LOCK_NB) != 0) {
        base::throw_errno(errno, fmt::format("lock {}", path_));
    }
    remove.dismiss();
    return next;
}

void BoltFile::save(BoltBucket root) {
    if (later_ != nullptr && !later_->serves()) {
        root_ = std::move(root);
        changed_ = true;
        return;
    }
    if (!change(root)) replace(root);
    root_ = std::move(root);
    changed_ = false;
}

/// Writes the contents in place of the last ones but one; false when there is no room for them.
bool BoltFile::change(const BoltBucket& root) {
    if (total_ == 0) return false;
    const auto change =
        format_bolt_change(root, transaction_ + 1, total_, !in_second_half_, page_size_);
    if (!change) return false;
    write_at(file_.get(), change->pages, change->pages_at, path_);
    // Should this fail, nobody knows what the disk has: the next save begins anew.
    const std::uint64_t total = std::exchange(total_, 0);
    write_at(file_.get(), change->meta, change->meta_at, path_);
    total_ = total;
    in_second_half_ = !in_second_half_;
    ++transaction_;
    return true;
}

/// Writes a complete new file.
void BoltFile::replace(const BoltBucket& root) {
    const std::string bytes = format_bolt(root, transaction_ + 1, page_size_);
    const std::string temporary = temporary_of(path_);
    base::Fd next = write(bytes, temporary);
    if (::fsync(next.get()) != 0 || ::renameat(folder_.get(), temporary.c_str(), folder_.get(),
                                               base_of(path_).c_str()) != 0) {
        const int error = errno;
        (void)::unlinkat(folder_.get(), temporary.c_str(), 0);  // the first failure is reported
        base::throw_errno(error, fmt::format("write {}", path_));
    }
    file_ = std::move(next);
    transaction_ += 2;
    total_ = 0;
    if (::fsync(folder_.get()) != 0) base::throw_errno(errno, fmt::format("sync {}", path_));
    total_ = bytes.size() / page_size_;
    in_second_half_ = false;
}

int BoltFile::release(Batch& batch) {
    if (!changed_) return -1;
    const std::string temporary = temporary_of(path_);
    base::Fd next = write(format_bolt(root_, transaction_ + 1, page_size_), temporary);
    batch.rename(folder_.get(), next, temporary, base_of(path_));
    file_ = std::move(next);
    transaction_ += 2;
    // The batch may yet fail: the next save begins anew.
    total_ = 0;
    changed_ = false;
    return folder_.get();
}

}  // namespace dockerd::store

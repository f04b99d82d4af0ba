#include "monitor/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace dockerd::runtime::monitor {

LogFile::LogFile(const LogTarget& target)
    : path_(target.path),
      max_size_(target.max_size),
      max_files_(target.max_files),
      compress_(target.compress) {}

int LogFile::open() {
    file_.reset(
        ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    struct stat info {};
    if (!file_ || ::fstat(file_.get(), &info) != 0) return errno;
    size_ = info.st_size;
    return 0;
}

void LogFile::append(std::string_view bytes) {
    if (!file_ && open() != 0) {
        dropped_ += bytes.size();
        return;
    }
    const std::int64_t before = size_;
    for (std::string_view rest = bytes; !rest.empty();) {
        const ssize_t n = ::write(file_.get(), rest.data(), rest.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            // A full disk never stops the container: this output is lost to the log, and counted.
            // No half entry stays behind that would spoil the next one.
            dropped_ += bytes.size();
            if (::ftruncate(file_.get(), before) == 0) size_ = before;
            return;
        }
        size_ += n;
        rest.remove_prefix(static_cast<std::size_t>(n));
    }
}

void LogFile::write(std::string_view entries, const std::uint32_t* ends, std::size_t count) {
    if (max_size_ < 0) return append(entries);
    // As many entries as fit until the limit is reached, then the next file.
    std::size_t from = 0;
    std::int64_t reached = size_;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t begin = i == 0 ? 0 : ends[i - 1];
        if (reached >= max_size_) {
            append(entries.substr(from, begin - from));
            rotate();
            from = begin;
            reached = size_;
        }
        reached += static_cast<std::int64_t>(ends[i] - begin);
    }
    append(entries.substr(from));
}

void LogFile::rotate() {
    const auto numbered = [&](std::uint32_t number, const char* end) {
        return path_ + "." + std::to_string(number) + end;
    };
    await_compressor();
    file_.reset();
    if (max_files_ < 2) {
        (void)::unlink(path_.c_str());  // a reader may still have it open
    } else {
        // Each file is there compressed or not: compressing may have failed or been cut off.
        for (const char* end : {"", ".gz"}) {
            (void)::unlink(numbered(max_files_ - 1, end).c_str());  // the oldest, if there is one
            for (std::uint32_t i = max_files_ - 1; i > 1; --i) {
                // Not all exist yet.
                (void)::rename(numbered(i - 1, end).c_str(), numbered(i, end).c_str());
            }
        }
        (void)::rename(path_.c_str(), numbered(1, "").c_str());
    }
    file_.reset(::open(path_.c_str(),
                       O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640));
    size_ = 0;
    if (compress_ && max_files_ >= 2) start_compressor();
}

std::string LogFile::position() const {
    struct stat info {};
    if (!file_ || ::fstat(file_.get(), &info) != 0) return {};
    return std::to_string(info.st_ino) + " " + std::to_string(size_);
}

}  // namespace dockerd::runtime::monitor

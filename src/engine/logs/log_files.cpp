#include "logs/log_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include <dockerd/archive/compression.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::engine::logs {

namespace {

constexpr int patience = 100;  // looks at a chain that is being rotated
constexpr std::size_t block_size = 256 * 1024;

struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    nlink_t links = 0;
    explicit operator bool() const { return inode != 0; }
    bool operator==(const Identity& other) const {
        return device == other.device && inode == other.inode;
    }
};

Identity identity_of(const std::string& path) {
    struct stat found;
    if (::stat(path.c_str(), &found) != 0) return {};
    return {found.st_dev, found.st_ino, found.st_nlink};
}

Identity identity_of(const base::Fd& file) {
    struct stat found;
    if (!file || ::fstat(file.get(), &found) != 0) return {};
    return {found.st_dev, found.st_ino, found.st_nlink};
}

std::optional<LogFile> open_file(const std::string& path, bool compressed) {
    LogFile file;
    // Not blocking: something else than a file may have been put in its place.
    file.fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat found;
    if (!file.fd || ::fstat(file.fd.get(), &found) != 0 || !S_ISREG(found.st_mode)) {
        return std::nullopt;
    }
    file.compressed = compressed;
    file.size = found.st_size;
    return file;
}

/// The name of the file that was rotated `index` times.
std::string name_of(const std::string& path, int index, bool compressed) {
    if (index == 0) return path;
    return path + "." + std::to_string(index) + (compressed ? ".gz" : "");
}

/// The file that was rotated `index` times, plain before compressed: a plain one beside a
/// compressed one is still being compressed.
std::optional<LogFile> open_index(const std::string& path, int index) {
    auto plain = open_file(name_of(path, index, false), false);
    return plain || index == 0 ? std::move(plain) : open_file(name_of(path, index, true), true);
}

/// Rotation moves files to higher numbers only, the highest first. Looking upwards meets each
/// file at least once, whatever happens meanwhile; one met again has been moved since.
std::vector<LogFile> open_chain(const std::string& path, int max_files) {
    std::vector<LogFile> files;
    std::vector<Identity> seen;
    for (int index = 0; index < std::max(max_files, 1); ++index) {
        auto file = open_index(path, index);
        if (!file) continue;
        const Identity own = identity_of(file->fd);
        if (const auto again = std::ranges::find(seen, own); again != seen.end()) {
            // What was found between the two meetings is newer: it came after the first one.
            const auto keep = again - seen.begin() + 1;
            seen.erase(seen.begin() + keep, seen.end());
            files.erase(files.begin() + keep, files.end());
            continue;
        }
        seen.push_back(own);
        files.push_back(std::move(*file));
    }
    std::ranges::reverse(files);
    return files;
}

/// A file has been compressed since it was opened, so it may be there twice.
bool is_ambiguous(const std::vector<LogFile>& files) {
    const bool compressed = std::ranges::any_of(files, &LogFile::compressed);
    return compressed && std::ranges::any_of(files, [](const LogFile& file) {
               return !file.compressed && identity_of(file.fd).links == 0;
           });
}

/// The index under which `wanted` lies now; -1 when it is under none.
int find_index(const std::string& path, int max_files, const Identity& wanted, bool compressed) {
    for (int index = compressed ? 1 : 0; index < std::max(max_files, 2); ++index) {
        if (identity_of(name_of(path, index, compressed)) == wanted) return index;
    }
    return -1;
}

/// Bytes of `file` from its beginning, up to `limit`.
std::string head_of(const LogFile& file, std::size_t limit) {
    std::string bytes(limit, '\0');
    std::size_t size = 0;
    if (file.compressed) {
        size = open_decompressor(file)(bytes.data(), limit);
    } else {
        const ssize_t got = ::pread(file.fd.get(), bytes.data(), limit, 0);
        size = got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    bytes.resize(size);
    return bytes;
}

/// Time of the first entry; zero when there is none.
base::WallTime first_time(const LogFile& file, Format format) {
    const std::string head = head_of(file, 128 * 1024);
    if (format == Format::local) return time_of(scan_local_record(head).entry);
    Entry entry;
    const auto line = std::string_view(head).substr(0, head.find('\n'));
    return parse_json_entry(line, entry) ? time_of(entry) : base::WallTime();
}

/// The oldest file that begins after `last`, or the newest one.
std::optional<LogFile> open_after(const std::string& path, int max_files, Format format,
                                  base::WallTime last) {
    auto files = open_log_files(path, max_files);
    if (files.empty()) return std::nullopt;
    while (files.size() > 1 && !last.is_zero() &&
           first_time(files[files.size() - 2], format) > last) {
        files.pop_back();
    }
    return std::move(files.back());
}

/// The file before index `below` that is there, newest last.
std::optional<LogFile> open_below(const std::string& path, int below) {
    for (int index = below; index >= 0; --index) {
        if (auto file = open_index(path, index)) return file;
    }
    return std::nullopt;
}

void read_at(const LogFile& file, char* buffer, std::size_t size, std::int64_t offset) {
    std::size_t done = 0;
    while (done < size) {
        const ssize_t got = ::pread(file.fd.get(), buffer + done, size - done,
                                    offset + static_cast<std::int64_t>(done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) base::throw_errno(errno, "read log");
        if (got == 0) {  // cut meanwhile
            std::memset(buffer + done, 0, size - done);
            return;
        }
        done += static_cast<std::size_t>(got);
    }
}

/// Where the last `wanted` lines begin; takes what it found off `wanted`.
std::int64_t tail_of_lines(const LogFile& file, std::int64_t& wanted) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(block_size);
    // The newline at the very end closes the last line; what follows it is a torn one.
    std::int64_t newlines = -1;
    std::int64_t end = file.size;
    while (end > 0) {
        const auto size = std::min<std::int64_t>(end, block_size);
        const std::int64_t begin = end - size;
        read_at(file, buffer.get(), static_cast<std::size_t>(size), begin);
        std::string_view block(buffer.get(), static_cast<std::size_t>(size));
        while (!block.empty()) {
            const void* const found = ::memrchr(block.data(), '\n', block.size());
            if (found == nullptr) break;
            const auto at =
                static_cast<std::size_t>(static_cast<const char*>(found) - block.data());
            if (++newlines == wanted) {
                wanted = 0;
                return begin + static_cast<std::int64_t>(at) + 1;
            }
            block = block.substr(0, at);
        }
        end = begin;
    }
    wanted -= newlines + 1;
    return 0;
}

/// The same for records with their length at both ends.
std::int64_t tail_of_records(const LogFile& file, std::int64_t& wanted) {
    std::int64_t end = file.size;
    while (end >= 8 && wanted > 0) {
        unsigned char raw[4] = {};
        read_at(file, reinterpret_cast<char*>(raw), sizeof raw, end - 4);
        const std::int64_t length =
            (std::int64_t{raw[0]} << 24) | (raw[1] << 16) | (raw[2] << 8) | raw[3];
        if (length + 8 > end) return 0;  // torn or foreign: everything, rather than nothing
        unsigned char front[4] = {};
        read_at(file, reinterpret_cast<char*>(front), sizeof front, end - length - 8);
        if (std::memcmp(front, raw, sizeof raw) != 0) return 0;
        end -= length + 8;
        --wanted;
    }
    return end;
}

std::int64_t count_entries(const LogFile& file, Format format) {
    const auto source = open_decompressor(file);
    std::string data;
    std::int64_t count = 0;
    std::string block(block_size, '\0');
    while (const std::size_t got = source(block.data(), block.size())) {
        if (format == Format::json_file) {
            count +=
                std::count(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(got), '\n');
            continue;
        }
        data.append(block, 0, got);
        std::size_t at = 0;
        while (true) {
            const auto record = scan_local_record(std::string_view(data).substr(at));
            if (record.state == LocalRecord::State::corrupt) return count;
            if (record.state == LocalRecord::State::need_more) break;
            at += record.size;
            ++count;
        }
        data.erase(0, at);
    }
    return count;
}

}  // namespace

std::vector<LogFile> open_log_files(const std::string& path, int max_files) {
    auto files = open_chain(path, max_files);
    for (int attempt = 0; attempt < patience && is_ambiguous(files); ++attempt) {
        files = open_chain(path, max_files);
    }
    return files;
}

bool is_rotated(const std::string& path, const LogFile& current) {
    const Identity now = identity_of(path);
    return now && !(now == identity_of(current.fd));
}

std::optional<LogFile> open_successor(const std::string& path, int max_files, Format format,
                                      const LogFile& current, base::WallTime last) {
    for (int attempt = 0; attempt < patience; ++attempt) {
        const Identity own = identity_of(current.fd);
        const int index = find_index(path, max_files, own, current.compressed);
        if (index == 0) return std::nullopt;
        if (index > 0) {
            // A name that stays empty is a file somebody took away: on to the next one.
            auto next =
                attempt + 1 < patience ? open_index(path, index - 1) : open_below(path, index - 1);
            // Still at the same place: no rotation came between the look and the opening.
            const bool same = identity_of(name_of(path, index, current.compressed)) == own;
            if (next && same && !(identity_of(next->fd) == own)) return next;
        } else if (own.links == 0) {
            return open_after(path, max_files, format, last);
        }
        std::this_thread::yield();
    }
    return std::nullopt;
}

void keep_tail(std::vector<LogFile>& files, Format format, std::int64_t entries) {
    std::size_t first = files.size();
    while (first > 0 && entries > 0) {
        LogFile& file = files[--first];
        if (file.compressed) {
            const std::int64_t total = count_entries(file, format);
            file.start = std::max<std::int64_t>(total - entries, 0);
            entries -= std::min(total, entries);
        } else {
            file.start = format == Format::json_file ? tail_of_lines(file, entries)
                                                     : tail_of_records(file, entries);
        }
    }
    files.erase(files.begin(), files.begin() + static_cast<std::ptrdiff_t>(first));
}

std::function<std::size_t(char*, std::size_t)> open_decompressor(const LogFile& file) {
    base::Fd copy(::fcntl(file.fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) base::throw_errno(errno, "open log");
    // The copy shares its offset with the original, which is only read through here.
    if (::lseek(copy.get(), 0, SEEK_SET) < 0) base::throw_errno(errno, "seek in log");
    auto source = archive::decompress(archive::fd_source(std::move(copy)));
    return [source = std::move(source)](char* buffer, std::size_t size) -> std::size_t {
        try {
            return source(std::span<char>(buffer, size));
        } catch (const base::Error& error) {
            base::log::warn("compressed log: {}", error.what());
            return 0;  // the rest of it is lost, the other files are not
        }
    };
}

}  // namespace dockerd::engine::logs

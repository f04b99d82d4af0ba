#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <dockerd/archive/compression.hpp>

#include "logs/log_files.hpp"

namespace dockerd::engine::logs {

namespace {

/// Below this a file is read through.
constexpr std::int64_t small = 256 * 1024;
/// Entries of the two streams and parts of long lines may be this far from their place in time.
constexpr std::int64_t disorder = 64 * 1024;
constexpr std::size_t window = 128 * 1024;

/// Bytes at `offset`, fewer at the end of the file.
std::string_view read_window(const LogFile& file, std::int64_t offset, char* buffer,
                             std::size_t size) {
    ssize_t got = 0;
    do {
        got = ::pread(file.fd.get(), buffer, size, offset);
    } while (got < 0 && errno == EINTR);
    return {buffer, got > 0 ? static_cast<std::size_t>(got) : 0};
}

struct FoundLine {
    std::int64_t offset = -1;  ///< of its first byte; -1: none
    base::WallTime time;
};

/// The first line with a time that begins behind `offset`.
FoundLine line_behind(const LogFile& file, std::int64_t offset, char* buffer) {
    const std::string_view bytes = read_window(file, offset, buffer, window);
    std::size_t at = bytes.find('\n');
    while (at != std::string_view::npos) {
        const std::size_t begin = at + 1;
        at = bytes.find('\n', begin);
        if (at == std::string_view::npos) break;
        Entry entry;
        if (!parse_json_entry(bytes.substr(begin, at - begin), entry)) continue;
        const auto time = time_of(entry);
        if (!time.is_zero()) return {offset + static_cast<std::int64_t>(begin), time};
    }
    return {};
}

/// Where reading has to begin to meet the first line that is not before `since`.
std::int64_t offset_of_time(const LogFile& file, base::WallTime since) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(window);
    std::int64_t low = 0;
    std::int64_t high = file.size;
    while (high - low > small) {
        const std::int64_t middle = low + (high - low) / 2;
        const FoundLine line = line_behind(file, middle, buffer.get());
        if (line.offset < 0 || line.offset >= high) {
            // No line to go by up here: it may be any of those below.
            high = middle;
        } else if (line.time < since) {
            low = line.offset;
        } else {
            high = middle;
        }
    }
    if (low <= disorder) return 0;
    const std::string_view before = read_window(file, low - disorder, buffer.get(), disorder);
    const auto newline = before.find('\n');
    return newline == std::string_view::npos
               ? low
               : low - disorder + static_cast<std::int64_t>(newline) + 1;
}

/// The time a compressed file's last entry is not after, as its writer noted it in the header.
/// Source: moby daemon/logger/loggerutils/logfile.go, rotateFileMetadata.
base::WallTime last_time_compressed(const LogFile& file) {
    char head[512];
    const std::string_view bytes = read_window(file, 0, head, sizeof head);
    constexpr std::string_view key = "{\"lastTime\":\"";
    // Magic, deflate, the flag of an extra field, six bytes, the field's length.
    if (bytes.size() < 12 || !bytes.starts_with("\x1f\x8b\x08") || (bytes[3] & 4) == 0) return {};
    const std::size_t size = static_cast<unsigned char>(bytes[10]) |
                             static_cast<std::size_t>(static_cast<unsigned char>(bytes[11])) << 8U;
    const std::string_view extra = bytes.substr(12, size);
    if (!extra.starts_with(key)) return {};
    const auto text = extra.substr(key.size(), extra.find('"', key.size()) - key.size());
    return base::parse_rfc3339(text).value_or(base::WallTime());
}

/// Time of the last record of the local driver; zero when it cannot be told.
base::WallTime last_time_local(const LogFile& file) {
    const auto size = std::min<std::int64_t>(file.size, window);
    const auto buffer = std::make_unique_for_overwrite<char[]>(window);
    const std::string_view bytes =
        read_window(file, file.size - size, buffer.get(), static_cast<std::size_t>(size));
    if (bytes.size() < 8) return {};
    std::size_t length = 0;
    for (std::size_t i = bytes.size() - 4; i < bytes.size(); ++i) {
        length = length << 8U | static_cast<unsigned char>(bytes[i]);
    }
    if (length + 8 > bytes.size()) return {};
    const auto record = scan_local_record(bytes.substr(bytes.size() - length - 8));
    return record.state == LocalRecord::State::complete ? time_of(record.entry) : base::WallTime();
}

/// Nothing in `file` is as late as `since`. A plain json-file is searched instead.
bool is_before(const LogFile& file, Format format, base::WallTime since) {
    const bool searched = !file.compressed && format == Format::json_file;
    if (searched) return false;
    const auto last = file.compressed ? last_time_compressed(file) : last_time_local(file);
    return !last.is_zero() && last < since;
}

}  // namespace

void skip_before(std::vector<LogFile>& files, Format format, base::WallTime since) {
    std::size_t first = 0;
    // The newest file stays: a follower goes on from it.
    while (first + 1 < files.size() && is_before(files[first], format, since)) ++first;
    files.erase(files.begin(), files.begin() + static_cast<std::ptrdiff_t>(first));
    if (format != Format::json_file) return;
    for (auto& file : files) {
        if (file.compressed) return;
        file.start = offset_of_time(file, since);
        // Something late enough may be in it: from the next file on everything counts.
        if (file.size - file.start > small + disorder) return;
    }
}

}  // namespace dockerd::engine::logs

#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>

#include "logs/entry.hpp"

namespace dockerd::engine::logs {

/// One open file of a log: `x-json.log`, `x-json.log.1`, `x-json.log.2.gz`.
struct LogFile {
    base::Fd fd;
    bool compressed = false;
    std::int64_t size = 0;   ///< bytes it had when it was opened
    std::int64_t start = 0;  ///< where reading begins: an offset, or entries to skip if compressed
};

/// Opens all files of the log at one moment between rotations, oldest first. The current file
/// comes last and may be missing.
std::vector<LogFile> open_log_files(const std::string& path, int max_files);

/// The file the log went on in after `current`, which rotation has moved away; nullopt while
/// `current` is still the newest. `last` is the time of the last entry read, for a file whose
/// name is gone because it was compressed meanwhile.
std::optional<LogFile> open_successor(const std::string& path, int max_files, Format format,
                                      const LogFile& current, base::WallTime last);

/// Whether `path` is now another file than `current`. False while it is missing.
bool is_rotated(const std::string& path, const LogFile& current);

/// Sets where to start so that the last `entries` of all files remain; earlier files are dropped.
/// Reads from the ends only, except of compressed files.
void keep_tail(std::vector<LogFile>& files, Format format, std::int64_t entries);

/// Sets where to start so that entries before `since` are mostly not read: files that end earlier
/// are dropped, and a large json-file is searched by halves. Times are taken to grow, but for a
/// disorder of some kilobytes.
void skip_before(std::vector<LogFile>& files, Format format, base::WallTime since);

/// The bytes of a compressed log.
std::function<std::size_t(char* buffer, std::size_t size)> open_decompressor(const LogFile& file);

}  // namespace dockerd::engine::logs

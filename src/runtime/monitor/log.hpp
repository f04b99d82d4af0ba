#pragma once

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

#include <time.h>
#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::runtime::monitor {

/// Appends `text` as a JSON string with quotes, escaped as Go's encoder does: `<`, `>` and `&` as
/// \u003c and so on, invalid UTF-8 as \ufffd, U+2028 and U+2029 escaped.
/// Source: moby daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go.
void append_json_string(std::string& out, std::string_view text);

/// Appends RFC 3339 in UTC with nanoseconds, trailing zeros cut off.
void append_time(std::string& out, const timespec& time);

/// The files of one log: the current one, and rotated ones with a number at the end.
/// Never throws away what the container prints for another reason than a full disk; counts then.
/// Source: moby daemon/logger/loggerutils/logfile.go, WriteLogEntry, rotate.
class LogFile {
public:
    explicit LogFile(const LogTarget& target);

    /// Opens the file. 0 or an errno.
    int open();

    /// Appends whole entries. `entries` is one write(2) where the size limit allows: the file is
    /// rotated before an entry when it has reached the limit.
    /// `ends` are the offsets in `entries` where an entry ends.
    void write(std::string_view entries, const std::uint32_t* ends, std::size_t count);

    [[nodiscard]] std::uint64_t dropped_bytes() const { return dropped_; }

private:
    void append(std::string_view bytes);
    void rotate();

    std::string path_;
    std::int64_t max_size_;
    std::uint32_t max_files_;
    base::Fd file_;
    std::int64_t size_ = 0;
    std::uint64_t dropped_ = 0;
};

/// Cuts a container's output into log entries and writes them, one write(2) for what one call
/// brought.
/// Source: moby daemon/logger/copier.go: lines over 16384 bytes are cut there; what has no
/// newline at the end of the stream is written without one.
class Log {
public:
    explicit Log(const LogTarget& target);

    [[nodiscard]] bool enabled() const { return kind_ != LogKind::none; }
    /// 0 or an errno.
    int open();

    /// Output of stream 1 or 2, read at `now`.
    void add(int stream, std::string_view data, const timespec& now);
    /// No more comes from this stream.
    void end(int stream, const timespec& now);
    /// Gives memory back that a burst needed.
    void shrink();

private:
    struct Line {
        std::string held;      ///< of a line without its end
        bool partial = false;  ///< parts of the line have been written
        timespec first{};      ///< time of its first part
        std::uint32_t ordinal = 0;
        std::string partial_id;
    };

    void entry(int stream, std::string_view text, bool whole, const timespec& now);
    void json_entry(int stream, std::string_view text, bool newline, const timespec& time);
    void local_entry(int stream, std::string_view text, const Line& line, bool partial, bool last,
                     const timespec& time);
    void add_lines(int stream, std::string_view data, const timespec& now);
    void flush();

    LogKind kind_;
    std::string attributes_;
    LogFile file_;
    Line lines_[2];
    std::string batch_;
    std::string ends_;  ///< packed std::uint32_t
};

}  // namespace dockerd::runtime::monitor

#pragma once

#include "monitor/log_sink.hpp"

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

/// Compresses `path` to `path`.gz and removes it. `last_time` is not before its last entry.
/// 0 or an errno.
int compress_log(const std::string& path, const std::string& last_time);

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
    /// A rotated file is still being compressed. The next rotation waits for that, as Docker's.
    bool busy();
    /// Inode and size of the current file, "123 456".
    [[nodiscard]] std::string position() const;

private:
    void start_compressor();
    void await_compressor();
    void append(std::string_view bytes);
    void rotate();

    std::string path_;
    std::int64_t max_size_;
    std::uint32_t max_files_;
    bool compress_;
    base::Fd compressor_;  ///< pidfd of the process that compresses
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

    /// Entries also go there from now on.
    void set_sink(LogSink* sink) { sink_ = sink; }

    [[nodiscard]] bool enabled() const { return kind_ != LogKind::none || sink_ != nullptr; }
    /// The container has to wait for its log.
    [[nodiscard]] bool blocked() const { return sink_ != nullptr && sink_->blocked(); }
    /// A rotated file is still being compressed.
    [[nodiscard]] bool busy() { return file_.busy(); }
    /// Where the log ends: LogFile::position(). Empty without a file.
    [[nodiscard]] std::string position() const {
        return kind_ == LogKind::none ? std::string() : file_.position();
    }
    /// What was printed and is not yet in the log, because its line has not ended.
    [[nodiscard]] std::string_view held(int stream) const { return lines_[stream - 1].held; }
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

    struct Tail {
        std::int64_t second = 0;
        std::string text;  ///< up to the seconds
    };

    void entry(int stream, std::string_view text, bool whole, const timespec& now);
    void append_json_tail(int stream, const timespec& time);
    void json_entry(int stream, std::string_view text, bool newline, const timespec& time);
    void local_entry(int stream, std::string_view text, const Line& line, bool partial, bool last,
                     const timespec& time);
    void add_lines(int stream, std::string_view data, timespec now);
    void flush();

    LogKind kind_;
    std::string attributes_;
    LogFile file_;
    LogSink* sink_ = nullptr;
    Line lines_[2];
    Tail tails_[2];
    std::string batch_;
    std::string ends_;  ///< packed std::uint32_t
};

}  // namespace dockerd::runtime::monitor

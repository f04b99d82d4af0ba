#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/time.hpp>

namespace dockerd::engine::logs {

/// How a log file is written. Source: moby daemon/logger/{jsonfilelog,local}.
enum class Format { json_file, local };

/// Where an entry came from; the values are those of stdcopy frames.
enum class Source : std::uint8_t { other = 0, stdout_stream = 1, stderr_stream = 2 };

/// One entry in views of the block it was found in.
struct Entry {
    Source source = Source::other;
    std::string_view text;  ///< JSON-escaped when `escaped`
    bool escaped = false;
    bool newline = false;        ///< a newline belongs behind the text
    std::string_view time_text;  ///< RFC 3339 as it stands in the file; empty: `time` is set
    base::WallTime time;
    std::string_view attributes;  ///< JSON object of strings, or empty
};

/// The entry's time; the zero time when it cannot be read.
base::WallTime time_of(const Entry& entry);

/// Reads lines of a json-file log in the form Docker writes.
class JsonScanner {
public:
    /// Reads a line without its newline. Looks at the ends only: `entry.text` is not checked for
    /// stray quotes. False when the line has another form.
    bool scan(std::string_view line, Entry& entry);
    /// Reads any line parse_json_entry can. Attributes met here are known to scan() from then on:
    /// they are the same in all entries of a container.
    bool parse(std::string_view line, Entry& entry);

private:
    void learn(std::string_view line, const Entry& entry);
    /// What stands between text and time in entries with attributes, for stdout and stderr.
    std::string tails_[2];
};

/// Reads any JSON object with the keys of a json-file entry; true when the text is well formed.
/// Of several objects, as a torn line with a whole one behind it gives, the last is taken.
bool parse_json_entry(std::string_view line, Entry& entry);

/// Unescapes the inside of a JSON string to `out`, which has room for text.size() + 16 bytes.
/// Returns the end of what was written, or null when `text` is not the inside of a string.
char* unescape_json(std::string_view text, char* out);

/// The members of a JSON object of strings; other values appear as their text.
std::vector<std::pair<std::string, std::string>> parse_json_members(std::string_view object);

/// Result of looking for a record of the local driver at the start of `data`.
struct LocalRecord {
    enum class State { complete, need_more, corrupt };
    State state = State::need_more;
    std::size_t size = 0;  ///< bytes it takes; when more is needed, bytes to have at least
    Entry entry;
};

/// Source: moby daemon/logger/local: u32 BE length, protobuf LogEntry, the length again.
LocalRecord scan_local_record(std::string_view data);

}  // namespace dockerd::engine::logs

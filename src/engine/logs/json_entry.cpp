#include <cstring>
#include <optional>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "logs/entry.hpp"

namespace dockerd::engine::logs {

namespace {

constexpr std::string_view head = R"({"log":")";
constexpr std::string_view stdout_tail = R"(","stream":"stdout","time":)";
constexpr std::string_view stdout_attributes = R"(","stream":"stdout","attrs":{)";
constexpr std::string_view stderr_attributes = R"(","stream":"stderr","attrs":{)";
constexpr std::string_view time_key = R"(,"time":)";
constexpr std::string_view stderr_tail = R"(","stream":"stderr","time":)";

/// Copies up to the first quote or backslash, 16 bytes at a time; may write 15 bytes beyond.
void copy_plain(const char*& from, const char* end, char*& out) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    while (end - from >= 16) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), block);
        const auto found = static_cast<unsigned>(_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash))));
        if (found != 0) {
            const int plain = __builtin_ctz(found);
            from += plain;
            out += plain;
            return;
        }
        from += 16;
        out += 16;
    }
#endif
    while (from != end && *from != '"' && *from != '\\') *out++ = *from++;
}

/// Four hex digits as a number; -1 when they are not.
int hex4(const char* text, const char* end) {
    if (end - text < 4) return -1;
    int value = 0;
    for (int i = 0; i < 4; ++i) {
        const char c = text[i];
        int digit = -1;
        if (c >= '0' && c <= '9') digit = c - '0';
        if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
        if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

char* write_utf8(std::uint32_t point, char* out) {
    const auto put = [&](std::uint32_t byte) { *out++ = static_cast<char>(byte); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xC0 | (point >> 6));
        put(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        put(0xE0 | (point >> 12));
        put(0x80 | ((point >> 6) & 0x3F));
        put(0x80 | (point & 0x3F));
    } else {
        put(0xF0 | (point >> 18));
        put(0x80 | ((point >> 12) & 0x3F));
        put(0x80 | ((point >> 6) & 0x3F));
        put(0x80 | (point & 0x3F));
    }
    return out;
}

/// Reads "\uXXXX" behind its "u", surrogate pairs included; false when it is malformed.
/// Source: Go encoding/json, unquote: lone surrogates become U+FFFD.
bool unescape_unicode(const char*& from, const char* end, char*& out) {
    const int first = hex4(from, end);
    if (first < 0) return false;
    from += 4;
    auto point = static_cast<std::uint32_t>(first);
    if (point >= 0xD800 && point < 0xE000) {
        const bool pair = point < 0xDC00 && end - from >= 6 && from[0] == '\\' && from[1] == 'u';
        const int second = pair ? hex4(from + 2, end) : -1;
        if (second >= 0xDC00 && second < 0xE000) {
            point =
                0x10000 + ((point - 0xD800) << 10) + static_cast<std::uint32_t>(second - 0xDC00);
            from += 6;
        } else {
            point = 0xFFFD;
        }
    }
    out = write_utf8(point, out);
    return true;
}

/// What a one-letter escape stands for; 0 when there is no such escape.
char unescaped(char letter) {
    switch (letter) {
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case '"':
        case '\\':
        case '/':
            return letter;
        default:
            return 0;
    }
}

/// A reader of JSON that knows strings and skips everything else.
class Cursor {
public:
    explicit Cursor(std::string_view text) : text_(text) {}

    bool take(char c) {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    /// The inside of a string, still escaped.
    std::optional<std::string_view> string() {
        if (!take('"')) return std::nullopt;
        const std::size_t start = at_;
        while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
        if (at_ >= text_.size()) return std::nullopt;
        return text_.substr(start, at_++ - start);
    }
    /// Any value as its text; strings keep their quotes.
    std::optional<std::string_view> value() {
        skip_space();
        const std::size_t start = at_;
        std::size_t depth = 0;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '"') {
                if (!string()) return std::nullopt;
                if (depth == 0) break;
                continue;
            }
            if (depth == 0 && at_ > start && (c == ',' || c == '}' || c == ']')) break;
            ++at_;
            if (c == '{' || c == '[') ++depth;
            if ((c == '}' || c == ']') && (depth == 0 || --depth == 0)) break;
        }
        if (at_ == start) return std::nullopt;
        return text_.substr(start, at_ - start);
    }
    bool at_end() {
        skip_space();
        return at_ >= text_.size();
    }

private:
    void skip_space() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' ||
                                      text_[at_] == '\r' || text_[at_] == '\n')) {
            ++at_;
        }
    }
    std::string_view text_;
    std::size_t at_ = 0;
};

/// Calls `member(key, value text)` for each member; false unless `text` is one whole object.
template <typename Member>
bool for_each_member(std::string_view text, Member&& member) {
    Cursor cursor(text);
    if (!cursor.take('{')) return false;
    if (!cursor.take('}')) {
        do {
            const auto key = cursor.string();
            if (!key || !cursor.take(':')) return false;
            const auto value = cursor.value();
            if (!value) return false;
            member(*key, *value);
        } while (cursor.take(','));
        if (!cursor.take('}')) return false;
    }
    return cursor.at_end();
}

std::string_view inside(std::string_view quoted) {
    return quoted.size() >= 2 && quoted.front() == '"' ? quoted.substr(1, quoted.size() - 2)
                                                       : std::string_view();
}

bool parse_object(std::string_view text, Entry& entry) {
    entry = Entry{};
    entry.escaped = true;
    bool timed = false;
    const bool whole = for_each_member(text, [&](std::string_view key, std::string_view value) {
        if (key == "log") entry.text = inside(value);
        if (key == "stream") {
            const auto name = inside(value);
            entry.source = name == "stdout"   ? Source::stdout_stream
                           : name == "stderr" ? Source::stderr_stream
                                              : Source::other;
        }
        if (key == "time") {
            entry.time_text = inside(value);
            timed = !entry.time_text.empty();
        }
        if (key == "attrs" && value.front() == '{') entry.attributes = value;
    });
    return whole && timed;
}

}  // namespace

base::WallTime time_of(const Entry& entry) {
    if (entry.time_text.empty()) return entry.time;
    return base::parse_rfc3339(entry.time_text).value_or(base::WallTime());
}

char* unescape_json(std::string_view text, char* out) {
    const char* from = text.data();
    const char* const end = from + text.size();
    while (true) {
        copy_plain(from, end, out);
        if (from == end) return out;
        if (*from == '"' || end - from < 2) return nullptr;
        const char letter = from[1];
        from += 2;
        if (letter == 'u') {
            if (!unescape_unicode(from, end, out)) return nullptr;
        } else if (const char plain = unescaped(letter); plain != 0) {
            *out++ = plain;
        } else {
            return nullptr;
        }
    }
}

bool JsonScanner::scan(std::string_view line, Entry& entry) {
    // Shortest: the head, the tail, a time of 20 characters in quotes, the brace.
    if (line.size() < head.size() + stdout_tail.size() + 23 || !line.starts_with(head) ||
        !line.ends_with("Z\"}")) {
        return false;
    }
    const char* const close = line.data() + line.size() - 2;
    const auto* const open = static_cast<const char*>(
        ::memrchr(line.data(), '"', static_cast<std::size_t>(close - line.data())));
    const char* const text = line.data() + head.size();
    if (close - open < 21 || close - open > 31 || open < text) return false;
    const std::string_view before(text, static_cast<std::size_t>(open - text));
    std::size_t tail = stdout_tail.size();
    entry.attributes = {};
    if (before.ends_with(stdout_tail)) {
        entry.source = Source::stdout_stream;
    } else if (before.ends_with(stderr_tail)) {
        entry.source = Source::stderr_stream;
    } else {
        const std::size_t which = !tails_[0].empty() && before.ends_with(tails_[0]) ? 0 : 1;
        tail = tails_[which].size();
        if (tail == 0 || !before.ends_with(tails_[which])) return false;
        entry.source = which == 0 ? Source::stdout_stream : Source::stderr_stream;
        entry.attributes = before.substr(before.size() - tail + stdout_attributes.size() - 1);
        entry.attributes.remove_suffix(time_key.size());
    }
    entry.text = before.substr(0, before.size() - tail);
    entry.escaped = true;
    entry.newline = false;
    entry.time_text = {open + 1, static_cast<std::size_t>(close - open - 1)};
    return true;
}

bool JsonScanner::parse(std::string_view line, Entry& entry) {
    if (!parse_json_entry(line, entry)) return false;
    if (!entry.attributes.empty()) learn(line, entry);
    return true;
}

void JsonScanner::learn(std::string_view line, const Entry& entry) {
    const char* const text_end = entry.text.data() + entry.text.size();
    const char* const open = entry.time_text.data() - 1;
    if (text_end < line.data() || text_end > open) return;
    const std::string_view tail(text_end, static_cast<std::size_t>(open - text_end));
    const bool from_stdout = tail.starts_with(stdout_attributes);
    if (!tail.ends_with(time_key) || !(from_stdout || tail.starts_with(stderr_attributes))) return;
    tails_[from_stdout ? 0 : 1] = tail;
}

bool parse_json_entry(std::string_view line, Entry& entry) {
    if (parse_object(line, entry)) return true;
    // A quote inside a string is escaped, so the head of an entry never occurs within one: a
    // torn line, or zeros a power cut left, with a whole line behind it.
    for (auto at = line.rfind(head); at != std::string_view::npos && at > 0;
         at = line.rfind(head, at - 1)) {
        if (parse_object(line.substr(at), entry)) return true;
    }
    return false;
}

std::vector<std::pair<std::string, std::string>> parse_json_members(std::string_view object) {
    std::vector<std::pair<std::string, std::string>> members;
    const auto plain = [](std::string_view text) {
        std::string out(text.size() + 16, '\0');
        const char* const end = unescape_json(text, out.data());
        out.resize(end == nullptr ? 0 : static_cast<std::size_t>(end - out.data()));
        return out;
    };
    for_each_member(object, [&](std::string_view key, std::string_view value) {
        members.emplace_back(plain(key),
                             value.front() == '"' ? plain(inside(value)) : std::string(value));
    });
    return members;
}

}  // namespace dockerd::engine::logs

#include "monitor/log.hpp"

#include <sys/random.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <cstring>

namespace dockerd::runtime::monitor {

namespace {

constexpr std::size_t longest_part = 16 * 1024;
constexpr std::size_t batch_limit = 256 * 1024;
constexpr char hex[] = "0123456789abcdef";

/// Length of the valid UTF-8 sequence at `p`, or 0.
std::size_t sequence_length(const unsigned char* p, std::size_t left) {
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
        return i < left && p[i] >= low && p[i] <= high;
    };
    const unsigned c = p[0];
    if (c >= 0xc2 && c <= 0xdf) return follows(1) ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) {
        const unsigned low = c == 0xe0 ? 0xa0 : 0x80;
        const unsigned high = c == 0xed ? 0x9f : 0xbf;
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        const unsigned low = c == 0xf0 ? 0x90 : 0x80;
        const unsigned high = c == 0xf4 ? 0x8f : 0xbf;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

struct PlainTable {
    bool plain[256]{};
    constexpr PlainTable() {
        for (unsigned c = 0x20; c < 0x80; ++c) {
            plain[c] = c != '\\' && c != '"' && c != '<' && c != '>' && c != '&';
        }
    }
};
constexpr PlainTable table;

void append_escaped(std::string& out, unsigned char c) {
    switch (c) {
        case '\\':
        case '"':
            out += '\\';
            out += static_cast<char>(c);
            break;
        case '\n':
            out += "\\n";
            break;
        case '\r':
            out += "\\r";
            break;
        default:
            const char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            out.append(text, sizeof text);
    }
}

void append_number(std::string& out, std::uint64_t value, int width) {
    char text[20];
    int at = 20;
    for (; value != 0 || width > 0; value /= 10, --width) {
        text[--at] = static_cast<char>('0' + value % 10);
    }
    out.append(text + at, static_cast<std::size_t>(20 - at));
}

void append_fraction(std::string& out, long nanoseconds) {
    if (nanoseconds == 0) return;
    out += '.';
    append_number(out, static_cast<std::uint64_t>(nanoseconds), 9);
    while (out.back() == '0') out.pop_back();
}

void append_varint(std::string& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
}

void append_big_endian(std::string& out, std::size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

}  // namespace

namespace {

/// How many bytes at `p` stand for themselves in a JSON string.
std::size_t plain_length(const unsigned char* p, std::size_t size) {
    std::size_t i = 0;
#ifdef __SSE2__
    const auto equals = [](__m128i bytes, char c) {
        return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
    };
    for (; i + 16 <= size; i += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
        // As signed numbers: control characters and everything beyond ASCII are below a blank.
        __m128i special = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
        special = _mm_or_si128(special, _mm_or_si128(equals(bytes, '"'), equals(bytes, '\\')));
        special = _mm_or_si128(special, _mm_or_si128(equals(bytes, '<'), equals(bytes, '>')));
        special = _mm_or_si128(special, equals(bytes, '&'));
        const int mask = _mm_movemask_epi8(special);
        if (mask != 0)
            return i + static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
#endif
    while (i < size && table.plain[p[i]]) ++i;
    return i;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    const auto* p = reinterpret_cast<const unsigned char*>(text.data());
    const std::size_t size = text.size();
    std::size_t start = 0;
    out += '"';
    for (std::size_t i = 0; i < size;) {
        i += plain_length(p + i, size - i);
        if (i == size) break;
        const std::size_t length = p[i] < 0x80 ? 1 : sequence_length(p + i, size - i);
        const bool separator = length == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 &&
                               (p[i + 2] == 0xa8 || p[i + 2] == 0xa9);
        if (length > 1 && !separator) {
            i += length;
            continue;
        }
        out.append(text, start, i - start);
        if (separator) {
            out += p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029";
        } else if (length == 0) {
            out += "\\ufffd";
        } else {
            append_escaped(out, p[i]);
        }
        i += length == 0 ? 1 : length;
        start = i;
    }
    out.append(text, start, size - start);
    out += '"';
}

void append_time(std::string& out, const timespec& time) {
    // Days since 1970 to a date, after Howard Hinnant's civil_from_days.
    const std::int64_t days = time.tv_sec / 86400 - (time.tv_sec % 86400 < 0 ? 1 : 0);
    const auto second = static_cast<std::uint64_t>(time.tv_sec - days * 86400);
    const std::int64_t z = days + 719468;
    const std::int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    const auto doe = static_cast<std::uint64_t>(z - era * 146097);
    const std::uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const std::uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const std::uint64_t mp = (5 * doy + 2) / 153;
    const std::uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    const auto year = static_cast<std::uint64_t>(static_cast<std::int64_t>(yoe) + era * 400) +
                      (month <= 2 ? 1 : 0);
    append_number(out, year, 4);
    out += '-';
    append_number(out, month, 2);
    out += '-';
    append_number(out, doy - (153 * mp + 2) / 5 + 1, 2);
    out += 'T';
    append_number(out, second / 3600, 2);
    out += ':';
    append_number(out, second / 60 % 60, 2);
    out += ':';
    append_number(out, second % 60, 2);
    append_fraction(out, time.tv_nsec);
    out += 'Z';
}

Log::Log(const LogTarget& target)
    : kind_(target.kind), attributes_(target.attributes_json), file_(target) {}

int Log::open() { return kind_ != LogKind::none ? file_.open() : 0; }

/// What stands behind the text of an entry. Only the fraction of the second is made anew for each.
void Log::append_json_tail(int stream, const timespec& time) {
    Tail& tail = tails_[stream - 1];
    if (tail.text.empty() || tail.second != time.tv_sec) {
        tail.second = time.tv_sec;
        tail.text = stream == 1 ? "\"stream\":\"stdout\"," : "\"stream\":\"stderr\",";
        if (!attributes_.empty()) tail.text.append("\"attrs\":").append(attributes_) += ',';
        tail.text += "\"time\":\"";
        append_time(tail.text, {time.tv_sec, 0});
        tail.text.pop_back();  // the zone, which comes behind the fraction
    }
    batch_ += tail.text;
    append_fraction(batch_, time.tv_nsec);
    batch_ += "Z\"}\n";
}

void Log::json_entry(int stream, std::string_view text, bool newline, const timespec& time) {
    batch_ += '{';
    if (!text.empty() || newline) {
        batch_ += "\"log\":";
        append_json_string(batch_, text);
        if (newline) batch_.replace(batch_.size() - 1, 1, "\\n\"");
        batch_ += ',';
    }
    append_json_tail(stream, time);
}

// Source: moby api/types/plugins/logdriver/entry.proto: source 1, time_nano 2, line 3, partial 4,
// partial_log_metadata 5 {last 1, id 2, ordinal 3}. proto3 leaves zero values out.
void Log::local_entry(int stream, std::string_view text, const Line& line, bool partial, bool last,
                      const timespec& time) {
    std::string body;
    body.append("\x0a\x06", 2).append(stream == 1 ? "stdout" : "stderr");
    body += '\x10';
    append_varint(body, static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
                            static_cast<std::uint64_t>(time.tv_nsec));
    if (!text.empty()) {
        body += '\x1a';
        append_varint(body, text.size());
        body.append(text);
    }
    if (partial) {
        body.append("\x20\x01", 2);
        std::string meta;
        if (last) meta.append("\x08\x01", 2);
        meta += '\x12';
        append_varint(meta, line.partial_id.size());
        meta.append(line.partial_id);
        meta += '\x18';
        append_varint(meta, line.ordinal);
        body += '\x2a';
        append_varint(body, meta.size());
        body.append(meta);
    }
    append_big_endian(batch_, body.size());
    batch_.append(body);
    append_big_endian(batch_, body.size());
}

/// One entry: `whole` when a newline ended it.
void Log::entry(int stream, std::string_view text, bool whole, const timespec& now) {
    Line& line = lines_[stream - 1];
    const bool continued = line.partial;
    if (!continued && !whole) {
        line.first = now;
        line.ordinal = 0;
        line.partial = true;
        if (kind_ != LogKind::json_file) {
            unsigned char raw[32] = {};
            (void)::getrandom(raw, sizeof raw, 0);  // an id only: any bytes will do
            line.partial_id.clear();
            for (const unsigned char c : raw) (line.partial_id += hex[c >> 4]) += hex[c & 15];
        }
    }
    if (continued || !whole) ++line.ordinal;
    const timespec& time = continued || !whole ? line.first : now;
    if (kind_ == LogKind::json_file) {
        json_entry(stream, text, whole, time);
    } else {
        local_entry(stream, text, line, continued || !whole, whole, time);
    }
    if (whole) line.partial = false;
    const auto end = static_cast<std::uint32_t>(batch_.size());
    ends_.append(reinterpret_cast<const char*>(&end), sizeof end);
    if (batch_.size() >= batch_limit) flush();
}

void Log::add_lines(int stream, std::string_view data, timespec now) {
    std::string& held = lines_[stream - 1].held;
    while (!data.empty()) {
        const std::size_t room = longest_part - held.size();
        const auto* newline =
            static_cast<const char*>(std::memchr(data.data(), '\n', std::min(data.size(), room)));
        const std::size_t length =
            newline != nullptr ? static_cast<std::size_t>(newline - data.data()) : data.size();
        if (newline == nullptr && data.size() < room) {
            held.append(data);
            return;
        }
        const std::size_t taken = std::min(length, room);
        if (held.empty()) {
            entry(stream, data.substr(0, taken), newline != nullptr, now);
        } else {
            held.append(data.substr(0, taken));
            entry(stream, held, newline != nullptr, now);
            held.clear();
        }
        data.remove_prefix(taken + (newline != nullptr ? 1 : 0));
        // No two entries share their time: readers that follow find their place again by it.
        if (++now.tv_nsec == 1'000'000'000) {
            now.tv_nsec = 0;
            ++now.tv_sec;
        }
    }
}

void Log::add(int stream, std::string_view data, const timespec& now) {
    if (!enabled()) return;
    add_lines(stream, data, now);
    flush();
}

void Log::end(int stream, const timespec& now) {
    if (!enabled()) return;
    Line& line = lines_[stream - 1];
    if (!line.held.empty()) entry(stream, line.held, /*whole=*/false, now);
    line = Line{};
    flush();
}

void Log::flush() {
    if (batch_.empty()) return;
    const auto* ends = reinterpret_cast<const std::uint32_t*>(ends_.data());
    const std::size_t count = ends_.size() / sizeof(std::uint32_t);
    if (kind_ != LogKind::none) file_.write(batch_, ends, count);
    if (sink_ != nullptr) sink_->push(batch_, ends, count);
    batch_.clear();
    ends_.clear();
}

void Log::shrink() {
    // Swapped: assigning an empty string keeps the memory.
    std::string().swap(batch_);
    std::string().swap(ends_);
    for (Line& line : lines_) line.held.shrink_to_fit();
}

}  // namespace dockerd::runtime::monitor

#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace dockerd::api::codec {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";

/// Bytes that are copied as they are; everything else is looked at one by one.
constexpr std::array<bool, 256> make_plain(bool html) {
    std::array<bool, 256> plain{};
    for (unsigned c = 0x20; c < 0x80; ++c) plain[c] = c != '"' && c != '\\';
    if (html) plain['<'] = plain['>'] = plain['&'] = false;
    return plain;
}
constexpr auto plain_bytes = make_plain(false);
constexpr auto plain_html_bytes = make_plain(true);

void append_ascii(std::string& out, unsigned char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\b':
            out += "\\b";
            return;
        case '\f':
            out += "\\f";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            break;
    }
    out += "\\u00";
    out += hex_digits[c >> 4];
    out += hex_digits[c & 15];
}

/// Length of the well-formed UTF-8 sequence at `text`, 0 when there is none.
/// Source: Unicode 15, table 3-7.
std::size_t sequence_length(std::string_view text) {
    const auto at = [&](std::size_t i) -> unsigned {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto tail = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
    const unsigned lead = at(0);
    if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
        const unsigned high = lead == 0xED ? 0x9F : 0xBF;
        return at(1) >= low && at(1) <= high && tail(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
        return at(1) >= low && at(1) <= high && tail(2) && tail(3) ? 4 : 0;
    }
    return 0;
}

/// Appends the non-ASCII sequence at the start of `text` and returns its length.
std::size_t append_wide(std::string& out, std::string_view text) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
        out += "\\ufffd";
        return 1;
    }
    const std::string_view sequence = text.substr(0, length);
    if (sequence == "\xE2\x80\xA8") {
        out += "\\u2028";
    } else if (sequence == "\xE2\x80\xA9") {
        out += "\\u2029";
    } else {
        out += sequence;
    }
    return length;
}

}  // namespace

void Text::key(char separator, std::string_view name) {
    std::array<char, 64> buffer;
    if (name.size() + 4 > buffer.size()) {
        out_.append({separator, '"'}).append(name).append("\":");
        return;
    }
    char* end = buffer.data();
    *end++ = separator;
    *end++ = '"';
    end = std::copy(name.begin(), name.end(), end);
    *end++ = '"';
    *end++ = ':';
    out_.append(buffer.data(), end);
}

void Text::string(std::string_view text) {
    const auto& plain = escape_ == Escape::html ? plain_html_bytes : plain_bytes;
    std::array<char, 130> buffer;
    if (text.size() + 2 <= buffer.size()) {
        // Nearly all strings are short and plain: copied while looking at them, appended once.
        char* end = buffer.data();
        *end++ = '"';
        bool all_plain = true;
        for (const char c : text) {
            all_plain = all_plain && plain[static_cast<unsigned char>(c)];
            *end++ = c;
        }
        *end++ = '"';
        if (all_plain) {
            out_.append(buffer.data(), end);
            return;
        }
    }
    out_.push_back('"');
    std::size_t i = 0;
    while (i < text.size()) {
        const std::size_t start = i;
        while (i < text.size() && plain[static_cast<unsigned char>(text[i])]) ++i;
        out_.append(text, start, i - start);
        if (i == text.size()) break;
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x80) {
            append_ascii(out_, c);
            ++i;
        } else {
            i += append_wide(out_, text.substr(i));
        }
    }
    out_.push_back('"');
}

void Text::integer(std::int64_t value) {
    char buffer[24];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    out_.append(buffer, end);
}

void Text::integer(std::uint64_t value) {
    char buffer[24];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    out_.append(buffer, end);
}

void Text::real(double value) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    out_.append(buffer, end);
}

void put(Text& out, base::WallTime value) {
    out.raw('"');
    out.raw(base::format_rfc3339_nano(value));
    out.raw('"');
}

}  // namespace dockerd::api::codec

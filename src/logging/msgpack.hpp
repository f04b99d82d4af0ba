#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// The little of MessagePack that fluentd's forward protocol needs.
namespace dockerd::logging::msgpack {

inline void append_big_endian(std::string& out, std::uint64_t value, unsigned bytes) {
    for (unsigned shift = bytes * 8; shift > 0; shift -= 8) {
        out += static_cast<char>(value >> (shift - 8));
    }
}

inline void append_text(std::string& out, std::string_view text) {
    if (text.size() < 32) {
        out += static_cast<char>(0xa0U | text.size());
    } else if (text.size() < 256) {
        out += '\xd9';
        append_big_endian(out, text.size(), 1);
    } else if (text.size() < 65536) {
        out += '\xda';
        append_big_endian(out, text.size(), 2);
    } else {
        out += '\xdb';
        append_big_endian(out, text.size(), 4);
    }
    out += text;
}

inline void append_map_head(std::string& out, std::size_t size) {
    if (size < 16) {
        out += static_cast<char>(0x80U | size);
    } else {
        out += '\xde';
        append_big_endian(out, size, 2);
    }
}

inline void append_integer(std::string& out, std::int64_t value) {
    out += '\xd3';
    append_big_endian(out, static_cast<std::uint64_t>(value), 8);
}

/// Seconds and nanoseconds as fluentd's EventTime, extension 0.
inline void append_event_time(std::string& out, std::uint32_t seconds, std::uint32_t nanoseconds) {
    out.append("\xd7\x00", 2);
    append_big_endian(out, seconds, 4);
    append_big_endian(out, nanoseconds, 4);
}

}  // namespace dockerd::logging::msgpack

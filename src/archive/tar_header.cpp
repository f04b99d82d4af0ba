#include "tar_header.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <dockerd/base/error.hpp>

namespace dockerd::archive {
namespace {

bool checksum_matches(std::string_view block) {
    const std::int64_t stated = parse_number(block.substr(148, 8));
    std::int64_t as_unsigned = 0;
    std::int64_t as_signed = 0;
    for (std::size_t i = 0; i < block_size; ++i) {
        const char c = i >= 148 && i < 156 ? ' ' : block[i];
        as_unsigned += static_cast<unsigned char>(c);
        as_signed += static_cast<signed char>(c);
    }
    return stated == as_unsigned || stated == as_signed;
}

std::int64_t parse_base256(std::string_view field) {
    // Two's complement, big endian; the top bit of the first byte is the marker.
    const auto first = static_cast<unsigned char>(field[0]);
    const bool negative = (first & 0x40U) != 0;
    const unsigned char flip = negative ? 0xff : 0;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < field.size(); ++i) {
        auto byte = static_cast<unsigned char>(static_cast<unsigned char>(field[i]) ^ flip);
        if (i == 0) byte = static_cast<unsigned char>(byte & 0x7fU);
        if ((value >> 56U) > 0) invalid_header();
        value = value << 8U | byte;
    }
    if ((value >> 63U) > 0) invalid_header();
    return negative ? ~static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
}

std::optional<base::WallTime> parse_pax_time(std::string_view text) {
    const bool negative = text.starts_with('-');
    const std::size_t dot = text.find('.');
    const std::int64_t seconds = parse_decimal(text.substr(0, dot));
    std::int64_t nanos = 0;
    if (dot != std::string_view::npos) {
        std::string fraction(text.substr(dot + 1, 9));
        if (!std::ranges::all_of(fraction, [](char c) { return c >= '0' && c <= '9'; })) {
            invalid_header();
        }
        fraction.resize(9, '0');
        nanos = parse_decimal(fraction);
    }
    if (negative && nanos > 0) {
        return base::WallTime(seconds - 1, static_cast<std::int32_t>(1'000'000'000 - nanos));
    }
    return base::WallTime(seconds, static_cast<std::int32_t>(nanos));
}

TarEntry::Type type_of(char flag) {
    switch (flag) {
        case '\0':
        case '0':
        case 'S':
            return TarEntry::Type::file;
        case '1':
            return TarEntry::Type::hard_link;
        case '2':
            return TarEntry::Type::symlink;
        case '3':
            return TarEntry::Type::char_device;
        case '4':
            return TarEntry::Type::block_device;
        case '5':
            return TarEntry::Type::directory;
        case '6':
            return TarEntry::Type::fifo;
        case 'g':
            return TarEntry::Type::global_header;
        default:
            return TarEntry::Type::other;
    }
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace

void invalid_header() {
    base::fail(base::ErrorKind::invalid_argument, "archive/tar: invalid tar header");
}

bool is_zero_block(std::string_view block) {
    return std::ranges::all_of(block, [](char c) { return c == '\0'; });
}

std::string parse_text(std::string_view field) {
    return std::string(field.substr(0, field.find('\0')));
}

std::int64_t parse_number(std::string_view field) {
    if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80U) != 0) {
        return parse_base256(field);
    }
    const auto padding = [](char c) { return c == ' ' || c == '\0'; };
    while (!field.empty() && padding(field.front())) field.remove_prefix(1);
    field = field.substr(0, field.find('\0'));
    while (!field.empty() && padding(field.back())) field.remove_suffix(1);
    if (field.empty()) return 0;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
    if (error != std::errc() || end != field.data() + field.size() || value < 0) invalid_header();
    return value;
}

std::int64_t parse_decimal(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) invalid_header();
    return value;
}

bool is_header_only(char type_flag) { return type_flag >= '1' && type_flag <= '6'; }

void parse_block(std::string_view block, TarEntry& entry) {
    if (!checksum_matches(block)) invalid_header();
    entry = TarEntry{};
    entry.name = parse_text(block.substr(0, 100));
    entry.mode = static_cast<std::uint32_t>(parse_number(block.substr(100, 8)) & 07777);
    entry.uid = parse_number(block.substr(108, 8));
    entry.gid = parse_number(block.substr(116, 8));
    entry.size = parse_number(block.substr(124, 12));
    entry.mtime = base::WallTime(parse_number(block.substr(136, 12)), 0);
    entry.type_flag = block[156];
    entry.type = type_of(entry.type_flag);
    entry.link_name = parse_text(block.substr(157, 100));
    const std::string_view magic = block.substr(257, 8);
    const bool gnu = magic == std::string_view("ustar  \0", 8);
    const bool ustar = magic.substr(0, 6) == std::string_view("ustar\0", 6);
    if (gnu || ustar) {
        entry.device_major = static_cast<std::uint32_t>(parse_number(block.substr(329, 8)));
        entry.device_minor = static_cast<std::uint32_t>(parse_number(block.substr(337, 8)));
    }
    if (ustar) {
        const bool star = block.substr(508, 4) == std::string_view("tar\0", 4);
        const std::string prefix = parse_text(block.substr(345, star ? 131 : 155));
        if (!prefix.empty()) entry.name = prefix + "/" + entry.name;
    }
    if (entry.size < 0) invalid_header();
}

PaxRecords parse_pax(std::string_view bytes) {
    PaxRecords records;
    std::string sparse_pairs;
    while (!bytes.empty()) {
        const std::size_t space = bytes.find(' ');
        if (space == std::string_view::npos) invalid_header();
        const std::int64_t length = parse_decimal(bytes.substr(0, space));
        if (length < 5 || static_cast<std::uint64_t>(length) > bytes.size() ||
            static_cast<std::size_t>(length) < space + 3) {
            invalid_header();
        }
        std::string_view record = bytes.substr(0, static_cast<std::size_t>(length));
        bytes.remove_prefix(record.size());
        if (record.back() != '\n') invalid_header();
        record = record.substr(space + 1, record.size() - space - 2);
        const std::size_t equals = record.find('=');
        if (equals == std::string_view::npos || equals == 0) invalid_header();
        const std::string key(record.substr(0, equals));
        const std::string_view value = record.substr(equals + 1);
        if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") {
            // Version 0.0 repeats these keys; they become 0.1's list.
            if (!sparse_pairs.empty()) sparse_pairs += ',';
            sparse_pairs += value;
            continue;
        }
        const bool text = key == "path" || key == "linkpath" || key == "uname" || key == "gname";
        if (has_nul(text ? value : std::string_view(key))) invalid_header();
        records[key] = value;
    }
    if (!sparse_pairs.empty()) records["GNU.sparse.map"] = sparse_pairs;
    return records;
}

void apply_pax(const PaxRecords& records, TarEntry& entry) {
    constexpr std::string_view xattr_prefix = "SCHILY.xattr.";
    for (const auto& [key, value] : records) {
        // An xattr may be empty on purpose; elsewhere empty keeps the ustar value.
        if (key.starts_with(xattr_prefix)) {
            entry.xattrs[key.substr(xattr_prefix.size())] = value;
            continue;
        }
        if (value.empty()) continue;
        if (key == "path") entry.name = value;
        if (key == "linkpath") entry.link_name = value;
        if (key == "uid") entry.uid = parse_decimal(value);
        if (key == "gid") entry.gid = parse_decimal(value);
        if (key == "size") entry.size = parse_decimal(value);
        if (key == "mtime") entry.mtime = *parse_pax_time(value);
        if (key == "atime") entry.atime = parse_pax_time(value);
    }
    if (entry.size < 0) invalid_header();
}

void add_sparse_pairs(std::string_view pairs, std::size_t count, SparseMap& map) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::string_view pair = pairs.substr(i * 24, 24);
        if (pair[0] == '\0') return;
        map.emplace_back(parse_number(pair.substr(0, 12)), parse_number(pair.substr(12, 12)));
    }
}

void check_sparse(const SparseMap& map, std::int64_t size) {
    std::int64_t end = 0;
    for (const auto& [offset, length] : map) {
        if (offset < end || length < 0 ||
            offset > std::numeric_limits<std::int64_t>::max() - length) {
            invalid_header();
        }
        end = offset + length;
    }
    if (end > size) invalid_header();
}

bool looks_like_tar(std::string_view head) {
    if (head.size() < block_size) return false;
    const std::string_view block = head.substr(0, block_size);
    if (is_zero_block(block)) return true;
    try {
        return checksum_matches(block);
    } catch (const base::Error&) {
        return false;
    }
}

}  // namespace dockerd::archive

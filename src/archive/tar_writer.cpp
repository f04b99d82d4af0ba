#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include <dockerd/archive/tar.hpp>

#include "tar_header.hpp"

namespace dockerd::archive {
namespace {

const std::string zero_blocks(2 * block_size, '\0');

bool is_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > 0; });
}

/// "<length> <key>=<value>\n", where the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
    const std::size_t payload = key.size() + value.size() + 3;
    std::size_t size = payload + std::to_string(payload).size();
    size = payload + std::to_string(size).size();
    return fmt::format("{} {}={}\n", size, key, value);
}

void put_text(std::array<char, block_size>& block, std::size_t at, std::size_t width,
              std::string_view text) {
    std::memcpy(block.data() + at, text.data(), std::min(width, text.size()));
}

/// Zero when the number does not fit: its PAX record has it then.
void put_octal(std::array<char, block_size>& block, std::size_t at, std::size_t width,
               std::int64_t value) {
    const bool fits = value >= 0 && (value >> (3 * (width - 1))) == 0;
    put_text(block, at, width, fmt::format("{:0{}o}", fits ? value : 0, width - 1));
}

bool fits_octal(std::int64_t value, unsigned digits) {
    return value >= 0 && (value >> (3 * digits)) == 0;
}

std::string header_block(const TarEntry& entry, std::string_view name, std::int64_t size) {
    std::array<char, block_size> block{};
    put_text(block, 0, 100, name);
    put_octal(block, 100, 8, entry.mode & 07777);
    put_octal(block, 108, 8, entry.uid);
    put_octal(block, 116, 8, entry.gid);
    put_octal(block, 124, 12, size);
    put_octal(block, 136, 12, entry.mtime.seconds());
    block[156] = entry.type_flag;
    put_text(block, 157, 100, entry.link_name);
    put_text(block, 257, 8, std::string_view("ustar\00000", 8));
    // Go leaves these out of an extension's header.
    if (entry.type_flag != 'x') {
        put_octal(block, 329, 8, entry.device_major);
        put_octal(block, 337, 8, entry.device_minor);
    }
    std::memset(block.data() + 148, ' ', 8);
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put_text(block, 148, 8, fmt::format("{:06o}", sum));
    block[154] = '\0';
    return {block.data(), block.size()};
}

std::string pax_records(const TarEntry& entry) {
    std::string out;
    if (!fits_octal(entry.gid, 7)) out += pax_record("gid", std::to_string(entry.gid));
    if (entry.link_name.size() > 100 || !is_ascii(entry.link_name)) {
        out += pax_record("linkpath", entry.link_name);
    }
    if (entry.mtime.nanoseconds() != 0 || !fits_octal(entry.mtime.seconds(), 11)) {
        out += pax_record(
            "mtime", fmt::format("{}.{:09}", entry.mtime.seconds(), entry.mtime.nanoseconds()));
    }
    if (entry.name.size() > 100 || !is_ascii(entry.name)) out += pax_record("path", entry.name);
    for (const auto& [name, value] : entry.xattrs) {
        out += pax_record("SCHILY.xattr." + name, value);
    }
    if (!fits_octal(entry.size, 11)) out += pax_record("size", std::to_string(entry.size));
    if (!fits_octal(entry.uid, 7)) out += pax_record("uid", std::to_string(entry.uid));
    return out;
}

/// Where the extension member says it lies; a directory's slash counts as the last one.
/// Source: Go archive/tar, writePAXHeader and writeRawFile.
std::string pax_name(std::string_view name) {
    const std::size_t slash = name.rfind('/');
    std::string out;
    if (slash != std::string_view::npos) out = std::string(name.substr(0, slash)) + "/";
    out += "PaxHeaders.0";
    const std::string_view base = slash == std::string_view::npos ? name : name.substr(slash + 1);
    if (!base.empty()) out += "/" + std::string(base);
    std::erase_if(out, [](char c) { return c <= 0; });
    out.resize(std::min<std::size_t>(out.size(), 100));
    while (out.ends_with('/')) out.pop_back();
    return out;
}

}  // namespace

void TarWriter::raw(std::string_view bytes) {
    sink_(bytes);
    if (tap_ != nullptr) tap_->raw(bytes);
}

void TarWriter::begin(const TarEntry& entry) {
    pad();
    const std::string records = pax_records(entry);
    if (!records.empty()) {
        TarEntry extension;
        extension.type_flag = 'x';
        extension.mtime = base::WallTime(0, 0);
        raw(header_block(extension, pax_name(entry.name),
                         static_cast<std::int64_t>(records.size())));
        raw(records);
        raw(std::string_view(zero_blocks).substr(0, -records.size() & 511U));
    }
    std::string name = entry.name;
    std::erase_if(name, [](char c) { return c <= 0; });
    raw(header_block(entry, name, entry.size));
    left_ = is_header_only(entry.type_flag) ? 0 : entry.size;
    padding_ = -left_ & 511;
    if (tap_ == nullptr) return;
    member_ = entry;
    tap_->begin(*member_);
}

void TarWriter::data(std::string_view bytes) {
    left_ -= static_cast<std::int64_t>(bytes.size());
    sink_(bytes);
    if (tap_ != nullptr) tap_->data(bytes);
}

void TarWriter::add(const TarEntry& entry, std::string_view bytes) {
    begin(entry);
    if (!bytes.empty()) data(bytes);
}

void TarWriter::end_member() {
    if (member_) tap_->end(*member_);
    member_.reset();
}

void TarWriter::pad() {
    // A member that came out too short is filled up: its header has promised the size.
    while (left_ > 0) {
        const auto n = std::min<std::int64_t>(left_, static_cast<std::int64_t>(zero_blocks.size()));
        data(std::string_view(zero_blocks).substr(0, static_cast<std::size_t>(n)));
    }
    end_member();
    if (padding_ > 0) {
        raw(std::string_view(zero_blocks).substr(0, static_cast<std::size_t>(padding_)));
    }
    padding_ = 0;
}

void TarWriter::finish() {
    pad();
    raw(zero_blocks);
}

}  // namespace dockerd::archive

#include <dockerd/archive/tar_split.hpp>

#include <vector>

#include <fmt/format.h>

#include <dockerd/archive/crc64.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::archive {
namespace {

/// Padding after the end goes out in pieces of this size. Source: disassemble.go.
constexpr std::size_t padding_chunk = 1 << 20;

bool is_utf8(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const auto lead = static_cast<unsigned char>(text[at]);
        if (lead < 0x80) {
            ++at;
            continue;
        }
        const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
        if (lead < 0xc2 || lead > 0xf4 || at + length > text.size()) return false;
        std::uint32_t value = lead & (0xffU >> (length + 1));
        for (std::size_t i = 1; i < length; ++i) {
            const auto next = static_cast<unsigned char>(text[at + i]);
            if ((next & 0xc0U) != 0x80U) return false;
            value = value << 6U | (next & 0x3fU);
        }
        const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
        if (overlong || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return false;
        at += length;
    }
    return true;
}

/// As Go's encoder writes a string, HTML characters escaped.
std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '<' || c == '>' || c == '&' || (c >= 0 && c < ' ')) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else if (text.substr(i, 3) == "\xe2\x80\xa8" || text.substr(i, 3) == "\xe2\x80\xa9") {
            out += text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
            i += 2;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

/// Go's filepath.Clean as far as comparing names needs it.
std::string clean(std::string_view name) {
    std::vector<std::string> parts;
    for (std::string& part : base::split(name, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == ".." && !parts.empty() && parts.back() != "..") {
            parts.pop_back();
        } else {
            parts.push_back(std::move(part));
        }
    }
    return (name.starts_with('/') ? "/" : "") + base::join(parts, "/");
}

}  // namespace

void TarSplitWriter::line(const std::string& text) {
    lines_ += text;
    ++position_;
    constexpr std::size_t flush_at = 32 * 1024;
    if (lines_.size() < flush_at) return;
    gzip_.write(lines_);
    lines_.clear();
}

void TarSplitWriter::flush_segment() {
    std::string_view left(segment_);
    while (!left.empty()) {
        const std::string_view part = left.substr(0, padding_chunk);
        left.remove_prefix(part.size());
        line(fmt::format("{{\"type\":2,\"payload\":\"{}\",\"position\":{}}}\n",
                         base::base64_encode(part), position_));
    }
    segment_.clear();
}

void TarSplitWriter::raw(std::string_view bytes) {
    segment_ += bytes;
    // Only what follows the end can be long; headers come one at a time.
    if (segment_.size() >= 2 * padding_chunk) flush_segment();
}

void TarSplitWriter::begin(const TarEntry& entry) {
    if (!seen_.insert(clean(entry.name)).second) {
        // Source: tar-split tar/storage/packer.go, ErrDuplicatePath.
        base::fail(base::ErrorKind::invalid_argument, "duplicates of file paths not supported");
    }
    // A sparse member's stored bytes are not those of the file, so they are kept themselves.
    as_raw_ = entry.sparse;
    if (!as_raw_) flush_segment();
    crc_ = 0;
}

void TarSplitWriter::data(std::string_view bytes) {
    if (as_raw_) {
        raw(bytes);
    } else {
        crc_ = crc64_iso(crc_, bytes);
    }
}

void TarSplitWriter::end(const TarEntry& entry) {
    flush_segment();
    const bool by_file = !as_raw_ && entry.size > 0;
    std::string text = "{\"type\":1,";
    if (is_utf8(entry.name)) {
        if (!entry.name.empty()) text += fmt::format("\"name\":{},", json_string(entry.name));
    } else {
        text += fmt::format("\"name_raw\":\"{}\",", base::base64_encode(entry.name));
    }
    if (by_file) {
        text += fmt::format("\"size\":{},\"payload\":\"{}\",", entry.size,
                            base::base64_encode(crc64_bytes(crc_)));
    } else {
        text += "\"payload\":null,";
    }
    line(text + fmt::format("\"position\":{}}}\n", position_));
    as_raw_ = false;
}

void TarSplitWriter::finish() {
    flush_segment();
    gzip_.write(lines_);
    lines_.clear();
    gzip_.finish();
}

}  // namespace dockerd::archive

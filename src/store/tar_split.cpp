#include "tar_split.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/crc64.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::store {
namespace {

constexpr int file_type = 1;
constexpr int segment_type = 2;
constexpr std::size_t max_line = 64U << 20U;

[[noreturn]] void broken(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

struct Entry {
    int type = 0;
    std::string name;
    std::int64_t size = 0;
    std::string payload;
};

/// Splits the unpacked JSON lines into entries.
class EntryReader {
public:
    explicit EntryReader(archive::ByteSource source)
        : source_(archive::decompress(std::move(source))), buffer_(64 * 1024) {}

    std::optional<Entry> next() {
        for (;;) {
            const std::size_t newline = text_.find('\n', searched_);
            if (newline != std::string::npos) {
                const std::string_view line =
                    std::string_view(text_).substr(start_, newline - start_);
                start_ = searched_ = newline + 1;
                if (line.empty()) continue;
                return parse(line);
            }
            if (!refill()) break;
        }
        if (start_ == text_.size()) return std::nullopt;
        const std::string last = text_.substr(start_);
        start_ = searched_ = text_.size();
        return parse(last);
    }

private:
    bool refill() {
        text_.erase(0, start_);
        start_ = 0;
        searched_ = text_.size();
        if (text_.size() > max_line) broken("tar-split: line too long");
        const std::size_t n = source_(buffer_);
        text_.append(buffer_.data(), n);
        return n > 0;
    }

    static Entry parse(std::string_view line) {
        const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (!json.is_object()) broken("tar-split: invalid entry");
        Entry out;
        try {
            out.type = json.value("type", 0);
            out.size = json.value("size", std::int64_t{0});
            out.name = json.value("name", std::string());
            if (const auto raw = json.find("name_raw"); raw != json.end() && raw->is_string()) {
                out.name = base::base64_decode(raw->get_ref<const std::string&>()).value_or("");
            }
            if (const auto bytes = json.find("payload");
                bytes != json.end() && bytes->is_string()) {
                out.payload =
                    base::base64_decode(bytes->get_ref<const std::string&>()).value_or("");
            }
        } catch (const nlohmann::json::exception&) {
            broken("tar-split: invalid entry");
        }
        return out;
    }

    archive::ByteSource source_;
    std::vector<char> buffer_;
    std::string text_;
    std::size_t start_ = 0;
    std::size_t searched_ = 0;
};

class Assembler {
public:
    Assembler(archive::ByteSource tar_split, base::Fd diff)
        : entries_(std::move(tar_split)), diff_(std::move(diff)) {}

    std::size_t read(std::span<char> out) {
        for (;;) {
            if (at_ < entry_.payload.size()) {
                const std::size_t n = std::min(out.size(), entry_.payload.size() - at_);
                std::memcpy(out.data(), entry_.payload.data() + at_, n);
                at_ += n;
                return n;
            }
            if (file_) {
                if (const std::size_t n = read_file(out)) return n;
                continue;
            }
            if (!advance()) return 0;
        }
    }

private:
    bool advance() {
        std::optional<Entry> next = entries_.next();
        if (!next) return false;
        if (next->type == segment_type) {
            entry_ = std::move(*next);
            at_ = 0;
        } else if (next->type == file_type && next->size > 0) {
            open_file(std::move(*next));
        }
        return true;
    }

    void open_file(Entry next) {
        file_ = archive::open_in_root(diff_.get(), next.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        if (!file_) base::throw_errno(errno, fmt::format("open {}", next.name));
        expected_ = next.payload;
        left_ = next.size;
        crc_ = 0;
        next.payload.clear();
        entry_ = std::move(next);
        at_ = 0;
    }

    std::size_t read_file(std::span<char> out) {
        const auto most = std::min<std::size_t>(out.size(), static_cast<std::size_t>(left_));
        if (most == 0) {
            file_.reset();
            if (archive::crc64_bytes(crc_) != expected_) fail_checksum();
            return 0;
        }
        const ssize_t n = ::read(file_.get(), out.data(), most);
        if (n < 0) base::throw_errno(errno, fmt::format("read {}", entry_.name));
        if (n == 0) fail_checksum();
        crc_ = archive::crc64_iso(crc_, {out.data(), static_cast<std::size_t>(n)});
        left_ -= n;
        return static_cast<std::size_t>(n);
    }

    [[noreturn]] void fail_checksum() const {
        // Source: tar-split tar/asm/assemble.go.
        broken(fmt::format("file integrity checksum failed for {}", base::quote(entry_.name)));
    }

    EntryReader entries_;
    base::Fd diff_;
    Entry entry_;
    std::size_t at_ = 0;
    base::Fd file_;
    std::int64_t left_ = 0;
    std::uint64_t crc_ = 0;
    std::string expected_;
};

}  // namespace

archive::ByteSource assemble_tar(archive::ByteSource tar_split, base::Fd diff) {
    auto assembler = std::make_shared<Assembler>(std::move(tar_split), std::move(diff));
    return [assembler](std::span<char> buffer) { return assembler->read(buffer); };
}

std::int64_t assembled_size(archive::ByteSource tar_split) {
    EntryReader entries(std::move(tar_split));
    std::int64_t total = 0;
    while (const std::optional<Entry> entry = entries.next()) {
        total += entry->type == segment_type ? static_cast<std::int64_t>(entry->payload.size())
                                             : entry->size;
    }
    return total;
}

}  // namespace dockerd::store

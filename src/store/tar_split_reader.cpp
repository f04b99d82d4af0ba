#include "tar_split_reader.hpp"

#include <charconv>

#include <nlohmann/json.hpp>

#include <dockerd/archive/compression.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::store {
namespace {

constexpr std::int64_t file_type = 1;
constexpr std::int64_t segment_type = 2;
constexpr std::size_t max_line = 64U << 20U;

[[noreturn]] void broken(const char* text) { base::fail(base::ErrorKind::internal, text); }
[[noreturn]] void invalid_entry() { broken("tar-split: invalid entry"); }

TarSplitEntry::Type type_of(std::int64_t number) {
    if (number == file_type) return TarSplitEntry::Type::file;
    if (number == segment_type) return TarSplitEntry::Type::segment;
    return TarSplitEntry::Type::other;
}

/// Takes a line apart that has nothing unusual in it.
class Scanner {
public:
    explicit Scanner(std::string_view line) : rest_(line) {}

    [[nodiscard]] bool take(std::string_view text) {
        if (!rest_.starts_with(text)) return false;
        rest_.remove_prefix(text.size());
        return true;
    }
    [[nodiscard]] bool number(std::int64_t& out) {
        const auto result = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
        if (result.ec != std::errc() || out < 0) return false;
        rest_.remove_prefix(static_cast<std::size_t>(result.ptr - rest_.data()));
        return true;
    }
    /// Up to the closing quote, which is taken too; false where a character is escaped.
    [[nodiscard]] bool text(std::string_view& out) {
        const std::size_t quote = rest_.find('"');
        if (quote == std::string_view::npos) return false;
        out = rest_.substr(0, quote);
        rest_.remove_prefix(quote + 1);
        return out.find('\\') == std::string_view::npos;
    }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

private:
    std::string_view rest_;
};

}  // namespace

std::int64_t TarSplitEntry::payload_size() const {
    std::string_view digits = payload;
    while (digits.ends_with('=')) digits.remove_suffix(1);
    return static_cast<std::int64_t>(digits.size()) * 3 / 4;
}

std::string TarSplitEntry::payload_bytes() const {
    auto bytes = base::base64_decode(payload);
    if (!bytes) invalid_entry();
    return *std::move(bytes);
}

TarSplitReader::TarSplitReader(archive::ByteSource packed)
    : source_(archive::decompress(std::move(packed))), buffer_(64 * 1024) {}

const TarSplitEntry* TarSplitReader::next() {
    for (;;) {
        const std::size_t newline = text_.find('\n', searched_);
        if (newline != std::string::npos) {
            const std::string_view line = std::string_view(text_).substr(start_, newline - start_);
            start_ = searched_ = newline + 1;
            if (line.empty()) continue;
            parse(line);
            return &entry_;
        }
        if (!refill()) break;
    }
    if (start_ == text_.size()) return nullptr;
    const std::string_view last = std::string_view(text_).substr(start_);
    start_ = searched_ = text_.size();
    parse(last);
    return &entry_;
}

bool TarSplitReader::refill() {
    text_.erase(0, start_);
    start_ = 0;
    searched_ = text_.size();
    if (text_.size() > max_line) broken("tar-split: line too long");
    const std::size_t n = source_(buffer_);
    text_.append(buffer_.data(), n);
    return n > 0;
}

void TarSplitReader::parse(std::string_view line) {
    entry_ = {};
    if (parse_usual(line)) return;
    entry_ = {};
    parse_any(line);
}

/// The form Go's encoder gives nearly every line. There are two for each file of a layer, with the
/// headers in them: a general parser takes longer for these than reading and hashing the files.
bool TarSplitReader::parse_usual(std::string_view line) {
    Scanner scanner(line);
    std::int64_t number = 0;
    if (!scanner.take("{\"type\":") || !scanner.number(number)) return false;
    entry_.type = type_of(number);
    if (scanner.take(",\"name\":\"") && !scanner.text(entry_.name)) return false;
    if (scanner.take(",\"size\":") && !scanner.number(entry_.size)) return false;
    if (scanner.take(",\"payload\":\"")) {
        if (!scanner.text(entry_.payload)) return false;
    } else if (!scanner.take(",\"payload\":null")) {
        return false;
    }
    return scanner.take(",\"position\":") && scanner.number(number) && scanner.take("}") &&
           scanner.at_end();
}

void TarSplitReader::parse_any(std::string_view line) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) invalid_entry();
    try {
        entry_.type = type_of(json.value("type", 0));
        entry_.size = json.value("size", std::int64_t{0});
        name_ = json.value("name", std::string());
        if (const auto raw = json.find("name_raw"); raw != json.end() && raw->is_string()) {
            name_ = base::base64_decode(raw->get_ref<const std::string&>()).value_or("");
        }
        payload_.clear();
        if (const auto bytes = json.find("payload"); bytes != json.end() && bytes->is_string()) {
            payload_ = bytes->get_ref<const std::string&>();
        }
    } catch (const nlohmann::json::exception&) {
        invalid_entry();
    }
    entry_.name = name_;
    entry_.payload = payload_;
}

}  // namespace dockerd::store

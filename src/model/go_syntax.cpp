#include <dockerd/model/go_syntax.hpp>

#include <fmt/format.h>

#include <vector>

namespace dockerd::model {
namespace {

// Source: Go encoding/json, maxNestingDepth.
constexpr std::size_t max_depth = 10'000;

/// A character as Go's scanner quotes it in messages.
std::string quote_char(char c) {
    if (c == '\'') return R"('\'')";
    if (c == '"') return R"('"')";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') return R"('\n')";
    if (c == '\t') return R"('\t')";
    if (c == '\r') return R"('\r')";
    if (byte < 0x20 || byte == 0x7f) return fmt::format("'\\x{:02x}'", byte);
    // Go prints the byte as the code point of that number.
    if (byte >= 0x80) {
        const char encoded[] = {static_cast<char>(0xC0 | byte >> 6U),
                                static_cast<char>(0x80 | (byte & 0x3FU)), '\0'};
        return fmt::format("'{}'", encoded);
    }
    return fmt::format("'{}'", c);
}

class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}

    GoSyntax run() {
        if (!value()) return {at_, error_};
        while (!stack_.empty()) {
            if (!after_value()) return {at_, error_};
        }
        return {at_, {}};
    }

private:
    bool fail_eof() {
        error_ = "unexpected EOF";
        return false;
    }
    bool fail_char(std::string_view context) {
        error_ = fmt::format("invalid character {} {}", quote_char(text_[at_]), context);
        return false;
    }
    void skip_space() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' ||
                                      text_[at_] == '\n' || text_[at_] == '\r')) {
            ++at_;
        }
    }

    /// Reads a scalar, or opens objects and arrays until one holds a scalar or closes.
    bool value() {
        while (true) {
            skip_space();
            if (at_ >= text_.size()) return fail_eof();
            const char c = text_[at_];
            if (c == '{' || c == '[') {
                if (stack_.size() >= max_depth) {
                    error_ = "exceeded max depth";
                    return false;
                }
                ++at_;
                stack_.push_back(c);
                skip_space();
                if (at_ >= text_.size()) return fail_eof();
                if (text_[at_] == (c == '{' ? '}' : ']')) {
                    ++at_;
                    stack_.pop_back();
                    return true;
                }
                if (c == '{' && !key()) return false;
                continue;
            }
            return scalar(c);
        }
    }

    bool scalar(char c) {
        if (c == '"') return string();
        if (c == '-' || (c >= '0' && c <= '9')) return number();
        if (c == 't') return literal("true");
        if (c == 'f') return literal("false");
        if (c == 'n') return literal("null");
        return fail_char("looking for beginning of value");
    }

    bool key() {
        skip_space();
        if (at_ >= text_.size()) return fail_eof();
        if (text_[at_] != '"') return fail_char("looking for beginning of object key string");
        if (!string()) return false;
        skip_space();
        if (at_ >= text_.size()) return fail_eof();
        if (text_[at_] != ':') return fail_char("after object key");
        ++at_;
        return true;
    }

    /// What follows a finished value inside the innermost object or array.
    bool after_value() {
        skip_space();
        if (at_ >= text_.size()) return fail_eof();
        const bool in_object = stack_.back() == '{';
        const char c = text_[at_];
        if (c == (in_object ? '}' : ']')) {
            ++at_;
            stack_.pop_back();
            return true;
        }
        if (c != ',') {
            return fail_char(in_object ? "after object key:value pair" : "after array element");
        }
        ++at_;
        return (!in_object || key()) && value();
    }

    bool string() {
        for (++at_; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '"') {
                ++at_;
                return true;
            }
            if (static_cast<unsigned char>(c) < 0x20) return fail_char("in string literal");
            if (c == '\\' && !escape()) return false;
        }
        return fail_eof();
    }

    bool escape() {
        if (++at_ >= text_.size()) return fail_eof();
        if (std::string_view("bfnrt\\/\"").find(text_[at_]) != std::string_view::npos) return true;
        if (text_[at_] != 'u') return fail_char("in string escape code");
        for (int i = 0; i < 4; ++i) {
            if (++at_ >= text_.size()) return fail_eof();
            if (std::string_view("0123456789abcdefABCDEF").find(text_[at_]) ==
                std::string_view::npos) {
                return fail_char("in \\u hexadecimal character escape");
            }
        }
        return true;
    }

    bool is_digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }

    bool digits(std::string_view context) {
        if (at_ >= text_.size()) return fail_eof();
        if (!is_digit()) return fail_char(context);
        while (is_digit()) ++at_;
        return true;
    }

    bool number() {
        if (text_[at_] == '-') ++at_;
        if (at_ < text_.size() && text_[at_] == '0') {
            ++at_;
        } else if (!digits("in numeric literal")) {
            return false;
        }
        if (at_ < text_.size() && text_[at_] == '.') {
            ++at_;
            if (!digits("after decimal point in numeric literal")) return false;
        }
        if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
            ++at_;
            if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
            if (!digits("in exponent of numeric literal")) return false;
        }
        return true;
    }

    bool literal(std::string_view word) {
        for (std::size_t i = 0; i < word.size(); ++i, ++at_) {
            if (at_ >= text_.size()) return fail_eof();
            if (text_[at_] != word[i]) {
                return fail_char(
                    fmt::format("in literal {} (expecting {})", word, quote_char(word[i])));
            }
        }
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::vector<char> stack_;
    std::string error_;
};

/// Length of the UTF-8 sequence at the start of `text`, 0 when it is not valid.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return 0;
    }
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return length;
}

}  // namespace

GoSyntax scan_go_json(std::string_view text) { return Scanner(text).run(); }

std::string replace_invalid_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            out += "\xEF\xBF\xBD";
            text.remove_prefix(1);
        } else {
            out += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return out;
}

}  // namespace dockerd::model

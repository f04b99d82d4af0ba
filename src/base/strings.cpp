#include <dockerd/base/strings.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace dockerd::base {

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (true) {
        const auto end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    std::string out;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0) out += separator;
        out += parts[i];
    }
    return out;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view space = " \t\r\n\v\f";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

namespace {
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
}  // namespace

std::string to_lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), lower);
    return out;
}

bool iequals(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::int64_t> parse_int(std::string_view text) {
    if (!text.empty() && text.front() == '+') {
        text.remove_prefix(1);
        if (!text.empty() && text.front() == '-') return std::nullopt;
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string quote(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        switch (c) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            case '\a': out += "\\a"; break;
            case '\b': out += "\\b"; break;
            case '\f': out += "\\f"; break;
            case '\v': out += "\\v"; break;
            default:
                if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
                } else {
                    out += c;
                }
        }
    }
    return out + "\"";
}

std::string base64_encode(std::string_view bytes, bool url_safe) {
    const char* digits = url_safe
                             ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                             : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    std::size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        const auto byte = [&](std::size_t at) {
            return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i + at]));
        };
        const std::uint32_t group = byte(0) << 16U | byte(1) << 8U | byte(2);
        const char four[4] = {digits[group >> 18U], digits[group >> 12U & 63U],
                              digits[group >> 6U & 63U], digits[group & 63U]};
        out.append(four, sizeof four);
    }
    if (i < bytes.size()) {
        std::uint32_t group = 0;
        const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
        for (std::size_t k = 0; k < 3; ++k) {
            group = group << 8U | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0U);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            out.push_back(k <= have ? digits[group >> (18U - 6U * k) & 63U] : '=');
        }
    }
    return out;
}

namespace {

constexpr int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
}

constexpr std::uint32_t not_base64 = 1U << 31U;

/// The digit of each byte; layers keep their headers in base64, so this is looked at often.
constexpr std::array<std::uint32_t, 256> base64_digits = [] {
    std::array<std::uint32_t, 256> out{};
    for (unsigned i = 0; i < out.size(); ++i) {
        const int digit = base64_digit(static_cast<char>(static_cast<unsigned char>(i)));
        out[i] = digit < 0 ? not_base64 : static_cast<std::uint32_t>(digit);
    }
    return out;
}();

}  // namespace

std::optional<std::string> base64_decode(std::string_view text) {
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
    if (text.size() % 4 == 1) return std::nullopt;
    const auto digit = [&](std::size_t at) {
        return at < text.size() ? base64_digits[static_cast<unsigned char>(text[at])] : 0;
    };
    std::string out(text.size() / 4 * 3 + 3, '\0');
    std::uint32_t wrong = 0;
    std::size_t to = 0;
    for (std::size_t at = 0; at < text.size(); at += 4) {
        const std::uint32_t a = digit(at);
        const std::uint32_t b = digit(at + 1);
        const std::uint32_t c = digit(at + 2);
        const std::uint32_t d = digit(at + 3);
        wrong |= a | b | c | d;
        const std::uint32_t group = a << 18U | b << 12U | c << 6U | d;
        out[to++] = static_cast<char>(group >> 16U & 255U);
        out[to++] = static_cast<char>(group >> 8U & 255U);
        out[to++] = static_cast<char>(group & 255U);
    }
    if ((wrong & not_base64) != 0) return std::nullopt;
    out.resize(text.size() * 3 / 4);
    return out;
}

}  // namespace dockerd::base

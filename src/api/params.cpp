#include "params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::api {
namespace {

using base::ErrorKind;

enum class Number { good, syntax, range };

/// Go's strconv.ParseInt in base 10.
Number parse_number(std::string_view text, std::int64_t& out) {
    std::string_view digits = text;
    if (!digits.empty() && (digits.front() == '+' || digits.front() == '-')) {
        digits.remove_prefix(1);
    }
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) {
        return Number::syntax;
    }
    const std::string_view number = text.front() == '+' ? digits : text;
    const auto result = std::from_chars(number.data(), number.data() + number.size(), out);
    return result.ec == std::errc{} ? Number::good : Number::range;
}

const char* reason_text(Number number) {
    return number == Number::range ? "value out of range" : "invalid syntax";
}

bool is_token_char(char c) {
    return c > 0x20 && c < 0x7f &&
           std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}

std::size_t token_length(std::string_view text) {
    std::size_t length = 0;
    while (length < text.size() && is_token_char(text[length])) ++length;
    return length;
}

/// What is wrong with the part of a media type before its parameters; empty when nothing is.
/// Source: Go mime, checkMediaTypeDisposition.
std::string_view media_type_fault(std::string_view type) {
    const std::size_t main = token_length(type);
    if (main == 0) return "mime: no media type";
    type.remove_prefix(main);
    if (type.empty()) return {};
    if (type.front() != '/') return "mime: expected slash after first token";
    type.remove_prefix(1);
    const std::size_t sub = token_length(type);
    if (sub == 0) return "mime: expected token after slash";
    if (sub != type.size()) return "mime: unexpected content after media type";
    return {};
}

/// Whether `text` is empty or a list of `; name=value`. Source: Go mime, ParseMediaType.
bool are_media_parameters(std::string_view text) {
    while (true) {
        text = base::trim(text);
        if (text.empty() || text == ";") return true;
        if (text.front() != ';') return false;
        text = base::trim(text.substr(1));
        const std::size_t name = token_length(text);
        if (name == 0) return false;
        text = base::trim(text.substr(name));
        if (text.empty() || text.front() != '=') return false;
        text = base::trim(text.substr(1));
        if (!text.empty() && text.front() == '"') {
            const auto end = text.find('"', 1);
            if (end == std::string_view::npos) return false;
            text.remove_prefix(end + 1);
        } else {
            const std::size_t value = token_length(text);
            if (value == 0) return false;
            text.remove_prefix(value);
        }
    }
}

[[noreturn]] void malformed(std::string_view type, std::string_view why) {
    base::fail(ErrorKind::invalid_argument,
               fmt::format("malformed Content-Type header ({}): {}", type, why));
}

}  // namespace

bool bool_param(const http::Request& request, std::string_view name) {
    const std::string text = request.param(name, "");
    const std::string value = base::to_lower(base::trim(text));
    return !(value.empty() || value == "0" || value == "no" || value == "false" || value == "none");
}

bool bool_param_or(const http::Request& request, std::string_view name, bool fallback) {
    return request.has_param(name) ? bool_param(request, name) : fallback;
}

std::int64_t int_param(const http::Request& request, std::string_view name, std::int64_t fallback,
                       std::string_view function) {
    const std::string text = request.param(name, "");
    if (text.empty()) return fallback;
    std::int64_t value = 0;
    const Number number = parse_number(text, value);
    if (number == Number::good) return value;
    base::fail(ErrorKind::internal, fmt::format("strconv.{}: parsing {}: {}", function,
                                                base::quote(text), reason_text(number)));
}

std::int64_t int_param_or_zero(const http::Request& request, std::string_view name) {
    std::int64_t value = 0;
    const std::string text = request.param(name, "");
    return parse_number(text, value) == Number::good ? value : 0;
}

std::uint32_t uint32_param(const http::Request& request, std::string_view name,
                           std::string_view what) {
    const std::string text = request.param(name, "");
    std::string_view digits = text;
    const bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    std::int64_t value = 0;
    Number number = digits.starts_with('+') || digits.starts_with('-')
                        ? Number::syntax
                        : parse_number(digits, value);
    if (number == Number::good && (negative || value > UINT32_MAX)) number = Number::range;
    if (number == Number::good) return static_cast<std::uint32_t>(value);
    base::fail(ErrorKind::invalid_argument,
               fmt::format("{} {}: {}", what, base::quote(text), reason_text(number)));
}

void check_bool_param(const http::Request& request, std::string_view name) {
    const std::string text = request.param(name, "");
    if (text.empty()) return;
    // Source: Go strconv, ParseBool.
    constexpr std::array<std::string_view, 12> accepted{"1", "t", "T", "true",  "TRUE",  "True",
                                                        "0", "f", "F", "false", "FALSE", "False"};
    if (std::ranges::find(accepted, text) != accepted.end()) return;
    base::fail(
        ErrorKind::invalid_argument,
        fmt::format("invalid value for {}: {}: strconv.ParseBool: parsing {}: invalid syntax", name,
                    text, base::quote(text)));
}

model::Filters filters_param(const http::Request& request) {
    return model::Filters::parse(request.param("filters", ""));
}

void check_json(const http::Request& request) {
    const std::string_view type = request.headers.get("Content-Type");
    if (type.empty() && request.content_length == 0) return;
    const auto semicolon = type.find(';');
    const std::string_view main = base::trim(type.substr(0, semicolon));
    if (const std::string_view fault = media_type_fault(main); !fault.empty()) {
        malformed(type, fault);
    }
    if (semicolon != std::string_view::npos && !are_media_parameters(type.substr(semicolon))) {
        malformed(type, "mime: invalid media parameter");
    }
    if (!base::iequals(main, "application/json")) {
        base::fail(ErrorKind::invalid_argument,
                   fmt::format("unsupported Content-Type header ({}): must be "
                               "'application/json'",
                               type));
    }
}

std::optional<std::string> base64_header(const http::Request& request, std::string_view name) {
    const std::string* const value = request.headers.find(name);
    if (!value) return std::nullopt;
    return base::base64_decode(*value);
}

}  // namespace dockerd::api

#include "timestamp.hpp"

#include <algorithm>
#include <cmath>

#include <dockerd/base/strings.hpp>

namespace dockerd::api::codec {
namespace {

std::int64_t parse_part(std::string_view text, base::ErrorKind kind) {
    if (const auto value = base::parse_int(text)) return *value;
    const std::string_view digits =
        text.substr(text.starts_with('-') || text.starts_with('+') ? 1 : 0);
    const bool number = !digits.empty() && std::ranges::all_of(digits, [](char c) {
        return c >= '0' && c <= '9';
    });
    base::fail(kind, "strconv.ParseInt: parsing " + base::quote(text) +
                         (number ? ": value out of range" : ": invalid syntax"));
}

}  // namespace

std::optional<base::WallTime> parse_timestamp(std::string_view text, base::ErrorKind kind) {
    if (text.empty()) return std::nullopt;
    const auto dot = text.find('.');
    const std::int64_t seconds = parse_part(text.substr(0, dot), kind);
    if (dot == std::string_view::npos) return base::WallTime(seconds, 0);
    const std::string_view fraction = text.substr(dot + 1);
    const double scale = std::pow(10.0, 9.0 - static_cast<double>(fraction.size()));
    const double nanoseconds = static_cast<double>(parse_part(fraction, kind)) * scale;
    return base::WallTime(seconds, static_cast<std::int32_t>(nanoseconds));
}

}  // namespace dockerd::api::codec

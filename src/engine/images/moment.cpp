#include "images/moment.hpp"

#include <algorithm>
#include <ctime>
#include <optional>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {

namespace {

/// Parses "2006-01-02" or "2006-01-02T15[:04[:05[.9]]]", with or without a zone.
std::optional<base::WallTime> parse_partial(std::string text) {
    if (text.size() < 10) return std::nullopt;
    std::string zone;
    const auto zone_at = text.find_first_of("zZ+-", 10);
    if (zone_at != std::string::npos) {
        zone = text.substr(zone_at);
        text.resize(zone_at);
    }
    if (text.size() == 10) text += "T00";
    while (text.size() < 19 && std::ranges::count(text, ':') < 2) text += ":00";
    const auto time = base::parse_rfc3339(text + (zone.empty() ? "Z" : zone));
    if (!time || !zone.empty()) return time;
    // What was read as UTC is meant as local time: the same digits, through the zone's rules.
    const std::time_t seconds = time->seconds();
    std::tm parts{};
    if (::gmtime_r(&seconds, &parts) == nullptr) return std::nullopt;
    parts.tm_isdst = -1;
    return base::WallTime(::mktime(&parts), time->nanoseconds());
}

/// "1136073600.000000001".
std::optional<base::WallTime> parse_seconds(const std::string& text) {
    const auto dot = text.find('.');
    const auto seconds = base::parse_int(text.substr(0, dot));
    if (!seconds) return std::nullopt;
    if (dot == std::string::npos) return base::WallTime(*seconds, 0);
    std::string digits = text.substr(dot + 1, 9);
    digits.resize(9, '0');
    const auto nanoseconds = base::parse_int(digits);
    if (!nanoseconds) return std::nullopt;
    return base::WallTime(*seconds, static_cast<std::int32_t>(*nanoseconds));
}

}  // namespace

base::WallTime parse_moment(const std::string& text) {
    if (const auto duration = base::parse_duration(text); duration && text != "0") {
        const auto then = base::WallTime::now().unix_nano() - duration->count();
        return {then / 1'000'000'000, 0};
    }
    if (const auto time = parse_partial(text)) return *time;
    if (const auto time = parse_seconds(text)) return *time;
    base::fail(base::ErrorKind::internal,
               "failed to parse value as time or duration: " + base::quote(text));
}

}  // namespace dockerd::engine

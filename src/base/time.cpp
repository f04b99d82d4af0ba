#include <dockerd/base/time.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include <dockerd/base/strings.hpp>

namespace dockerd::base {

WallTime WallTime::now() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return {now.tv_sec, static_cast<std::int32_t>(now.tv_nsec)};
}

namespace {

std::string date_and_seconds(WallTime time) {
    using namespace std::chrono;
    const sys_seconds point{seconds{time.seconds()}};
    const auto day = floor<days>(point);
    const year_month_day date{day};
    const hh_mm_ss clock{point - day};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

/// Reads `count` digits at `at` and moves it; -1 when there are none.
int digits(std::string_view text, std::size_t& at, std::size_t count) {
    if (at + count > text.size()) return -1;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const char c = text[at + i];
        if (c < '0' || c > '9') return -1;
        value = value * 10 + (c - '0');
    }
    at += count;
    return value;
}

bool literal(std::string_view text, std::size_t& at, char c) {
    if (at >= text.size() || text[at] != c) return false;
    ++at;
    return true;
}

}  // namespace

std::string format_rfc3339_nano(WallTime time) {
    std::string out = date_and_seconds(time);
    if (time.nanoseconds() != 0) {
        std::string fraction = fmt::format(".{:09}", time.nanoseconds());
        fraction.erase(fraction.find_last_not_of('0') + 1);
        out += fraction;
    }
    return out + "Z";
}

std::string format_rfc3339_fixed(WallTime time) {
    return fmt::format("{}.{:09}Z", date_and_seconds(time), time.nanoseconds());
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
    using namespace std::chrono;
    std::size_t at = 0;
    const int y = digits(text, at, 4);
    if (y < 0 || !literal(text, at, '-')) return std::nullopt;
    const int mo = digits(text, at, 2);
    if (mo < 0 || !literal(text, at, '-')) return std::nullopt;
    const int d = digits(text, at, 2);
    if (d < 0 || !literal(text, at, 'T')) return std::nullopt;
    const int h = digits(text, at, 2);
    if (h < 0 || h > 23 || !literal(text, at, ':')) return std::nullopt;
    const int mi = digits(text, at, 2);
    if (mi < 0 || mi > 59 || !literal(text, at, ':')) return std::nullopt;
    const int s = digits(text, at, 2);
    if (s < 0 || s > 60) return std::nullopt;
    std::int32_t nanos = 0;
    if (literal(text, at, '.')) {
        std::int32_t scale = 100'000'000;
        const std::size_t first = at;
        while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
            nanos += (text[at] - '0') * scale;
            scale /= 10;
            ++at;
        }
        if (at == first) return std::nullopt;
    }
    std::int64_t offset = 0;
    if (!literal(text, at, 'Z')) {
        const int sign = literal(text, at, '+') ? 1 : literal(text, at, '-') ? -1 : 0;
        if (sign == 0) return std::nullopt;
        const int oh = digits(text, at, 2);
        if (oh < 0 || !literal(text, at, ':')) return std::nullopt;
        const int om = digits(text, at, 2);
        if (om < 0) return std::nullopt;
        offset = sign * (oh * 3600 + om * 60);
    }
    if (at != text.size()) return std::nullopt;
    const year_month_day date{year{y}, month{static_cast<unsigned>(mo)},
                              day{static_cast<unsigned>(d)}};
    if (!date.ok()) return std::nullopt;
    const auto point = sys_days{date} + hours{h} + minutes{mi} + seconds{s};
    return WallTime{point.time_since_epoch().count() - offset, nanos};
}

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
    if (text.empty()) return std::nullopt;
    double sign = 1;
    if (text.front() == '-' || text.front() == '+') {
        sign = text.front() == '-' ? -1 : 1;
        text.remove_prefix(1);
    }
    if (text == "0") return std::chrono::nanoseconds{0};
    if (text.empty()) return std::nullopt;
    struct Unit {
        std::string_view name;
        double nanos;
    };
    constexpr std::array<Unit, 8> units{{{"ns", 1},
                                         {"us", 1e3},
                                         {"\xC2\xB5s", 1e3},
                                         {"\xCE\xBCs", 1e3},
                                         {"ms", 1e6},
                                         {"s", 1e9},
                                         {"m", 6e10},
                                         {"h", 3.6e12}}};
    double total = 0;
    while (!text.empty()) {
        std::size_t end = 0;
        while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) {
            ++end;
        }
        double number = 0;
        try {
            std::size_t used = 0;
            number = std::stod(std::string(text.substr(0, end)), &used);
            if (used != end) return std::nullopt;
        } catch (const std::exception&) {
            return std::nullopt;
        }
        text.remove_prefix(end);
        std::size_t name = 0;
        while (name < text.size() && text[name] != '.' && (text[name] < '0' || text[name] > '9')) {
            ++name;
        }
        const auto unit = std::ranges::find(units, text.substr(0, name), &Unit::name);
        if (unit == units.end()) return std::nullopt;
        total += number * unit->nanos;
        text.remove_prefix(name);
    }
    if (total > 9.2e18) return std::nullopt;
    return std::chrono::nanoseconds{static_cast<std::int64_t>(sign * total)};
}

std::string format_duration(std::chrono::nanoseconds duration) {
    const std::int64_t count = duration.count();
    if (count == 0) return "0s";
    const std::string sign = count < 0 ? "-" : "";
    const auto left =
        count < 0 ? 0 - static_cast<std::uint64_t>(count) : static_cast<std::uint64_t>(count);
    // A number of `unit` nanoseconds with as many digits of fraction as it needs.
    const auto number = [](std::uint64_t nanos, std::uint64_t unit) {
        std::string text = std::to_string(nanos / unit);
        if (nanos % unit == 0) return text;
        const std::string rest = std::to_string(unit + nanos % unit).substr(1);
        return text + "." + rest.substr(0, rest.find_last_not_of('0') + 1);
    };
    constexpr std::uint64_t second = 1'000'000'000;
    if (left < 1000) return sign + std::to_string(left) + "ns";
    if (left < 1'000'000) return sign + number(left, 1000) + "\xC2\xB5s";
    if (left < second) return sign + number(left, 1'000'000) + "ms";
    std::string text = sign;
    const std::uint64_t minutes = left / second / 60;
    if (minutes >= 60) text += std::to_string(minutes / 60) + "h";
    if (minutes >= 1) text += std::to_string(minutes % 60) + "m";
    return text + number(left % (60 * second), second) + "s";
}

std::string human_duration(std::chrono::seconds duration) {
    const auto s = duration.count();
    if (s < 1) return "Less than a second";
    if (s == 1) return "1 second";
    if (s < 60) return fmt::format("{} seconds", s);
    const auto m = s / 60;
    if (m == 1) return "About a minute";
    if (m < 60) return fmt::format("{} minutes", m);
    const auto h = std::llround(static_cast<double>(s) / 3600.0);
    if (h == 1) return "About an hour";
    if (h < 48) return fmt::format("{} hours", h);
    if (h < 24 * 7 * 2) return fmt::format("{} days", h / 24);
    if (h < 24 * 30 * 2) return fmt::format("{} weeks", h / 24 / 7);
    if (h < 24 * 365 * 2) return fmt::format("{} months", h / 24 / 30);
    return fmt::format("{} years", s / 3600 / 24 / 365);
}

}  // namespace dockerd::base

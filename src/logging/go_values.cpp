#include "go_values.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/logging/drivers.hpp>

namespace dockerd::logging {

namespace {

[[noreturn]] void bad_number(const char* function, std::string_view text, const char* why) {
    refuse(fmt::format("strconv.{}: parsing {}: {}", function, base::quote(text), why));
}

}  // namespace

void refuse(const std::string& text) { base::fail(base::ErrorKind::invalid_argument, text); }

std::int64_t parse_atoi(std::string_view text) {
    const std::string_view digits =
        !text.empty() && (text[0] == '-' || text[0] == '+') ? text.substr(1) : text;
    const bool numeric =
        !digits.empty() && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    if (!numeric) bad_number("Atoi", text, "invalid syntax");
    const auto value = base::parse_int(text);
    if (!value) bad_number("Atoi", text, "value out of range");
    return *value;
}

std::int32_t parse_int32(std::string_view text) {
    std::int64_t value = 0;
    try {
        value = parse_atoi(text);
    } catch (const base::Error& error) {
        const bool range = std::string_view(error.what()).ends_with("value out of range");
        bad_number("ParseInt", text, range ? "value out of range" : "invalid syntax");
    }
    if (value != static_cast<std::int32_t>(value)) {
        bad_number("ParseInt", text, "value out of range");
    }
    return static_cast<std::int32_t>(value);
}

std::uint64_t parse_uint(std::string_view text, std::uint64_t most) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error == std::errc::invalid_argument || end != text.data() + text.size()) {
        bad_number("ParseUint", text, "invalid syntax");
    }
    if (error != std::errc() || value > most) bad_number("ParseUint", text, "value out of range");
    return value;
}

bool parse_bool(std::string_view text) {
    for (const auto* yes : {"1", "t", "T", "true", "TRUE", "True"}) {
        if (text == yes) return true;
    }
    for (const auto* no : {"0", "f", "F", "false", "FALSE", "False"}) {
        if (text == no) return false;
    }
    bad_number("ParseBool", text, "invalid syntax");
}

std::chrono::nanoseconds parse_go_duration(std::string_view text) {
    const auto value = base::parse_duration(text);
    if (!value) refuse("time: invalid duration " + base::quote(text));
    return *value;
}

std::string format_go_duration(std::chrono::nanoseconds duration) {
    const auto trimmed = [](double value, const char* unit) {
        std::string text = fmt::format("{:.9f}", value);
        while (text.back() == '0') text.pop_back();
        if (text.back() == '.') text.pop_back();
        return text + unit;
    };
    const std::int64_t count = duration.count();
    if (count == 0) return "0s";
    const std::string sign = count < 0 ? "-" : "";
    const auto value = static_cast<double>(count < 0 ? -count : count);
    if (value < 1e3) return sign + trimmed(value, "ns");
    if (value < 1e6) return sign + trimmed(value / 1e3, "\xc2\xb5s");
    if (value < 1e9) return sign + trimmed(value / 1e6, "ms");
    const auto minutes = static_cast<std::int64_t>(value / 60e9);
    std::string text = sign;
    if (minutes >= 60) text += fmt::format("{}h", minutes / 60);
    if (minutes > 0) text += fmt::format("{}m", minutes % 60);
    return text + trimmed(value / 1e9 - static_cast<double>(minutes) * 60, "s");
}

std::int64_t parse_size(std::string_view text, bool binary) {
    const auto last = text.find_last_of("01234567890. ");
    if (last == std::string_view::npos) refuse(fmt::format("invalid size: '{}'", text));
    const std::string number(text.substr(0, text[last] == ' ' ? last : last + 1));
    std::string suffix(text.substr(last + 1));
    double size = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), size);
    if (error != std::errc() || end != number.data() + number.size()) {
        bad_number("ParseFloat", number, "invalid syntax");
    }
    if (size < 0) refuse(fmt::format("invalid size: '{}'", text));
    const auto whole = [](double value) {
        return value > 9.2e18 ? std::numeric_limits<std::int64_t>::max()
                              : static_cast<std::int64_t>(value);
    };
    if (suffix.empty()) return whole(size);
    const auto bad = [&] { refuse(fmt::format("invalid suffix: '{}'", suffix)); };
    if (suffix.size() > 3) bad();
    suffix = base::to_lower(suffix);
    if (suffix == "b") return whole(size);
    const auto power = std::string_view("kmgtp").find(suffix[0]);
    if (power == std::string_view::npos) bad();
    if (suffix.size() == 2 && suffix[1] != 'b') bad();
    if (suffix.size() == 3 && suffix.substr(1) != "ib") bad();
    for (std::size_t i = 0; i <= power; ++i) size *= binary ? 1024 : 1000;
    return whole(size);
}

std::string Url::hostname() const {
    if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
    return host.substr(0, host.rfind(':'));
}

std::string Url::port() const {
    const auto colon = host.rfind(':');
    if (colon == std::string::npos || host.find(']', colon) != std::string::npos) return {};
    return host.substr(colon + 1);
}

Url parse_url(std::string_view text) {
    const auto bad = [&](const std::string& why) {
        refuse(fmt::format("parse {}: {}", base::quote(text), why));
    };
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            bad("net/url: invalid control character in URL");
        }
    }
    Url url;
    std::string_view rest = text.substr(0, text.find('#'));
    const auto is_scheme = [](char c, bool first) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return letter || (!first && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'));
    };
    for (std::size_t i = 0; i < rest.size(); ++i) {
        if (is_scheme(rest[i], i == 0)) continue;
        if (rest[i] != ':') break;
        if (i == 0) bad("missing protocol scheme");
        url.scheme = base::to_lower(rest.substr(0, i));
        rest.remove_prefix(i + 1);
        break;
    }
    rest = rest.substr(0, rest.find('?'));
    if (url.scheme.empty() && !rest.starts_with('/')) {
        if (rest.substr(0, rest.find('/')).find(':') != std::string_view::npos) {
            bad("first path segment in URL cannot contain colon");
        }
    }
    if (rest.starts_with("//")) {
        rest.remove_prefix(2);
        const auto slash = rest.find('/');
        std::string_view authority = rest.substr(0, slash);
        if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
            authority.remove_prefix(at + 1);
        }
        url.host = authority;
        rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash);
    } else if (!url.scheme.empty() && !rest.starts_with('/')) {
        return url;  // opaque: neither host nor path
    }
    url.path = rest;
    std::string_view port;
    if (url.host.starts_with('[')) {
        const auto close = url.host.rfind(']');
        if (close == std::string::npos) bad("missing ']' in host");
        port = std::string_view(url.host).substr(close + 1);
    } else if (const auto colon = url.host.rfind(':'); colon != std::string::npos) {
        port = std::string_view(url.host).substr(colon);
    }
    const bool valid =
        port.empty() || (port[0] == ':' && std::ranges::all_of(port.substr(1), [](char c) {
                             return c >= '0' && c <= '9';
                         }));
    if (!valid) bad(fmt::format("invalid port {} after host", base::quote(port)));
    return url;
}

HostPort split_host_port(std::string_view text) {
    const auto bad = [&](const char* why) { refuse(fmt::format("address {}: {}", text, why)); };
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) bad("missing port in address");
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string_view::npos) bad("missing ']' in address");
        if (close + 1 == text.size()) bad("missing port in address");
        if (close + 1 != colon) {
            bad(text[close + 1] == ':' ? "too many colons in address" : "missing port in address");
        }
        return {std::string(text.substr(1, close - 1)), std::string(text.substr(colon + 1))};
    }
    if (text.substr(0, colon).find(':') != std::string_view::npos) {
        bad("too many colons in address");
    }
    return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

std::string join_host_port(std::string_view host, std::string_view port) {
    if (host.find(':') != std::string_view::npos) return fmt::format("[{}]:{}", host, port);
    return fmt::format("{}:{}", host, port);
}

}  // namespace dockerd::logging

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/net/address.hpp>

#include "options.hpp"

namespace dockerd::app {
namespace {

[[noreturn]] void bad(const std::string& why) {
    base::fail(base::ErrorKind::invalid_argument, why);
}

// --- values from text ----------------------------------------------------------------------

// Source: Go strconv, ParseBool.
bool parse_bool(const std::string& text) {
    constexpr std::array yes{"1", "t", "T", "true", "TRUE", "True"};
    constexpr std::array no{"0", "f", "F", "false", "FALSE", "False"};
    if (std::ranges::find(yes, text) != yes.end()) return true;
    if (std::ranges::find(no, text) != no.end()) return false;
    bad(fmt::format("strconv.ParseBool: parsing {}: invalid syntax", base::quote(text)));
}

std::int64_t parse_integer(const std::string& text) {
    const char* const first = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* const last = text.data() + text.size();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(first, last, value);
    if (error == std::errc{} && end == last && first != last) return value;
    const bool range = error == std::errc::result_out_of_range && end == last;
    bad(fmt::format("strconv.ParseInt: parsing {}: {}", base::quote(text),
                    range ? "value out of range" : "invalid syntax"));
}

// Source: docker/go-units ulimit.go, ParseUlimit.
Ulimit parse_ulimit(const std::string& text, std::string& name) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) bad("invalid ulimit argument: " + text);
    name = text.substr(0, equals);
    constexpr std::array known{"core",    "cpu",      "data",   "fsize",      "locks",
                               "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                               "rss",     "rtprio",   "rttime", "sigpending", "stack"};
    if (std::ranges::find(known, name) == known.end()) bad("invalid ulimit type: " + name);
    const auto values = base::split(std::string_view(text).substr(equals + 1), ':');
    if (values.size() > 2) bad("too many limit value arguments - " + text.substr(equals + 1));
    Ulimit limit;
    limit.soft = parse_integer(values[0]);
    limit.hard = values.size() > 1 ? parse_integer(values[1]) : limit.soft;
    if (limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard)) {
        bad(fmt::format("ulimit soft limit must be less than or equal to hard limit: {} > {}",
                        limit.soft, limit.hard));
    }
    return limit;
}

// Source: moby opts/address_pools.go, PoolsOpt.Set.
AddressPool parse_pool(const std::string& text) {
    AddressPool pool;
    for (const std::string& field : base::split(text, ',')) {
        const auto equals = field.find('=');
        if (equals == std::string::npos) {
            bad(fmt::format("invalid field '{}' must be a key=value pair", field));
        }
        const std::string key = field.substr(0, equals);
        const std::string value = field.substr(equals + 1);
        if (key == "base") {
            if (const auto fault = prefix_fault(value); !fault.empty()) {
                bad(fmt::format("invalid base prefix {}: {}", base::quote(value), fault));
            }
            pool.base = value;
        } else if (key == "size") {
            const auto size = base::parse_int(value);
            if (!size) {
                bad(
                    fmt::format("invalid size value: {} (must be integer): strconv.Atoi: parsing "
                                "{}: invalid syntax",
                                value, base::quote(value)));
            }
            pool.size = static_cast<int>(*size);
        } else {
            bad(fmt::format("unexpected key '{}' in '{}'", key, field));
        }
    }
    return pool;
}

struct SetText {
    Config& config;
    const Option& option;
    const std::string& text;

    void operator()(bool Config::*field) const { config.*field = parse_bool(text); }
    void operator()(std::optional<bool> Config::*field) const { config.*field = parse_bool(text); }
    void operator()(std::int64_t Config::*field) const { config.*field = parse_integer(text); }
    void operator()(std::string Config::*field) const { config.*field = text; }
    void operator()(Bytes Config::*field) const { config.*field = Bytes{parse_bytes(text)}; }
    void operator()(std::vector<std::string> Config::*field) const {
        (config.*field).push_back(text);
    }
    void operator()(std::map<std::string, std::string> Config::*field) const {
        const auto equals = text.find('=');
        (config.*field)[text.substr(0, equals)] =
            equals == std::string::npos ? "" : text.substr(equals + 1);
    }
    // Source: moby internal/opts/opts.go, SetOpts: a bare key means true.
    void operator()(std::map<std::string, bool> Config::*field) const {
        const auto equals = text.find('=');
        (config.*field)[text.substr(0, equals)] =
            equals == std::string::npos || parse_bool(text.substr(equals + 1));
    }
    void operator()(
        std::map<std::string, std::map<std::string, std::string>> Config::*field) const {
        const auto parts = base::split(text, '=');
        if (parts.size() < 3) {
            bad(fmt::format("invalid value {} for map option, should be root-key=key=value",
                            base::quote(text)));
        }
        (config.*field)[parts[0]][parts[1]] = text.substr(parts[0].size() + parts[1].size() + 2);
    }
    void operator()(std::vector<AddressPool> Config::*field) const {
        (config.*field).push_back(parse_pool(text));
    }
    void operator()(std::map<std::string, Ulimit> Config::*field) const {
        std::string name;
        const Ulimit limit = parse_ulimit(text, name);
        (config.*field)[name] = limit;
    }
    // Source: moby opts/runtime.go, RuntimeOpt.Set.
    void operator()(std::map<std::string, RuntimeConfig> Config::*field) const {
        const auto equals = text.find('=');
        if (equals == std::string::npos) bad("invalid runtime argument: " + text);
        const std::string name = base::to_lower(base::trim(text.substr(0, equals)));
        const std::string path(base::trim(text.substr(equals + 1)));
        if (name.empty() || path.empty()) bad("invalid runtime argument: " + text);
        if (name == "runc") bad("runtime name 'runc' is reserved");
        if ((config.*field).contains(name))
            bad(fmt::format("runtime '{}' was already defined", name));
        (config.*field)[name] = RuntimeConfig{.path = path};
    }
};

// --- values as text ------------------------------------------------------------------------

struct ShowText {
    const Config& config;

    std::string operator()(bool Config::*field) const { return config.*field ? "true" : "false"; }
    std::string operator()(std::optional<bool> Config::*field) const {
        return (config.*field).value_or(false) ? "true" : "false";
    }
    std::string operator()(std::int64_t Config::*field) const {
        return std::to_string(config.*field);
    }
    std::string operator()(std::string Config::*field) const { return config.*field; }
    std::string operator()(Bytes Config::*field) const {
        return std::to_string((config.*field).value);
    }
    std::string operator()(std::vector<std::string> Config::*field) const {
        return "[" + base::join(config.*field, " ") + "]";
    }
    template <typename Value>
    std::string operator()(std::map<std::string, Value> Config::*field) const {
        std::vector<std::string> parts;
        for (const auto& [key, value] : config.*field) parts.push_back(key + ":" + show(value));
        return "map[" + base::join(parts, " ") + "]";
    }
    std::string operator()(std::vector<AddressPool> Config::*field) const {
        std::vector<std::string> parts;
        for (const AddressPool& pool : config.*field) {
            parts.push_back(fmt::format("{{{} {}}}", pool.base, pool.size));
        }
        return "[" + base::join(parts, " ") + "]";
    }

    static std::string show(const std::string& value) { return value; }
    static std::string show(bool value) { return value ? "true" : "false"; }
    static std::string show(const Ulimit& value) {
        return fmt::format("{}:{}", value.soft, value.hard);
    }
    static std::string show(const RuntimeConfig& value) { return value.path; }
    static std::string show(const std::map<std::string, std::string>& value) {
        std::vector<std::string> parts;
        for (const auto& [key, text] : value) parts.push_back(key + ":" + text);
        return "map[" + base::join(parts, " ") + "]";
    }
};

}  // namespace

// Source: docker/go-units size.go, RAMInBytes.
std::int64_t parse_bytes(const std::string& text) {
    const std::size_t digits = text.find_first_not_of("0123456789.");
    const std::string number = text.substr(0, digits);
    std::string unit =
        base::to_lower(base::trim(digits == std::string::npos ? "" : text.substr(digits)));
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc{} || end != number.data() + number.size()) {
        bad(fmt::format("invalid size: '{}'", text));
    }
    if (unit.ends_with("ib")) unit.resize(unit.size() - 2);
    if (unit.ends_with('b')) unit.pop_back();
    constexpr std::string_view units = "kmgtp";
    if (unit.size() > 1 || (unit.size() == 1 && units.find(unit) == std::string_view::npos)) {
        bad(fmt::format("invalid suffix: '{}'", text.substr(digits)));
    }
    const double scale = unit.empty() ? 1 : std::pow(1024.0, double(units.find(unit) + 1));
    return static_cast<std::int64_t>(value * scale);
}

std::string prefix_fault(const std::string& text) {
    const std::string start = fmt::format("netip.ParsePrefix({}): ", base::quote(text));
    const auto slash = text.rfind('/');
    if (slash == std::string::npos) return start + "no '/'";
    const std::string address = text.substr(0, slash);
    const std::string bits = text.substr(slash + 1);
    const auto ip = net::IpAddress::parse(address);
    if (!ip) return start + fmt::format("ParseAddr({}): unable to parse IP", base::quote(address));
    const bool digits =
        !bits.empty() && bits.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || (bits.size() > 1 && bits.front() == '0')) {
        return start + fmt::format("bad bits after slash: {}", base::quote(bits));
    }
    if (!net::IpPrefix::parse(text)) return start + "prefix length out of range";
    return {};
}

bool is_switch(const Option& option) {
    return std::holds_alternative<bool Config::*>(option.target) ||
           std::holds_alternative<std::optional<bool> Config::*>(option.target);
}

void set_from_text(Config& config, const Option& option, const std::string& text) {
    // --dns takes several addresses at a time. Source: spf13/pflag ip_slice.go.
    if (option.type == "ipSlice") {
        for (const std::string& item : base::split(text, ',')) {
            const std::string address(base::trim(item));
            if (const auto fault = option.check(address)) bad(*fault);
            config.dns.push_back(address);
        }
        return;
    }
    if (option.check) {
        if (const auto fault = option.check(text)) bad(*fault);
    }
    std::visit(SetText{config, option, text}, option.target);
}

void reset_option(Config& config, const Option& option) {
    const Config defaults;
    std::visit([&](auto field) { config.*field = defaults.*field; }, option.target);
}

std::string value_text(const Config& config, const Option& option) {
    return std::visit(ShowText{config}, option.target);
}

// Source: moby daemon/config/config.go, parseExecOptions; config_linux.go,
// validatePlatformExecOpt.
std::optional<std::string> exec_opt(const Config& config, std::string_view name) {
    std::optional<std::string> found;
    for (const std::string& item : config.exec_opts) {
        const auto equals = item.find('=');
        const std::string key = base::to_lower(base::trim(item.substr(0, equals)));
        const std::string value(
            base::trim(equals == std::string::npos ? "" : item.substr(equals + 1)));
        if (key.empty() || value.empty()) {
            bad(fmt::format("invalid exec-opt ({}): must be formatted 'opt=value'", item));
        }
        if (key == "isolation") {
            bad(fmt::format("invalid exec-opt ({}): option '{}' is only supported on windows", item,
                            key));
        }
        if (key != "native.cgroupdriver") {
            bad(fmt::format("invalid exec-opt ({}): unknown option: '{}'", item, key));
        }
        if (key == name) found = value;
    }
    return found;
}

}  // namespace dockerd::app

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config.hpp"

namespace dockerd::app {

using Target =
    std::variant<bool Config::*, std::optional<bool> Config::*, std::int64_t Config::*,
                 std::string Config::*, Bytes Config::*, std::vector<std::string> Config::*,
                 std::map<std::string, std::string> Config::*,
                 std::map<std::string, bool> Config::*,
                 std::map<std::string, std::map<std::string, std::string>> Config::*,
                 std::vector<AddressPool> Config::*, std::map<std::string, Ulimit> Config::*,
                 std::map<std::string, RuntimeConfig> Config::*>;

/// Says what is wrong with one value of a flag; nullopt when nothing is.
using Check = std::optional<std::string> (*)(const std::string&);

enum class Visibility { shown, hidden };

/// One flag, and the key of daemon.json that means the same.
struct Option {
    std::string_view name;
    char shorthand = 0;
    std::string_view key;   ///< in daemon.json; empty: none
    std::string_view type;  ///< as `--help` shows it; empty for a switch
    Target target;
    std::string_view help;
    bool reloadable = false;  ///< taken from daemon.json again on SIGHUP
    std::string_view group;   ///< Go's path to the field, for messages: "CommonConfig.DNSConfig."
    Check check = nullptr;
    std::string_view deprecated;
    Visibility visibility = Visibility::shown;
};

/// THE table of options, sorted by name. A new flag is a new row.
/// Source: moby cmd/dockerd/config.go, config_unix.go, options.go.
std::span<const Option> options();

/// The option of a long name, a shorthand, or a key of daemon.json; null when there is none.
const Option* find_option(std::string_view name);
const Option* find_shorthand(char shorthand);
const Option* find_key(std::string_view key);

/// Sets an option from the text of a flag; lists and maps grow.
/// Throws: invalid_argument, with the reason alone.
void set_from_text(Config& config, const Option& option, const std::string& text);

/// Sets an option back to what it is when nobody speaks of it.
void reset_option(Config& config, const Option& option);

/// The value as Go prints a flag: true, [a b], map[k:v].
std::string value_text(const Config& config, const Option& option);

/// True for a flag that needs no value.
bool is_switch(const Option& option);

/// "64m", "1GiB". Throws: invalid_argument, "invalid size: 'x'", "invalid suffix: 'x'".
std::int64_t parse_bytes(const std::string& text);

/// What Go's netip.ParsePrefix says against `text`; "" when it is a prefix.
std::string prefix_fault(const std::string& text);

}  // namespace dockerd::app

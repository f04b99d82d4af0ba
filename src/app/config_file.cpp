#include "config_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/net/address.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/go_kind.hpp>
#include <dockerd/model/go_syntax.hpp>

#include "engine/system/host.hpp"
#include "options.hpp"
#include "support.hpp"

namespace dockerd::app {
namespace {

using base::Json;

[[noreturn]] void bad(const std::string& why) {
    base::fail(base::ErrorKind::invalid_argument, why);
}

// --- text ----------------------------------------------------------------------------------

void append_utf8(std::string& out, std::uint32_t code) {
    const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | (code >> 6));
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | (code >> 12));
        put(0x80 | ((code >> 6) & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | (code >> 18));
        put(0x80 | ((code >> 12) & 0x3F));
        put(0x80 | ((code >> 6) & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

std::string from_utf16(std::string_view text, bool big_endian) {
    std::string out;
    const auto unit = [&](std::size_t i) {
        const auto low = static_cast<unsigned char>(text[i + (big_endian ? 1 : 0)]);
        const auto high = static_cast<unsigned char>(text[i + (big_endian ? 0 : 1)]);
        return static_cast<std::uint32_t>(high << 8 | low);
    };
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        std::uint32_t code = unit(i);
        if (code >= 0xD800 && code < 0xDC00 && i + 3 < text.size()) {
            code = 0x10000 + ((code - 0xD800) << 10) + (unit(i + 2) - 0xDC00);
            i += 2;
        }
        append_utf8(out, code);
    }
    return out;
}

/// UTF-8 without a byte order mark, whatever mark the text begins with.
std::string decode_text(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) return std::string(text.substr(3));
    if (text.starts_with("\xFE\xFF")) return from_utf16(text.substr(2), /*big_endian=*/true);
    if (text.starts_with("\xFF\xFE")) return from_utf16(text.substr(2), /*big_endian=*/false);
    return std::string(text);
}

// --- values --------------------------------------------------------------------------------

/// As Go prints an interface{}: [a b], map[k:v].
std::string go_text(const Json& json) {
    std::vector<std::string> parts;
    if (json.is_string()) return json.get<std::string>();
    if (json.is_null()) return "<nil>";
    if (json.is_array()) {
        for (const Json& item : json) parts.push_back(go_text(item));
        return "[" + base::join(parts, " ") + "]";
    }
    if (json.is_object()) {
        std::map<std::string, std::string> sorted;
        for (const auto& [key, value] : json.items()) sorted[key] = go_text(value);
        for (const auto& [key, value] : sorted) parts.push_back(key + ":" + value);
        return "map[" + base::join(parts, " ") + "]";
    }
    return json.dump();
}

/// Sets one option from its JSON value. An empty value leaves what the flags say, except `false`.
/// Source: moby daemon/config/config.go, getConflictFreeConfiguration and mergo.Merge.
struct SetJson {
    Config& config;
    const Option& option;
    const Json& json;

    [[noreturn]] void wrong(const Json& value, std::string_view type) const {
        bad(fmt::format("json: cannot unmarshal {} into Go struct field Config.{}{} of type {}",
                        model::go_kind(value), option.group, option.key, type));
    }
    [[nodiscard]] std::string text(const Json& value, std::string_view type = "string") const {
        if (!value.is_string()) wrong(value, type);
        return value.get<std::string>();
    }
    [[nodiscard]] std::int64_t number(const Json& value, std::string_view type = "int") const {
        if (!value.is_number()) wrong(value, type);
        if (!value.is_number_integer()) {
            bad(
                fmt::format("json: cannot unmarshal number {} into Go struct field Config.{}{} of "
                            "type {}",
                            value.dump(), option.group, option.key, type));
        }
        return value.get<std::int64_t>();
    }
    [[nodiscard]] bool boolean(const Json& value) const {
        if (!value.is_boolean()) wrong(value, "bool");
        return value.get<bool>();
    }
    void need_object(std::string_view type) const {
        if (!json.is_object()) wrong(json, type);
    }
    void need_array(std::string_view type) const {
        if (!json.is_array()) wrong(json, type);
    }

    void operator()(bool Config::*field) const { config.*field = boolean(json); }
    void operator()(std::optional<bool> Config::*field) const { config.*field = boolean(json); }
    void operator()(std::int64_t Config::*field) const {
        const std::int64_t value = number(json);
        if (value != 0) config.*field = value;
    }
    void operator()(std::string Config::*field) const {
        const std::string value = text(json, option.type == "ip" ? "net.IP" : "string");
        if (value.empty()) return;
        check(value, "invalid IP address: " + value);
        config.*field = value;
    }
    void operator()(Bytes Config::*field) const {
        if (json.is_string()) {
            set_from_text(config, option, json.get<std::string>());
        } else {
            config.*field = Bytes{number(json, "opts.MemBytes")};
        }
    }
    void operator()(std::vector<std::string> Config::*field) const {
        need_array(option.type == "ipSlice" ? "[]net.IP" : "[]string");
        std::vector<std::string> values;
        for (const Json& item : json) {
            values.push_back(text(item));
            if (option.type == "ipSlice") {
                check(values.back(), "invalid IP address: " + values.back());
            } else {
                check(values.back(), {});
            }
        }
        // No folders at all, unlike folders that nobody spoke of, for which there are defaults.
        if (values.empty() && field == &Config::cdi_spec_dirs) values.emplace_back();
        if (!values.empty()) config.*field = std::move(values);
    }
    void operator()(std::map<std::string, std::string> Config::*field) const {
        need_object("map[string]string");
        for (const auto& [key, value] : json.items()) (config.*field)[key] = text(value);
    }
    void operator()(std::map<std::string, bool> Config::*field) const {
        need_object("map[string]bool");
        for (const auto& [key, value] : json.items()) (config.*field)[key] = boolean(value);
    }
    void operator()(
        std::map<std::string, std::map<std::string, std::string>> Config::*field) const {
        need_object("map[string]map[string]string");
        for (const auto& [driver, values] : json.items()) {
            if (!values.is_object()) wrong(values, "map[string]string");
            for (const auto& [key, value] : values.items()) {
                (config.*field)[driver][key] = text(value);
            }
        }
    }
    void operator()(std::vector<AddressPool> Config::*field) const {
        need_array("opts.PoolsOpt");
        for (const Json& item : json) {
            AddressPool pool{text(item.value("base", Json(""))),
                             static_cast<int>(number(item.value("size", Json(0))))};
            // An empty text is the zero value of Go's prefix.
            if (const auto fault = prefix_fault(pool.base); !fault.empty() && !pool.base.empty()) {
                bad(fault);
            }
            (config.*field).push_back(std::move(pool));
        }
    }
    void operator()(std::map<std::string, Ulimit> Config::*field) const {
        need_object("map[string]*container.Ulimit");
        for (const auto& [key, value] : json.items()) {
            if (!value.is_object()) wrong(value, "container.Ulimit");
            (config.*field)[key] = {.soft = number(value.value("Soft", Json(0)), "int64"),
                                    .hard = number(value.value("Hard", Json(0)), "int64")};
        }
    }
    void operator()(std::map<std::string, RuntimeConfig> Config::*field) const {
        need_object("map[string]system.Runtime");
        for (const auto& [key, value] : json.items()) {
            if (!value.is_object()) wrong(value, "system.Runtime");
            RuntimeConfig runtime{.path = text(value.value("path", Json(""))),
                                  .args = {},
                                  .type = text(value.value("runtimeType", Json(""))),
                                  .options = {}};
            for (const Json& item : value.value("runtimeArgs", Json::array())) {
                runtime.args.push_back(text(item));
            }
            if (value.contains("options")) runtime.options = value["options"].dump();
            (config.*field)[key] = std::move(runtime);
        }
    }

    void check(const std::string& value, const std::string& message) const {
        if (!option.check) return;
        const auto fault = option.check(value);
        if (fault) bad(message.empty() ? *fault : message);
    }
};

// --- keys ----------------------------------------------------------------------------------

/// Keys whose objects are values. Source: moby daemon/config/config.go, flatOptions.
bool is_flat(const std::string& key) {
    constexpr std::array flat{"cluster-store-opts",
                              "default-network-opts",
                              "log-opts",
                              "runtimes",
                              "default-ulimits",
                              "features",
                              "builder"};
    return std::ranges::find(flat, key) != flat.end();
}

/// Keys of the file, those of nested objects one level up.
std::vector<std::pair<std::string, Json>> flatten(const Json& file) {
    std::vector<std::pair<std::string, Json>> out;
    for (const auto& [key, value] : file.items()) {
        if (value.is_object() && !is_flat(key)) {
            for (const auto& [inner, inner_value] : value.items()) {
                out.emplace_back(inner, inner_value);
            }
        } else {
            out.emplace_back(key, value);
        }
    }
    return out;
}

/// Source: moby daemon/config/config.go, skipValidateOptions; host-gateway-ip is the old name.
bool is_known(const std::string& key) {
    constexpr std::array beside{"builder", "deprecated-key-path",
                                "allow-nondistributable-artifacts", "host-gateway-ip"};
    return std::ranges::find(beside, key) != beside.end() || find_key(key) || find_option(key);
}

/// Source: moby daemon/config/config.go, findConfigurationConflicts.
void check_keys(const Config& flags, const std::vector<std::pair<std::string, Json>>& values) {
    std::vector<std::string> unknown;
    for (const auto& [key, value] : values) {
        if (!is_known(key)) unknown.push_back(key);
    }
    if (!unknown.empty()) {
        bad("the following directives don't match any configuration option: " +
            base::join(unknown, ", "));
    }

    std::vector<std::string> conflicts;
    for (const Option& option : options()) {
        if (!flags.from_flags.contains(std::string(option.name)) || option.key == "runtimes") {
            continue;
        }
        const auto found =
            std::ranges::find(values, option.key, [](const auto& entry) { return entry.first; });
        if (option.key.empty() || found == values.end()) continue;
        std::string from_flag = value_text(flags, option);
        std::string from_file = go_text(found->second);
        if (option.key == "http-proxy" || option.key == "https-proxy") {
            from_flag = engine::mask_credentials(from_flag);
            from_file = engine::mask_credentials(from_file);
        }
        conflicts.push_back(
            fmt::format("{}: (from flag: {}, from file: {})", option.key, from_flag, from_file));
    }
    if (!conflicts.empty()) {
        bad("the following directives are specified both as a flag and in the configuration "
            "file: " +
            base::join(conflicts, ", "));
    }
}

std::vector<std::pair<std::string, Json>> parse_values(std::string_view raw) {
    const std::string text = decode_text(raw);
    const std::string_view trimmed = base::trim(text);
    if (trimmed.empty()) return {};
    const model::GoSyntax syntax = model::scan_go_json(trimmed);
    // Go's Unmarshal and its Decoder have different words for a text that stops too early.
    if (syntax.error == "unexpected EOF") bad("unexpected end of JSON input");
    if (!syntax.error.empty()) bad(syntax.error);
    if (const auto rest = base::trim(trimmed.substr(syntax.end)); !rest.empty()) {
        bad(fmt::format("invalid character '{}' after top-level value", rest.front()));
    }
    const Json file = Json::parse(trimmed.substr(0, syntax.end), nullptr, /*throw=*/false);
    if (file.is_discarded()) bad("invalid JSON");
    if (!file.is_object() && !file.is_null()) {
        bad(fmt::format("json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                        model::go_kind(file)));
    }
    return flatten(file);
}

void apply_values(Config& config, const std::vector<std::pair<std::string, Json>>& values,
                  bool reloadable_only) {
    for (const auto& [key, value] : values) {
        const bool old_name = key == "host-gateway-ip";
        const Option* const option = find_key(old_name ? "host-gateway-ips" : key);
        config.from_file.insert(key);
        if (!option || value.is_null() || (reloadable_only && !option->reloadable)) continue;
        const Json wrapped = old_name ? Json::array({value}) : value;
        std::visit(SetJson{config, *option, wrapped}, option->target);
    }
}

std::optional<std::string> read_file(const std::string& path, int& failure) {
    const base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string out;
    std::array<char, 16384> buffer;
    while (file) {
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count == 0) return out;
        if (count < 0) break;
        out.append(buffer.data(), static_cast<std::size_t>(count));
    }
    failure = errno;
    return std::nullopt;
}

}  // namespace

void merge_file_text(Config& config, std::string_view text) {
    const auto values = parse_values(text);
    check_keys(config, values);
    apply_values(config, values, /*reloadable_only=*/false);
}

Config load_config(Config config) {
    config.flags = std::make_shared<const Config>(config);
    const std::string where =
        "unable to configure the Docker daemon with file " + config.config_file;
    int failure = 0;
    const auto text = read_file(config.config_file, failure);
    if (text) {
        base::in_context(where, [&] {
            merge_file_text(config, *text);
            base::in_context(
                "merged configuration validation from file and command line flags failed",
                [&] { validate(config); });
        });
    } else if (failure != ENOENT || config.from_flags.contains("config-file")) {
        bad(fmt::format("{}: open {}: {}", where, config.config_file, base::errno_text(failure)));
    }
    validate(config);
    refuse_unsupported(config);
    // --tlsverify in the file, whatever its value, turns TLS on.
    if (config.from_file.contains("tlsverify")) config.tls = true;
    if (config.tls && !config.tls_verify) config.tls_verify = config.tls;
    return config;
}

namespace {

/// What a reload does not keep: the file says it all, or the flags do.
/// Differs from Docker: where flags said something, that is so again, not the default.
// Source: moby daemon/reload.go, reloadMaxConcurrentDownloadsAndUploads, reloadFeatures;
// reload_unix.go, reloadPlatform.
void forget_what_the_file_said(Config& config) {
    const Config defaults;
    const Config& before = config.flags ? *config.flags : defaults;
    config.authorization_plugins = before.authorization_plugins;
    config.max_concurrent_downloads = before.max_concurrent_downloads;
    config.max_concurrent_uploads = before.max_concurrent_uploads;
    config.max_download_attempts = before.max_download_attempts;
    config.network_diagnostic_port = before.network_diagnostic_port;
    config.features = before.features;
    config.runtimes = before.runtimes;
}

}  // namespace

Config reload_config(const Config& running) {
    const std::string where =
        "unable to configure the Docker daemon with file " + running.config_file;
    Config next = running;
    forget_what_the_file_said(next);
    int failure = 0;
    const auto text = read_file(running.config_file, failure);
    if (!text && (failure != ENOENT || running.from_flags.contains("config-file"))) {
        bad(fmt::format("{}: open {}: {}", where, running.config_file, base::errno_text(failure)));
    }
    if (!text) {
        next.runtimes = running.runtimes;
        return next;
    }
    base::in_context(where, [&] {
        const auto values = parse_values(*text);
        check_keys(running, values);
        // Without a word about them the runtimes stay as they are.
        if (std::ranges::find(values, "runtimes", [](const auto& entry) { return entry.first; }) ==
            values.end()) {
            next.runtimes = running.runtimes;
        }
        next.from_file.clear();
        apply_values(next, values, /*reloadable_only=*/true);
    });
    base::in_context("file configuration validation failed", [&] {
        validate(next);
        refuse_unsupported(next);
    });
    return next;
}

namespace {

// Source: moby daemon/config/config.go, GetConflictFreeLabels.
void check_labels(const std::vector<std::string>& labels) {
    std::map<std::string, std::string> seen;
    for (const std::string& label : labels) {
        const auto equals = label.find('=');
        if (equals == std::string::npos) bad("bad attribute format: " + label);
        const std::string key = label.substr(0, equals);
        const std::string value = label.substr(equals + 1);
        const auto [entry, added] = seen.emplace(key, value);
        if (!added && entry->second != value) {
            bad(fmt::format("conflict labels for {}={} and {}={}", key, value, key, entry->second));
        }
    }
}

void check_numbers(const Config& config) {
    if (config.mtu < 0) bad(fmt::format("invalid default MTU: {}", config.mtu));
    if (config.max_concurrent_downloads < 0) {
        bad(fmt::format("invalid max concurrent downloads: {}", config.max_concurrent_downloads));
    }
    if (config.max_concurrent_uploads < 0) {
        bad(fmt::format("invalid max concurrent uploads: {}", config.max_concurrent_uploads));
    }
    if (config.max_download_attempts < 0) {
        bad(fmt::format("invalid max download attempts: {}", config.max_download_attempts));
    }
    if (config.network_diagnostic_port < 0 || config.network_diagnostic_port > 65535) {
        bad(fmt::format("invalid network-diagnostic-port ({}): value must be between 0 and 65535",
                        config.network_diagnostic_port));
    }
}

// Source: moby internal/opts/host_gateway_opts.go, ValidateHostGatewayIPs.
void check_host_gateways(const std::vector<std::string>& addresses) {
    const auto count = [&](bool v6) {
        return std::ranges::count_if(addresses, [&](const std::string& text) {
            return (text.find(':') != std::string::npos) == v6;
        });
    };
    if (count(/*v6=*/false) > 1) bad("only one IPv4 host gateway IP address can be specified");
    if (count(/*v6=*/true) > 1) bad("only one IPv6 host gateway IP address can be specified");
}

// Source: moby libnetwork/drivers/bridge, ValidateFixedCIDRV6.
void check_fixed_cidr_v6(const std::string& text) {
    if (text.empty()) return;
    std::string fault = prefix_fault(text);
    if (fault.empty()) fault = net::ipv6_subnet_fault(*net::IpPrefix::parse(text));
    if (!fault.empty()) bad("invalid fixed-cidr-v6: invalid fixed-cidr-v6: " + fault);
}

// Source: moby daemon/config/config_linux.go, verifyUserlandProxyConfig.
// Differs from Docker: the proxy is part of this daemon, so a program that is not there is none
// that is missed.
void check_userland_proxy(const Config& config) {
    const bool given = config.from_flags.contains("userland-proxy-path") ||
                       config.from_file.contains("userland-proxy-path");
    if (!config.userland_proxy || !given) return;
    const std::string& path = config.userland_proxy_path;
    if (path.empty()) {
        bad("invalid userland-proxy-path: userland-proxy is enabled, but userland-proxy-path is "
            "not set");
    }
    if (path.front() != '/') {
        bad("invalid userland-proxy-path: must be an absolute path: " + path);
    }
}

}  // namespace

void validate(const Config& config) {
    constexpr std::array levels{"panic", "fatal", "error", "warn", "info", "debug", "trace"};
    if (std::ranges::find(levels, base::to_lower(config.log_level)) == levels.end()) {
        bad("invalid logging level: " + config.log_level);
    }
    if (config.log_format != "text" && config.log_format != "json") {
        bad("invalid log format: " + config.log_format);
    }
    check_host_gateways(config.host_gateway_ips);
    check_labels(config.labels);
    check_numbers(config);
    if (!config.api_cors_header.empty()) {
        bad("DEPRECATED: The \"api-cors-header\" config parameter and the dockerd "
            "\"--api-cors-header\" option have been removed; use a reverse proxy if you need CORS "
            "headers");
    }
    (void)exec_opt(config, "");
    check_userland_proxy(config);
    if (config.default_ipc_mode != "private" && config.default_ipc_mode != "shareable") {
        bad(
            fmt::format("default IPC mode setting ({}) is invalid; use \"shareable\" or "
                        "\"private\"",
                        config.default_ipc_mode));
    }
    check_fixed_cidr_v6(config.fixed_cidr_v6);
    const std::string& cgroupns = config.default_cgroupns_mode;
    if (!cgroupns.empty() && cgroupns != "host" && cgroupns != "private") {
        bad(fmt::format("invalid default cgroup namespace ({}): use \"host\" or \"private\"",
                        cgroupns));
    }
}

// Source: moby daemon/daemon_unix.go, verifyDaemonSettings.
void check_combinations(const Config& config) {
    const auto only_one = [](std::string_view flag) {
        bad(fmt::format(
            "You specified -b & {}, mutually exclusive options. Please specify only one", flag));
    };
    if (config.containerd_namespace == config.containerd_plugins_namespace) {
        bad("containers namespace and plugins namespace cannot be the same");
    }
    if (!config.bridge.empty() && !config.bip.empty()) only_one("--bip");
    if (!config.bridge.empty() && !config.bip6.empty()) only_one("--bip6");
    if (!config.icc && !config.iptables) {
        bad("You specified --iptables=false with --icc=false. ICC=false uses iptables to function. "
            "Please set --icc or --iptables to true");
    }
    if (!config.icc && config.ipv6 && !config.ip6tables) {
        bad("You specified --ip6tables=false with --icc=false. ICC=false uses ip6tables to "
            "function. Please set --icc or --ip6tables to true");
    }
    const std::string driver = exec_opt(config, "native.cgroupdriver").value_or("");
    if (driver == "none") {
        bad("native.cgroupdriver option none is internally used and cannot be specified manually");
    }
    if (!driver.empty() && driver != "cgroupfs" && driver != "systemd") {
        bad(fmt::format("native.cgroupdriver option {} not supported", driver));
    }
    // The driver may also be systemd without a word: open_cgroups().
    if (driver == "systemd") check_slice(config);
}

}  // namespace dockerd::app

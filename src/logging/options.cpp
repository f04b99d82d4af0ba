#include <algorithm>

#include <fmt/format.h>
#include <re2/re2.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/logging/drivers.hpp>

#include "go_values.hpp"
#include "settings.hpp"

namespace dockerd::logging {

namespace {

using Names = std::vector<std::string_view>;

constexpr std::string_view file_defaults[] = {"max-file", "max-size", "compress"};

struct Driver {
    std::string_view name;
    bool remote;
    std::string_view unknown;  ///< fmt text of {0} the option, {1} the driver
    Names options;
    void (*check)(const Options&);
};

void check_nothing(const Options&) {}
void check_syslog(const Options& options) { (void)syslog_settings(options); }
void check_fluentd(const Options& options) { (void)fluentd_settings(options); }

constexpr std::string_view plain = "unknown log opt '{0}' for {1} log driver";

/// Source: moby daemon/logger/*, the validators each driver registers.
const std::vector<Driver>& drivers() {
    static const std::vector<Driver> all{
        {"fluentd",
         true,
         plain,
         {"env", "env-regex", "labels", "labels-regex", "tag", "fluentd-address", "fluentd-async",
          "fluentd-async-reconnect-interval", "fluentd-buffer-limit", "fluentd-max-retries",
          "fluentd-request-ack", "fluentd-retry-wait", "fluentd-sub-second-precision",
          "fluentd-write-timeout"},
         check_fluentd},
        {"gelf", true, "unknown log opt \"{0}\" for {1} log driver", {}, check_gelf},
        {"journald",
         true,
         plain,
         {"labels", "labels-regex", "env", "env-regex", "tag"},
         check_nothing},
        {"json-file",
         false,
         plain,
         {"max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag"},
         check_nothing},
        {"local",
         false,
         "unknown log opt '{0}' for log driver {1}",
         {"max-file", "max-size", "compress"},
         check_nothing},
        {"splunk",
         true,
         plain,
         {"splunk-url", "splunk-token", "splunk-source", "splunk-sourcetype", "splunk-index",
          "splunk-capath", "splunk-caname", "splunk-insecureskipverify", "splunk-format",
          "splunk-verify-connection", "splunk-gzip", "splunk-gzip-level",
          "splunk-index-acknowledgment", "env", "env-regex", "labels", "labels-regex", "tag"},
         check_nothing},
        {"syslog",
         true,
         plain,
         {"env", "env-regex", "labels", "labels-regex", "syslog-address", "syslog-facility",
          "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify",
          "tag", "syslog-format"},
         check_syslog},
    };
    return all;
}

const Driver* find_driver(std::string_view name) {
    const auto found = std::ranges::find(drivers(), name, &Driver::name);
    return found == drivers().end() ? nullptr : &*found;
}

const std::string* find(const Options& options, const std::string& key) {
    const auto found = options.find(key);
    return found == options.end() ? nullptr : &found->second;
}

bool is_cache_option(std::string_view key) {
    return key == "cache-disabled" || key == "cache-max-file" || key == "cache-max-size" ||
           key == "cache-compress";
}

bool is_common(std::string_view key) {
    return key == "mode" || key == "max-buffer-size" || is_cache_option(key);
}

void check_common(const Options& options) {
    const auto* mode = find(options, "mode");
    if (mode != nullptr && !mode->empty() && *mode != "blocking" && *mode != "non-blocking") {
        refuse("logger: logging mode not supported: " + *mode);
    }
    if (const auto* size = find(options, "max-buffer-size")) {
        if (mode == nullptr || *mode != "non-blocking") {
            refuse("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
        }
        base::in_context("error parsing option max-buffer-size",
                         [&] { (void)parse_size(*size, /*binary=*/true); });
    }
    const auto* disabled = find(options, "cache-disabled");
    if (disabled != nullptr && !disabled->empty()) {
        try {
            (void)parse_bool(*disabled);
        } catch (const base::Error&) {
            refuse("invalid value for option cache-disabled: " + *disabled);
        }
    }
}

/// What a plain Go error of a driver's constructor becomes: no client's fault.
template <typename Body>
auto as_internal(Body&& body) {
    try {
        return body();
    } catch (const base::Error& error) {
        base::fail(base::ErrorKind::internal, error.what());
    }
}

// Source: moby daemon/logger/jsonfilelog/jsonfilelog.go, New.
FileSettings json_file_settings(const Options& options) {
    FileSettings settings;
    if (const auto* size = find(options, "max-size")) {
        settings.max_size = parse_size(*size, /*binary=*/false);
        if (settings.max_size <= 0) refuse("max-size must be a positive number");
    }
    if (const auto* files = find(options, "max-file")) {
        const auto count = parse_atoi(*files);
        if (count < 1) refuse("max-file cannot be less than 1");
        settings.max_files = static_cast<int>(std::min<std::int64_t>(count, 1'000'000));
    }
    if (const auto* compress = find(options, "compress")) {
        settings.compress = parse_bool(*compress);
        if (settings.compress && (settings.max_files == 1 || settings.max_size == -1)) {
            refuse("compress cannot be true when max-file is less than 2 or max-size is not set");
        }
    }
    return settings;
}

// Source: moby daemon/logger/local/{local,config}.go: 20 MiB in five files, compressed.
FileSettings local_settings(const Options& options) {
    FileSettings settings{.max_size = 20 * 1024 * 1024, .max_files = 5, .compress = true};
    if (const auto* size = find(options, "max-size")) {
        base::in_context("invalid value for max-size: " + *size,
                         [&] { settings.max_size = parse_size(*size, /*binary=*/false); });
    }
    std::int64_t count = settings.max_files;
    if (const auto* files = find(options, "max-file")) {
        base::in_context("invalid value for max-file: " + *files,
                         [&] { count = parse_atoi(*files); });
    }
    if (const auto* compress = find(options, "compress")) {
        base::in_context("error reading compress log option",
                         [&] { settings.compress = parse_bool(*compress); });
    }
    if (count < 0) refuse("max file count cannot be less than 0");
    if (settings.compress && count <= 1) {
        refuse("compression cannot be enabled when max file count is 1");
    }
    settings.max_files = static_cast<int>(std::min<std::int64_t>(count, 1'000'000));
    return settings;
}

/// Why an expression is none, in the words of Go's regexp/syntax.
std::string_view go_words(const re2::RE2& expression) {
    switch (expression.error_code()) {
        case re2::RE2::ErrorMissingParen:
            return "missing closing )";
        case re2::RE2::ErrorMissingBracket:
            return "missing closing ]";
        case re2::RE2::ErrorRepeatArgument:
            return "missing argument to repetition operator";
        case re2::RE2::ErrorRepeatOp:
            return "invalid nested repetition operator";
        case re2::RE2::ErrorRepeatSize:
            return "invalid repeat count";
        case re2::RE2::ErrorTrailingBackslash:
            return "trailing backslash at end of expression";
        case re2::RE2::ErrorBadEscape:
            return "invalid escape sequence";
        case re2::RE2::ErrorBadCharRange:
        case re2::RE2::ErrorBadCharClass:
            return "invalid character class range";
        default:
            return "invalid or unsupported Perl syntax";
    }
}

/// Names in `list` that are in `values`, and those `pattern` matches.
void choose(const std::map<std::string, std::string>& values, const Options& options,
            const std::string& key, std::map<std::string, std::string>& out) {
    if (const auto* list = find(options, key)) {
        for (const auto& name : base::split(*list, ',')) {
            if (const auto found = values.find(name); found != values.end()) out.insert(*found);
        }
    }
    const auto* pattern = find(options, key + "-regex");
    if (pattern == nullptr || pattern->empty()) return;
    const re2::RE2 expression(*pattern, re2::RE2::Quiet);
    if (!expression.ok()) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("error parsing regexp: {}: `{}`", go_words(expression),
                               expression.error_arg()));
    }
    for (const auto& entry : values) {
        if (re2::RE2::PartialMatch(entry.first, expression)) out.insert(entry);
    }
}

}  // namespace

std::vector<std::string> driver_names() {
    std::vector<std::string> names;
    for (const auto& driver : drivers()) names.emplace_back(driver.name);
    return names;
}

bool is_remote(std::string_view driver) {
    const auto* found = find_driver(driver);
    return found != nullptr && found->remote;
}

void validate_options(const std::string& driver, const Options& options) {
    if (driver == "none") return;
    check_common(options);
    const auto* known = find_driver(driver);
    if (known == nullptr) {
        // Source: moby daemon/logger/plugin.go.
        refuse(
            fmt::format("error looking up logging plugin {0}: plugin \"{0}\" not found", driver));
    }
    if (driver == "gelf") return check_gelf(options);
    for (const auto& [key, value] : options) {
        if (is_common(key)) continue;
        if (std::ranges::find(known->options, key) == known->options.end()) {
            refuse(fmt::format(fmt::runtime(known->unknown), key, driver));
        }
    }
    known->check(options);
}

void merge_defaults(const std::string& driver, Options& options, const std::string& default_driver,
                    const Options& defaults) {
    for (const auto& entry : defaults) {
        if (driver == default_driver || is_cache_option(entry.first)) options.insert(entry);
    }
}

FileSettings file_settings(const std::string& driver, const Options& options) {
    // "local" marks its errors as the client's, "json-file" does not.
    if (driver == "local") return local_settings(options);
    return as_internal([&] { return json_file_settings(options); });
}

bool uses_cache(const Options& options) {
    const auto* disabled = find(options, "cache-disabled");
    if (disabled == nullptr || disabled->empty()) return true;
    try {
        return !parse_bool(*disabled);
    } catch (const base::Error&) {
        return false;
    }
}

FileSettings cache_settings(const Options& options) {
    Options own;
    for (const auto& key : file_defaults) {
        if (const auto* value = find(options, "cache-" + std::string(key))) {
            own.emplace(key, *value);
        }
    }
    try {
        return local_settings(own);
    } catch (const base::Error&) {
        return local_settings({});
    }
}

std::int64_t ring_size(const Options& options) {
    const auto* mode = find(options, "mode");
    if (mode == nullptr || *mode != "non-blocking") return -1;
    const auto* size = find(options, "max-buffer-size");
    // Source: moby daemon/logger/ring.go, defaultRingMaxSize.
    if (size == nullptr) return 1'000'000;
    return as_internal([&] { return parse_size(*size, /*binary=*/true); });
}

// Source: moby daemon/logger/loginfo.go, ExtraAttributes.
std::map<std::string, std::string> extra_attributes(const Options& options,
                                                    const ContainerInfo& info) {
    std::map<std::string, std::string> labels;
    choose(info.labels, options, "labels", labels);
    std::map<std::string, std::string> variables;
    for (const auto& entry : info.env) {
        const auto equals = entry.find('=');
        if (equals == std::string::npos) continue;
        variables[entry.substr(0, equals)] = entry.substr(equals + 1);
    }
    std::map<std::string, std::string> chosen;
    if (!variables.empty()) choose(variables, options, "env", chosen);
    // A variable replaces a label of the same name.
    chosen.insert(labels.begin(), labels.end());
    return chosen;
}

}  // namespace dockerd::logging

#include "settings.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "go_values.hpp"

namespace dockerd::logging {

namespace {

const std::string& value_of(const Options& options, const std::string& key) {
    static const std::string none;
    const auto found = options.find(key);
    return found == options.end() ? none : found->second;
}

// Source: moby daemon/logger/syslog/syslog.go, parseAddress.
Address syslog_address(const std::string& text) {
    if (text.empty()) return {};
    const Url url = parse_url(text);
    if (url.scheme == "unix" || url.scheme == "unixgram") {
        struct stat found {};
        if (::stat(url.path.c_str(), &found) != 0) {
            base::fail(base::ErrorKind::invalid_argument,
                       fmt::format("stat {}: {}", url.path, base::errno_text(errno)));
        }
        return {.network = url.scheme, .path = url.path};
    }
    if (url.scheme != "udp" && url.scheme != "tcp" && url.scheme != "tcp+tls") {
        refuse(fmt::format("unsupported scheme: '{}'", url.scheme));
    }
    Address address{.network = url.scheme == "tcp+tls" ? "tls" : url.scheme};
    try {
        const auto parts = split_host_port(url.host);
        address.host = parts.host;
        address.port = parts.port;
    } catch (const base::Error& error) {
        if (std::string_view(error.what()).find("missing port in address") ==
            std::string_view::npos) {
            throw;
        }
        address.host = url.host;
        if (address.host.starts_with('[')) address.host = url.hostname();
        address.port = "514";
    }
    return address;
}

// Source: moby daemon/logger/syslog/syslog.go, facilities; the numbers are RFC 5424's.
int syslog_facility(const std::string& text) {
    constexpr std::array<std::string_view, 24> names = {
        "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
        "uucp",   "cron",   "authpriv", "ftp",    "",       "",       "",       "",
        "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
    if (text.empty()) return 3;
    if (const auto found = std::ranges::find(names, text); found != names.end()) {
        return static_cast<int>(found - names.begin());
    }
    const auto number = base::parse_int(text);
    if (!number || *number < 0 || *number > 23) refuse("invalid syslog facility");
    return static_cast<int>(*number);
}

SyslogFormat syslog_format(const std::string& text) {
    if (text.empty()) return SyslogFormat::unix_style;
    if (text == "rfc3164") return SyslogFormat::rfc3164;
    if (text == "rfc5424") return SyslogFormat::rfc5424;
    if (text == "rfc5424micro") return SyslogFormat::rfc5424micro;
    refuse("Invalid syslog format");
}

// Source: moby daemon/logger/fluentd/fluentd.go, parseAddress.
Address fluentd_address(std::string text) {
    Address address{.network = "tcp", .host = "127.0.0.1", .port = "24224"};
    if (text.empty()) return address;
    if (text.find("://") == std::string::npos) text = "tcp://" + text;
    const Url url = parse_url(text);
    if (url.scheme == "unix") {
        if (url.path.find_first_not_of('/') == std::string::npos) refuse("path is empty");
        return {.network = "unix", .path = url.path};
    }
    if (url.scheme != "tcp" && url.scheme != "tls") {
        refuse(fmt::format("unsupported scheme: '{}'", url.scheme));
    }
    if (!url.path.empty()) refuse("should not contain a path element");
    address.network = url.scheme;
    if (!url.hostname().empty()) address.host = url.hostname();
    if (!url.port().empty()) {
        base::in_context("invalid port",
                         [&] { address.port = std::to_string(parse_uint(url.port(), 65535)); });
    }
    return address;
}

std::chrono::milliseconds reconnect_interval(const std::string& text) {
    using namespace std::chrono_literals;
    constexpr const char* key = "fluentd-async-reconnect-interval";
    const auto interval = base::in_context(fmt::format("invalid value for {}", key),
                                           [&] { return parse_go_duration(text); });
    if (interval != 0ns && (interval < 100ms || interval > 10s)) {
        refuse(fmt::format("invalid value for {}: value ({}) must be between 100ms and 10s", key,
                           base::quote(format_go_duration(interval))));
    }
    return std::chrono::duration_cast<std::chrono::milliseconds>(interval);
}

std::chrono::nanoseconds write_timeout(const std::string& text) {
    constexpr const char* what =
        "invalid value for fluentd-write-timeout: value must be a duration";
    const auto timeout = base::in_context(what, [&] { return parse_go_duration(text); });
    if (timeout.count() < 0) refuse(fmt::format("{} that is non-negative", what));
    return timeout;
}

// Source: moby daemon/logger/gelf/gelf.go, parseAddress.
Address gelf_address(const std::string& text) {
    if (text.empty()) refuse("gelf-address is a required parameter");
    const Url url = parse_url(text);
    if (url.scheme != "udp" && url.scheme != "tcp") refuse("gelf: endpoint needs to be TCP or UDP");
    try {
        const auto parts = split_host_port(url.host);
        return {.network = url.scheme, .host = parts.host, .port = parts.port};
    } catch (const base::Error&) {
        refuse("gelf: please provide gelf-address as proto://host:port");
    }
}

void check_gelf_option(const std::string& network, const std::string& key,
                       const std::string& value) {
    const auto unknown = [&] {
        refuse(fmt::format("unknown value {} for log opt {} for gelf log driver",
                           base::quote(value), base::quote(key)));
    };
    const auto number = base::parse_int(value);
    if (key.starts_with("gelf-compression-")) {
        if (network != "udp") refuse("compression is only supported on UDP");
        if (key == "gelf-compression-type") {
            if (value != "gzip" && value != "zlib" && value != "none") unknown();
        } else if (!number || *number < -1 || *number > 9) {
            unknown();
        }
        return;
    }
    if (network != "tcp") refuse(base::quote(key) + " is only valid for TCP");
    if (!number || *number < 0) refuse(base::quote(key) + " must be a positive integer");
}

}  // namespace

SyslogSettings syslog_settings(const Options& options) {
    SyslogSettings settings;
    settings.address = syslog_address(value_of(options, "syslog-address"));
    settings.facility = syslog_facility(value_of(options, "syslog-facility"));
    settings.format = syslog_format(value_of(options, "syslog-format"));
    settings.skip_verify = options.contains("syslog-tls-skip-verify");
    settings.ca_cert = value_of(options, "syslog-tls-ca-cert");
    settings.cert = value_of(options, "syslog-tls-cert");
    settings.key = value_of(options, "syslog-tls-key");
    return settings;
}

// Source: moby daemon/logger/fluentd/fluentd.go, parseConfig.
FluentdSettings fluentd_settings(const Options& options) {
    FluentdSettings settings;
    const auto text = [&](const char* key) -> const std::string& { return value_of(options, key); };
    const std::string& address = text("fluentd-address");
    settings.address = base::in_context(fmt::format("invalid fluentd-address ({})", address),
                                        [&] { return fluentd_address(address); });
    if (const auto& limit = text("fluentd-buffer-limit"); !limit.empty()) {
        settings.buffer_limit = parse_size(limit, /*binary=*/true);
    }
    if (const auto& wait = text("fluentd-retry-wait"); !wait.empty()) {
        settings.retry_wait =
            std::chrono::duration_cast<std::chrono::milliseconds>(parse_go_duration(wait));
    }
    if (const auto& retries = text("fluentd-max-retries"); !retries.empty()) {
        settings.max_retries = static_cast<std::int64_t>(
            std::min(parse_uint(retries, UINT64_MAX), std::uint64_t{INT64_MAX}));
    }
    const auto flag = [&](const char* key, bool& value) {
        if (!text(key).empty()) value = parse_bool(text(key));
    };
    flag("fluentd-async", settings.async);
    if (const auto& interval = text("fluentd-async-reconnect-interval"); !interval.empty()) {
        settings.reconnect_interval = reconnect_interval(interval);
    }
    flag("fluentd-sub-second-precision", settings.sub_second);
    flag("fluentd-request-ack", settings.request_ack);
    if (const auto& timeout = text("fluentd-write-timeout"); !timeout.empty()) {
        settings.write_timeout = write_timeout(timeout);
    }
    return settings;
}

void check_gelf(const Options& options) {
    const auto address = gelf_address(value_of(options, "gelf-address"));
    for (const auto& [key, value] : options) {
        constexpr std::array<std::string_view, 12> plain = {"gelf-address",
                                                            "tag",
                                                            "labels",
                                                            "labels-regex",
                                                            "env",
                                                            "env-regex",
                                                            "mode",
                                                            "max-buffer-size",
                                                            "cache-disabled",
                                                            "cache-max-file",
                                                            "cache-max-size",
                                                            "cache-compress"};
        if (std::ranges::find(plain, key) != plain.end()) continue;
        const bool known = key == "gelf-compression-level" || key == "gelf-compression-type" ||
                           key == "gelf-tcp-max-reconnect" || key == "gelf-tcp-reconnect-delay";
        if (!known) refuse(fmt::format("unknown log opt {} for gelf log driver", base::quote(key)));
        check_gelf_option(address.network, key, value);
    }
}

GelfSettings gelf_settings(const Options& options) {
    check_gelf(options);
    GelfSettings settings;
    settings.address = gelf_address(value_of(options, "gelf-address"));
    const auto& type = value_of(options, "gelf-compression-type");
    if (type == "zlib") settings.compression = Compression::zlib;
    if (type == "none") settings.compression = Compression::none;
    const auto number = [&](const char* key, int fallback) {
        return static_cast<int>(base::parse_int(value_of(options, key)).value_or(fallback));
    };
    settings.level = number("gelf-compression-level", settings.level);
    settings.max_reconnect = number("gelf-tcp-max-reconnect", settings.max_reconnect);
    settings.reconnect_delay = std::chrono::seconds(number("gelf-tcp-reconnect-delay", 1));
    return settings;
}

}  // namespace dockerd::logging

#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <dockerd/dial/connection.hpp>
#include <dockerd/logging/drivers.hpp>

#include "bodies.hpp"

/// Options of the drivers that send logs away, read once and checked.
namespace dockerd::logging {

/// Without a network: syslog's own sockets.
using dial::Address;

enum class SyslogFormat { unix_style, rfc3164, rfc5424, rfc5424micro };

struct SyslogSettings {
    Address address;
    int facility = 3;  ///< "daemon"
    SyslogFormat format = SyslogFormat::unix_style;
    bool skip_verify = false;
    std::string ca_cert, cert, key;  ///< files
};

/// Throws: invalid_argument, "invalid syslog facility", "unsupported scheme: 'x'" and others.
SyslogSettings syslog_settings(const Options& options);

struct FluentdSettings {
    Address address;
    std::int64_t buffer_limit = 1024 * 1024;  ///< entries that may wait when sent asynchronously
    std::chrono::milliseconds retry_wait{1000};
    std::int64_t max_retries = 2147483647;
    bool async = false;
    std::chrono::milliseconds reconnect_interval{0};  ///< 0: never
    bool sub_second = false;
    bool request_ack = false;
    std::chrono::nanoseconds write_timeout{0};  ///< 0: none
};

/// Throws: invalid_argument, "invalid fluentd-address (x): unsupported scheme: 'x'" and others.
FluentdSettings fluentd_settings(const Options& options);

struct GelfSettings {
    Address address;
    Compression compression = Compression::gzip;
    int level = 1;
    int max_reconnect = 3;
    std::chrono::seconds reconnect_delay{1};
};

/// Throws: invalid_argument, "gelf-address is a required parameter" and others.
void check_gelf(const Options& options);
GelfSettings gelf_settings(const Options& options);

}  // namespace dockerd::logging

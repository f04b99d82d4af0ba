#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/logging/drivers.hpp>

namespace dockerd::logging {

/// One line, or a part of one that is longer than 16 KiB.
struct Record {
    bool is_error = false;  ///< of stderr
    std::int64_t time = 0;  ///< nanoseconds since 1970
    std::string_view line;  ///< without newline
    bool partial = false;   ///< the three below are meant
    std::string_view partial_id;
    std::int64_t ordinal = 0;
    bool last = false;
};

/// Takes one record off the front of `data`: length, protobuf LogEntry, the length again.
/// Returns its size, 0 when there is not yet a whole one, -1 when it is none.
/// Source: moby api/types/plugins/logdriver/entry.proto.
std::ptrdiff_t decode_record(std::string_view data, Record& record);

/// A driver that sends lines away. Thread: one.
class Driver {
public:
    virtual ~Driver() = default;
    /// Sends one record; waits as long as the peer makes it wait. Throws: why it is lost.
    virtual void log(const Record& record) = 0;
    /// No more comes. Throws: why something is lost.
    virtual void close() {}
};

/// What a forwarder is told.
struct ForwarderConfig {
    std::string driver;
    Options options;
    ContainerInfo info;
};
ForwarderConfig decode_forwarder(const std::string& text);

/// Connects, as far as the driver does that at once. Throws: what Docker says at the start of a
/// container whose driver cannot be opened.
std::unique_ptr<Driver> open_driver(const ForwarderConfig& config);

// Each driver by itself.
std::unique_ptr<Driver> open_syslog(const ForwarderConfig& config);
std::unique_ptr<Driver> open_fluentd(const ForwarderConfig& config);
std::unique_ptr<Driver> open_gelf(const ForwarderConfig& config);
std::unique_ptr<Driver> open_journald(const ForwarderConfig& config);
std::unique_ptr<Driver> open_splunk(const ForwarderConfig& config);

/// Variables of the daemon that a driver reads, or that its connections depend on.
std::vector<std::string> driver_variables(std::string_view driver);
/// Says in the daemon's log which of them cannot be read.
void check_splunk_variables();

/// The machine's name.
std::string host_name();

}  // namespace dockerd::logging

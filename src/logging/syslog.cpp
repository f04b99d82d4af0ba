#include <time.h>
#include <unistd.h>

#include <array>
#include <optional>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

#include "driver.hpp"
#include "settings.hpp"

namespace dockerd::logging {

namespace {

/// Local time as strftime writes it.
std::string local_time(const timespec& now, const char* format) {
    tm parts{};
    (void)::localtime_r(&now.tv_sec, &parts);  // cannot fail for the present
    std::array<char, 64> text{};
    return {text.data(), ::strftime(text.data(), text.size(), format, &parts)};
}

/// RFC 3339 with the zone's offset, "Z" for none.
std::string local_rfc3339(const timespec& now, bool microseconds) {
    std::string text = local_time(now, "%Y-%m-%dT%H:%M:%S");
    if (microseconds) text += fmt::format(".{:06}", now.tv_nsec / 1000);
    const std::string zone = local_time(now, "%z");  // "+0130"
    if (zone == "+0000") return text + "Z";
    return text + zone.substr(0, 3) + ":" + zone.substr(3);
}

// Source: moby daemon/logger/syslog/syslog.go; RackSec/srslog formatter.go and framer.go.
class Syslog final : public Driver {
public:
    Syslog(SyslogSettings settings, std::string tag)
        : settings_(std::move(settings)),
          tag_(tag.empty() ? "docker" : std::move(tag)),
          host_(host_name()),
          tls_{.skip_verify = settings_.skip_verify,
               .ca_cert = settings_.ca_cert,
               .cert = settings_.cert,
               .key = settings_.key,
               .careful_close = true} {
        connect();
    }

    void log(const Record& record) override {
        if (record.line.empty()) return;
        const std::string message = compose(record);
        // As srslog does: one more attempt on a new connection.
        if (connection_ && !connection_->peer_closed()) {
            try {
                return connection_->write(message);
            } catch (const base::Error&) {
                connection_.reset();
            }
        }
        connect();
        connection_->write(message);
    }

private:
    void connect() {
        connection_.reset();
        if (!settings_.address.network.empty()) {
            const bool tls = settings_.address.network == "tls";
            connection_.emplace(settings_.address, tls ? &tls_ : nullptr, dial::never);
            return;
        }
        for (const char* network : {"unixgram", "unix"}) {
            for (const char* path : {"/dev/log", "/var/run/syslog", "/var/run/log"}) {
                try {
                    Address address;
                    address.network = network;
                    address.path = path;
                    connection_.emplace(address, nullptr, dial::never);
                    return;
                } catch (const base::Error&) {
                    continue;  // the next one may be there
                }
            }
        }
        base::fail(base::ErrorKind::internal, "Unix syslog delivery error");
    }

    [[nodiscard]] std::string compose(const Record& record) const {
        timespec now{};
        (void)::clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock
        const int priority = settings_.facility * 8 + (record.is_error ? 3 : 6);
        const auto pid = ::getpid();
        const std::string_view end = record.line.ends_with('\n') ? "" : "\n";
        switch (settings_.format) {
            case SyslogFormat::unix_style:
                return fmt::format("<{}>{} {}[{}]: {}{}", priority,
                                   local_time(now, "%b %e %H:%M:%S"), tag_, pid, record.line, end);
            case SyslogFormat::rfc3164:
                return fmt::format("<{}>{} {} {}[{}]: {}{}", priority,
                                   local_time(now, "%b %e %H:%M:%S"), host_, tag_, pid, record.line,
                                   end);
            case SyslogFormat::rfc5424:
            case SyslogFormat::rfc5424micro:
                break;
        }
        const bool micro = settings_.format == SyslogFormat::rfc5424micro;
        std::string message =
            fmt::format("<{}>1 {} {} {} {} {} - {}{}", priority, local_rfc3339(now, micro), host_,
                        tag_, pid, tag_, record.line, end);
        // RFC 5425: messages over TLS have their length in front.
        if (settings_.address.network != "tls") return message;
        return fmt::format("{} {}", message.size(), message);
    }

    SyslogSettings settings_;
    std::string tag_;
    std::string host_;
    dial::TlsSettings tls_;
    std::optional<dial::Connection> connection_;
};

}  // namespace

std::unique_ptr<Driver> open_syslog(const ForwarderConfig& config) {
    return std::make_unique<Syslog>(syslog_settings(config.options),
                                    render_tag(config.options, config.info, "{{.ID}}"));
}

}  // namespace dockerd::logging

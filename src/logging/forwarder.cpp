#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>

#include "driver.hpp"

namespace dockerd::logging {

namespace {

constexpr std::size_t read_size = 64 * 1024;
/// At most one message about lost lines in this time.
constexpr std::chrono::seconds quiet_time{1};

/// All of a file that may be read again by a later forwarder.
std::string read_config(int fd) {
    std::string text;
    std::vector<char> block(read_size);
    for (;;) {
        const ssize_t got =
            ::pread(fd, block.data(), block.size(), static_cast<off_t>(text.size()));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) base::throw_errno(errno, "read configuration");
        if (got == 0) return text;
        text.append(block.data(), static_cast<std::size_t>(got));
    }
}

/// One line to the monitor, which may not be there any more.
void tell(int stream, std::string line) {
    for (char& c : line) {
        if (c == '\n') c = ' ';
    }
    line += '\n';
    (void)::send(stream, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);  // as said
}

/// Sends what comes on `stream` until it ends.
class Pump {
public:
    Pump(int stream, Driver& driver) : stream_(stream), driver_(driver) {}

    void run() {
        while (fill()) drain();
    }

private:
    bool fill() {
        buffer_.erase(0, used_);
        used_ = 0;
        const std::size_t before = buffer_.size();
        buffer_.resize(before + read_size);
        ssize_t got = 0;
        do {
            got = ::recv(stream_, buffer_.data() + before, read_size, 0);
        } while (got < 0 && errno == EINTR);
        buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return got > 0;
    }

    void drain() {
        Record record;
        for (;;) {
            const auto size = decode_record(std::string_view(buffer_).substr(used_), record);
            if (size < 0) base::fail(base::ErrorKind::internal, "log record is malformed");
            if (size == 0) return;
            try {
                driver_.log(record);
            } catch (const std::exception& error) {
                report(error.what());
            }
            used_ += static_cast<std::size_t>(size);
        }
    }

    void report(const std::string& why) {
        const auto now = std::chrono::steady_clock::now();
        if (now < quiet_until_) return;
        quiet_until_ = now + quiet_time;
        tell(stream_, "lost " + why);
    }

    int stream_;
    Driver& driver_;
    std::string buffer_;
    std::size_t used_ = 0;
    std::chrono::steady_clock::time_point quiet_until_{};
};

}  // namespace

std::string encode_forwarder(const std::string& driver, const Options& options,
                             const ContainerInfo& info) {
    nlohmann::json out{{"driver", driver},
                       {"options", options},
                       {"id", info.id},
                       {"name", info.name},
                       {"entrypoint", info.entrypoint},
                       {"args", info.args},
                       {"image_id", info.image_id},
                       {"image_name", info.image_name},
                       {"created_s", info.created.seconds()},
                       {"created_ns", info.created.nanoseconds()},
                       {"env", info.env},
                       {"labels", info.labels}};
    if (const char* zone = ::getenv("TZ")) out["zone"] = zone;
    if (driver == "splunk") check_splunk_variables();
    for (const std::string& name : driver_variables(driver)) {
        if (const char* value = ::getenv(name.c_str())) out["variables"][name] = value;
    }
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ForwarderConfig decode_forwarder(const std::string& text) {
    const auto json = nlohmann::json::parse(text);
    ForwarderConfig config;
    config.driver = json.at("driver");
    config.options = json.at("options").get<Options>();
    config.info.id = json.at("id");
    config.info.name = json.at("name");
    config.info.entrypoint = json.at("entrypoint");
    config.info.args = json.at("args").get<std::vector<std::string>>();
    config.info.image_id = json.at("image_id");
    config.info.image_name = json.at("image_name");
    config.info.created = base::WallTime(json.at("created_s").get<std::int64_t>(),
                                         json.at("created_ns").get<std::int32_t>());
    config.info.env = json.at("env").get<std::vector<std::string>>();
    config.info.labels = json.at("labels").get<std::map<std::string, std::string>>();
    if (json.contains("variables")) {
        for (const auto& [name, value] : json["variables"].items()) {
            ::setenv(name.c_str(), value.get<std::string>().c_str(), 1);
        }
    }
    // Before any thread is there: local times in messages are in the daemon's zone.
    if (json.contains("zone")) ::setenv("TZ", json["zone"].get<std::string>().c_str(), 1);
    return config;
}

std::vector<std::string> driver_variables(std::string_view driver) {
    if (driver != "splunk") return {};
    return {"SPLUNK_LOGGING_DRIVER_POST_MESSAGES_FREQUENCY",
            "SPLUNK_LOGGING_DRIVER_POST_MESSAGES_BATCH_SIZE",
            "SPLUNK_LOGGING_DRIVER_BUFFER_MAX",
            "SPLUNK_LOGGING_DRIVER_CHANNEL_SIZE",
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "NO_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR"};
}

std::unique_ptr<Driver> open_driver(const ForwarderConfig& config) {
    if (config.driver == "syslog") return open_syslog(config);
    if (config.driver == "fluentd") return open_fluentd(config);
    if (config.driver == "gelf") return open_gelf(config);
    if (config.driver == "journald") return open_journald(config);
    if (config.driver == "splunk") return open_splunk(config);
    base::fail(base::ErrorKind::internal, "no log driver named '" + config.driver + "'");
}

int run_forwarder(int config, int stream) {
    (void)::prctl(PR_SET_NAME, "docker-log", 0, 0, 0);  // for ps only
    (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);         // as all that stand near a container
    (void)::signal(SIGPIPE, SIG_IGN);                   // valid arguments
    std::unique_ptr<Driver> driver;
    try {
        driver = open_driver(decode_forwarder(read_config(config)));
    } catch (const std::exception& error) {
        tell(stream, std::string("error ") + error.what());
        return 1;
    }
    tell(stream, "ok");
    try {
        Pump(stream, *driver).run();
    } catch (const std::exception& error) {
        tell(stream, std::string("lost ") + error.what());
    }
    try {
        driver->close();
    } catch (const std::exception& error) {
        tell(stream, std::string("lost ") + error.what());
    }
    return 0;
}

}  // namespace dockerd::logging

#include <sys/random.h>

#include <optional>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "bodies.hpp"
#include "driver.hpp"
#include "go_values.hpp"
#include "settings.hpp"

namespace dockerd::logging {

namespace {

constexpr std::size_t chunk_size = 1420;
constexpr std::size_t chunk_data = chunk_size - 12;
constexpr std::size_t most_chunks = 128;

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

/// Milliseconds since 1970 as seconds, in the shortest form.
std::string seconds_text(std::int64_t nanoseconds) {
    const std::int64_t milliseconds = nanoseconds / 1'000'000;
    std::string text = fmt::format("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    return text;
}

// Source: moby daemon/logger/gelf/gelf.go; Graylog2/go-gelf udpwriter.go and tcpwriter.go.
class Gelf final : public Driver {
public:
    Gelf(GelfSettings settings, std::string extra)
        : settings_(std::move(settings)), extra_(std::move(extra)), host_(json_text(host_name())) {
        try {
            connect();
        } catch (const base::Error& error) {
            fail(fmt::format("gelf: cannot connect to GELF endpoint: {} {}",
                             join_host_port(settings_.address.host, settings_.address.port),
                             error.what()));
        }
    }

    void log(const Record& record) override {
        if (record.line.empty()) return;
        const std::string message = fmt::format(
            "{{\"version\":\"1.1\",\"host\":{},\"short_message\":{},\"timestamp\":{},\"level\":{},"
            "{}}}",
            host_, json_text(record.line), seconds_text(record.time), record.is_error ? 3 : 6,
            extra_);
        base::in_context("gelf: cannot send GELF message", [&] {
            if (settings_.address.network == "tcp") {
                send_stream(message);
            } else {
                send_datagrams(compress(message, settings_.compression, settings_.level));
            }
        });
    }

private:
    void connect() {
        connection_.reset();
        connection_.emplace(settings_.address, nullptr, dial::never);
    }

    void send_stream(const std::string& message) {
        const std::string_view bytes(message.c_str(), message.size() + 1);  // with the final zero
        for (int attempt = 0; attempt <= settings_.max_reconnect; ++attempt) {
            try {
                if (connection_ && !connection_->peer_closed()) return connection_->write(bytes);
            } catch (const base::Error&) {
                connection_.reset();
            }
            std::this_thread::sleep_for(settings_.reconnect_delay);
            try {
                connect();
            } catch (const base::Error&) {
                continue;  // counted
            }
        }
        fail("Maximum reconnection attempts was reached; giving up");
    }

    void send_datagrams(const std::string& bytes) {
        if (bytes.size() <= chunk_size) return connection_->write(bytes);
        const std::size_t count = bytes.size() / chunk_data + 1;
        if (count > most_chunks) fail(fmt::format("msg too large, would need {} chunks", count));
        char id[8] = {};
        (void)::getrandom(id, sizeof id, 0);  // an id only: any bytes will do
        for (std::size_t i = 0; i < count; ++i) {
            std::string chunk("\x1e\x0f");
            chunk.append(id, sizeof id);
            chunk += static_cast<char>(i);
            chunk += static_cast<char>(count);
            chunk.append(bytes, std::min(i * chunk_data, bytes.size()), chunk_data);
            connection_->write(chunk);
        }
    }

    GelfSettings settings_;
    std::string extra_;
    std::string host_;
    std::optional<dial::Connection> connection_;
};

}  // namespace

std::unique_ptr<Driver> open_gelf(const ForwarderConfig& config) {
    const auto& info = config.info;
    nlohmann::json extra;  // sorted by key
    const auto tag = [&](const char* text) { return render_tag({{"tag", text}}, info, ""); };
    extra["_container_id"] = info.id;
    extra["_container_name"] = tag("{{.Name}}");
    extra["_image_id"] = info.image_id;
    extra["_image_name"] = info.image_name;
    extra["_command"] = tag("{{.Command}}");
    extra["_tag"] = render_tag(config.options, info, "{{.ID}}");
    extra["_created"] = base::format_rfc3339_nano(info.created);
    for (const auto& [key, value] : extra_attributes(config.options, info)) {
        extra[key.starts_with('_') ? key : "_" + key] = value;
    }
    const std::string object = json_text(extra);
    return std::make_unique<Gelf>(gelf_settings(config.options),
                                  object.substr(1, object.size() - 2));
}

}  // namespace dockerd::logging

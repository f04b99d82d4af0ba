#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <limits>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/http/client.hpp>

#include "bodies.hpp"
#include "driver.hpp"
#include "go_values.hpp"

namespace dockerd::logging {

namespace {

using std::chrono::steady_clock;

// Source: moby daemon/logger/splunk/splunk.go.
constexpr const char* frequency_variable = "SPLUNK_LOGGING_DRIVER_POST_MESSAGES_FREQUENCY";
constexpr const char* batch_variable = "SPLUNK_LOGGING_DRIVER_POST_MESSAGES_BATCH_SIZE";
constexpr const char* buffer_variable = "SPLUNK_LOGGING_DRIVER_BUFFER_MAX";
constexpr const char* channel_variable = "SPLUNK_LOGGING_DRIVER_CHANNEL_SIZE";
constexpr std::chrono::seconds default_frequency{5};
constexpr std::size_t default_batch = 1000;
constexpr std::size_t default_buffer = 10 * default_batch;
constexpr std::size_t default_channel = 4 * default_batch;
constexpr std::chrono::seconds batch_patience{30};
constexpr std::size_t longest_answer = 1024;

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

const std::string* find(const Options& options, const std::string& key) {
    const auto found = options.find(key);
    return found == options.end() ? nullptr : &found->second;
}

bool flag(const Options& options, const std::string& key, bool otherwise) {
    const auto* value = find(options, key);
    return value == nullptr ? otherwise : parse_bool(*value);
}

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string() : value;
}

/// A value that cannot be read counts as not given, and is told of when `complain`.
template <typename T, typename Parse>
T from_variable(const char* name, T otherwise, const std::string& kind,
                const std::string& otherwise_text, bool complain, Parse parse) {
    const std::string text = variable(name);
    if (text.empty()) return otherwise;
    try {
        return parse(text);
    } catch (const base::Error& error) {
        if (complain) {
            base::log::error("Failed to parse value of {} as {}. Using default {}. {}", name, kind,
                             otherwise_text, error.what());
        }
        return otherwise;
    }
}

struct Limits {
    std::chrono::nanoseconds frequency{};
    std::size_t batch = 0;
    std::size_t buffer = 0;
    std::size_t channel = 0;
};

std::size_t count_from(const char* name, std::size_t otherwise, std::size_t least, bool complain) {
    return from_variable(name, otherwise, "integer", std::to_string(otherwise), complain,
                         [&](const std::string& text) {
                             // Docker's engine ends with a panic at what makes no sense.
                             return static_cast<std::size_t>(std::max<std::int64_t>(
                                 parse_int32(text), static_cast<std::int64_t>(least)));
                         });
}

Limits read_limits(bool complain) {
    Limits limits;
    limits.frequency = from_variable<std::chrono::nanoseconds>(
        frequency_variable, default_frequency, "duration", format_go_duration(default_frequency),
        complain, [](const std::string& text) {
            return std::max<std::chrono::nanoseconds>(parse_go_duration(text),
                                                      std::chrono::milliseconds(1));
        });
    limits.batch = count_from(batch_variable, default_batch, 1, complain);
    limits.buffer = count_from(buffer_variable, default_buffer, 0, complain);
    limits.channel = count_from(channel_variable, default_channel, 1, complain);
    return limits;
}

// Source: moby daemon/logger/splunk/splunk.go, parseURL.
http::Url collector_url(const Options& options) {
    const auto* text = find(options, "splunk-url");
    if (text == nullptr) fail("splunk: splunk-url is expected");
    Url parts;
    try {
        parts = parse_url(*text);
    } catch (const base::Error&) {
        fail(fmt::format("splunk: failed to parse {} as url value in splunk-url", *text));
    }
    const bool plain = text->find_first_of("?#") == std::string::npos;
    if ((parts.scheme != "http" && parts.scheme != "https") || !plain ||
        (!parts.path.empty() && parts.path != "/")) {
        fail("splunk: expected format scheme://dns_name_or_ip:port for splunk-url");
    }
    http::Url url = http::Url::parse(*text);
    url.path = "/services/collector/event/1.0";
    return url;
}

http::ClientOptions client_options(const Options& options) {
    http::ClientTlsOptions tls;
    tls.verify = !flag(options, "splunk-insecureskipverify", false);
    if (const auto* path = find(options, "splunk-capath")) {
        tls.ca_files = {*path};
        tls.system_authorities = false;
    }
    if (const auto* name = find(options, "splunk-caname")) tls.server_name = *name;
    http::ClientOptions out;
    out.tls = http::make_client_tls(tls);
    const auto either = [](const char* upper, const char* lower) {
        const std::string value = variable(upper);
        return value.empty() ? variable(lower) : value;
    };
    out.proxy = {.http_proxy = either("HTTP_PROXY", "http_proxy"),
                 .https_proxy = either("HTTPS_PROXY", "https_proxy"),
                 .no_proxy = either("NO_PROXY", "no_proxy")};
    out.user_agent = "dockerd";
    return out;
}

int gzip_level(const Options& options) {
    const auto* text = find(options, "splunk-gzip-level");
    if (text == nullptr) return -1;
    const std::int32_t level = parse_int32(*text);
    if (level < -1 || level > 9) {
        fail(fmt::format("not supported level '{}' for splunk-gzip-level (supported values between "
                         "-1 and 9)",
                         *text));
    }
    return level;
}

/// A UUID of random bits. Source: RFC 9562, 5.4.
std::string random_uuid() {
    std::string hex = base::random_hex(16);
    hex[12] = '4';
    hex[16] = "89ab"[static_cast<unsigned char>(hex[16]) % 4];
    for (const std::size_t at : {20U, 16U, 12U, 8U}) hex.insert(at, "-");
    return hex;
}

/// Speaks to one HTTP Event Collector. Thread: one at a time.
class Collector {
public:
    explicit Collector(const Options& options) : url_(collector_url(options)) {
        const auto* token = find(options, "splunk-token");
        if (token == nullptr) fail("splunk: splunk-token is expected");
        authorization_ = "Splunk " + *token;
        client_.emplace(client_options(options), std::make_shared<base::Cancellation>());
        gzip_ = flag(options, "splunk-gzip", false);
        level_ = gzip_level(options);
        acknowledged_ = flag(options, "splunk-index-acknowledgment", false);
    }

    /// Throws: why the collector cannot be used.
    void verify() {
        ask({.method = "OPTIONS", .url = url_}, "failed to verify connection");
    }

    void post(const std::string& events, std::chrono::milliseconds patience) {
        http::ClientRequest request{.method = "POST", .url = url_};
        request.headers.add("Authorization", authorization_);
        if (gzip_) request.headers.add("Content-Encoding", "gzip");
        if (acknowledged_) request.headers.add("X-Splunk-Request-Channel", random_uuid());
        request.body = gzip_ ? compress(events, Compression::gzip, level_) : events;
        request.timeout = patience;
        ask(std::move(request), "failed to send event");
    }

private:
    void ask(http::ClientRequest request, std::string_view failure) {
        auto response = client_->fetch(std::move(request));
        if (response.status() == 200) return;
        std::string text(longest_answer, '\0');
        std::size_t size = 0;
        while (size < text.size()) {
            const std::size_t got = response.read({text.data() + size, text.size() - size});
            if (got == 0) break;
            size += got;
        }
        text.resize(size);
        fail(fmt::format("splunk: {} - {} - {}", failure, response.status_line(), text));
    }

    http::Url url_;
    std::string authorization_;
    std::optional<http::Client> client_;
    bool gzip_ = false;
    int level_ = -1;
    bool acknowledged_ = false;
};

/// What goes around each line.
class Composer {
public:
    explicit Composer(const ForwarderConfig& config) {
        const auto& options = config.options;
        // An empty tag is none; without the option there is one.
        const auto* tag_option = find(options, "tag");
        const bool tagged = tag_option == nullptr || !tag_option->empty();
        const std::string tag = tagged ? render_tag(options, config.info, "{{.ID}}") : "";
        const auto extra = extra_attributes(options, config.info);

        tail_ = fmt::format(",\"host\":{}", json_text(host_name()));
        for (const char* key : {"source", "sourcetype", "index"}) {
            const auto* value = find(options, std::string("splunk-") + key);
            if (value != nullptr && !value->empty()) {
                tail_ += fmt::format(",\"{}\":{}", key, json_text(*value));
            }
        }
        tail_ += '}';
        if (!tag.empty()) {
            around_ += fmt::format(",\"tag\":{}", json_text(tag));
            prefix_ = tag + " ";
        }
        if (!extra.empty()) around_ += fmt::format(",\"attrs\":{}", json_text(extra));
        for (const auto& [key, value] : extra) prefix_ += key + "=" + value + " ";
    }

    /// After the connection has been verified, as the last of all options.
    void choose(const Options& options) {
        const auto* format = find(options, "splunk-format");
        if (format == nullptr || *format == "inline") return;
        if (*format == "json") {
            format_ = Format::json;
        } else if (*format == "raw") {
            format_ = Format::raw;
        } else {
            fail(fmt::format(
                "unknown format specified {}, supported formats are inline, json and raw",
                *format));
        }
    }

    /// Nothing for a line that is not sent.
    [[nodiscard]] std::string event(const Record& record) const {
        std::string event;
        if (format_ == Format::raw) {
            if (base::trim(record.line).empty()) return {};
            event = json_text(prefix_ + std::string(record.line));
        } else {
            std::string line;
            if (format_ == Format::json) line = compact_json(record.line);
            if (line.empty()) line = json_text(record.line);
            event = fmt::format("{{\"line\":{},\"source\":\"{}\"{}}}", line,
                                record.is_error ? "stderr" : "stdout", around_);
        }
        return fmt::format("{{\"event\":{},\"time\":\"{:f}\"{}", event,
                           static_cast<double>(record.time) / 1e9, tail_);
    }

private:
    enum class Format { text, json, raw };
    Format format_ = Format::text;
    std::string tail_;    ///< of the message
    std::string around_;  ///< the rest of the event
    std::string prefix_;  ///< of a raw line
};

// Source: moby daemon/logger/splunk/splunk.go, worker and postMessages.
class Splunk final : public Driver {
public:
    explicit Splunk(const ForwarderConfig& config)
        : collector_(config.options), composer_(config), limits_(read_limits(/*complain=*/false)) {
        if (flag(config.options, "splunk-verify-connection", true)) collector_.verify();
        composer_.choose(config.options);
        thread_ = std::thread([this] { run(); });
    }
    Splunk(const Splunk&) = delete;
    Splunk& operator=(const Splunk&) = delete;
    ~Splunk() override { finish(); }

    void log(const Record& record) override {
        std::string event = composer_.event(record);
        std::unique_lock lock(mutex_);
        if (!event.empty()) {
            changed_.wait(lock, [&] { return queue_.size() < limits_.channel; });
            queue_.push_back(std::move(event));
            changed_.notify_all();
        }
        tell(lock);
    }

    void close() override {
        finish();
        std::unique_lock lock(mutex_);
        tell(lock);
    }

private:
    using Lock = std::unique_lock<std::mutex>;

    /// What the thread has found out is told to who comes next.
    void tell(Lock& /*held*/) {
        if (failure_.empty()) return;
        fail(std::exchange(failure_, std::string()));
    }

    void finish() {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
            changed_.notify_all();
        }
        if (thread_.joinable()) thread_.join();
    }

    void run() {
        std::deque<std::string> events;
        auto due = steady_clock::now() + limits_.frequency;
        Lock lock(mutex_);
        for (;;) {
            changed_.wait_until(lock, due, [&] { return ending_ || !queue_.empty(); });
            bool full = false;
            while (!queue_.empty() && !full) {
                events.push_back(std::move(queue_.front()));
                queue_.pop_front();
                // Only at whole batches: no attempt for every line after one that failed.
                full = events.size() % limits_.batch == 0;
            }
            changed_.notify_all();
            const bool last = ending_ && queue_.empty();
            const bool tick = steady_clock::now() >= due;
            if (!full && !last && !tick) continue;
            if (tick) due = steady_clock::now() + limits_.frequency;
            lock.unlock();
            post(events, last);
            lock.lock();
            if (last) return;
        }
    }

    /// Sends batch after batch. What cannot be sent stays, unless that is too much or the end.
    void post(std::deque<std::string>& events, bool last) {
        const auto deadline = steady_clock::now() + batch_patience;
        while (!events.empty()) {
            const std::size_t count = std::min(events.size(), limits_.batch);
            std::string body;
            for (std::size_t i = 0; i < count; ++i) body += events[i];
            try {
                const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                    deadline - steady_clock::now());
                collector_.post(body, std::max(left, std::chrono::milliseconds(1)));
            } catch (const base::Error& error) {
                std::string why = error.what();
                if (last || events.size() >= limits_.buffer) {
                    const std::size_t lost = last ? events.size() : count;
                    events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(lost));
                    why = fmt::format("{} messages are lost: {}", lost, why);
                }
                const std::lock_guard lock(mutex_);
                failure_ = std::move(why);
                return;
            }
            events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count));
        }
    }

    Collector collector_;
    Composer composer_;
    const Limits limits_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> queue_;
    bool ending_ = false;
    std::string failure_;
    std::thread thread_;
};

}  // namespace

void check_splunk_variables() { (void)read_limits(/*complain=*/true); }

std::unique_ptr<Driver> open_splunk(const ForwarderConfig& config) {
    return std::make_unique<Splunk>(config);
}

}  // namespace dockerd::logging

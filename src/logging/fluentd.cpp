#include <sys/random.h>

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "driver.hpp"
#include "msgpack.hpp"
#include "settings.hpp"

namespace dockerd::logging {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds connect_timeout{3000};
constexpr milliseconds longest_wait{60000};
/// How long what waits may still be sent when the container has ended.
constexpr milliseconds closing_time{1000};

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

struct Message {
    std::string bytes;
    std::string ack;  ///< the peer's answer, or empty
};

/// The connection with its retries. Thread: one at a time.
// Source: fluent/fluent-logger-golang fluent.go, connectWithRetry, writeWithRetry.
class Sender {
public:
    explicit Sender(FluentdSettings settings) : settings_(std::move(settings)) {
        if (settings_.max_retries == 0) settings_.max_retries = 13;
        if (settings_.retry_wait.count() == 0) settings_.retry_wait = milliseconds(500);
    }

    void connect() {
        connection_.reset();
        connection_.emplace(settings_.address, nullptr, steady_clock::now() + connect_timeout);
        connected_ = steady_clock::now();
    }

    /// Ends waiting and sending, from another thread.
    void stop() {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }

    void send(const Message& message) {
        const auto interval = settings_.reconnect_interval;
        if (interval.count() > 0 && steady_clock::now() - connected_ > interval) {
            connection_.reset();
        }
        for (std::int64_t attempt = 0; attempt < settings_.max_retries; ++attempt) {
            if (!connection_) connect_with_retry();
            if (write(message)) return;
            connection_.reset();
        }
        fail(fmt::format("fluent#write: failed to write after {} attempts", settings_.max_retries));
    }

private:
    void connect_with_retry() {
        for (std::int64_t attempt = 0; attempt < settings_.max_retries; ++attempt) {
            try {
                return connect();
            } catch (const base::Error&) {
                const double steps = std::floor(
                    std::pow(1.5, static_cast<double>(std::min<std::int64_t>(attempt, 100)) - 1));
                const double wait =
                    std::min(static_cast<double>(settings_.retry_wait.count()) * steps,
                             static_cast<double>(longest_wait.count()));
                std::unique_lock lock(mutex_);
                if (changed_.wait_for(lock, milliseconds(static_cast<std::int64_t>(wait)),
                                      [&] { return stopping_; })) {
                    fail("fluent#write: fluent logger is closing");
                }
            }
        }
        fail(fmt::format("fluent#write: could not connect to fluentd after {} retries",
                         settings_.max_retries));
    }

    bool write(const Message& message) {
        try {
            if (connection_->peer_closed()) return false;
            const auto timeout = settings_.write_timeout;
            connection_->set_deadline(timeout.count() > 0 ? steady_clock::now() + timeout : dial::never);
            connection_->write(message.bytes);
            connection_->set_deadline(dial::never);
            return message.ack.empty() || read_ack() == message.ack;
        } catch (const base::Error&) {
            return false;
        }
    }

    /// The "ack" of a map, or empty.
    std::string read_ack() {
        std::string answer;
        char piece[256];
        for (;;) {
            const auto found = answer.find(
                "\xa3"
                "ack");
            if (found != std::string::npos && answer.size() > found + 4) {
                const auto kind = static_cast<unsigned char>(answer[found + 4]);
                const bool is_short = (kind & 0xe0U) == 0xa0U;
                const std::size_t head = is_short ? 5 : 6;
                if (!is_short && kind != 0xd9) return {};
                if (answer.size() >= found + head) {
                    const std::size_t size =
                        is_short ? kind & 0x1fU : static_cast<unsigned char>(answer[found + 5]);
                    if (answer.size() >= found + head + size) {
                        return answer.substr(found + head, size);
                    }
                }
            }
            const std::size_t got = connection_->read(piece, sizeof piece);
            if (got == 0 || answer.size() > 4096) return {};
            answer.append(piece, got);
        }
    }

    FluentdSettings settings_;
    std::optional<dial::Connection> connection_;
    steady_clock::time_point connected_{};
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
};

// Source: moby daemon/logger/fluentd/fluentd.go, Log.
class Fluentd final : public Driver {
public:
    Fluentd(const FluentdSettings& settings, const ForwarderConfig& config)
        : settings_(settings),
          sender_(settings),
          tag_(render_tag(config.options, config.info, "{{.ID}}")),
          extra_(extra_attributes(config.options, config.info)),
          id_(config.info.id),
          name_(config.info.name) {
        if (settings_.async) {
            thread_ = std::thread([this] { run(); });
        } else {
            sender_.connect();
        }
    }
    Fluentd(const Fluentd&) = delete;
    Fluentd& operator=(const Fluentd&) = delete;
    ~Fluentd() override { finish(); }

    void log(const Record& record) override {
        Message message = compose(record);
        if (!settings_.async) return sender_.send(message);
        const std::lock_guard lock(mutex_);
        if (static_cast<std::int64_t>(waiting_.size()) >= settings_.buffer_limit) {
            fail(fmt::format("fluent#appendBuffer: Buffer full, limit {}", settings_.buffer_limit));
        }
        waiting_.push_back(std::move(message));
        changed_.notify_one();
    }

    void close() override { finish(); }

private:
    Message compose(const Record& record) const {
        std::map<std::string, std::string> data{{"container_id", id_},
                                                {"container_name", name_},
                                                {"source", record.is_error ? "stderr" : "stdout"},
                                                {"log", std::string(record.line)}};
        for (const auto& [key, value] : extra_) data[key] = value;
        if (record.partial) {
            data["partial_message"] = "true";
            data["partial_id"] = record.partial_id;
            data["partial_ordinal"] = std::to_string(record.ordinal);
            data["partial_last"] = record.last ? "true" : "false";
        }
        const std::int64_t seconds = record.time / 1'000'000'000;
        Message message;
        std::string& out = message.bytes;
        out += '\x94';  // a list of four
        msgpack::append_text(out, tag_);
        if (settings_.sub_second) {
            msgpack::append_event_time(out, static_cast<std::uint32_t>(seconds),
                                       static_cast<std::uint32_t>(record.time % 1'000'000'000));
        } else {
            msgpack::append_integer(out, seconds);
        }
        msgpack::append_map_head(out, data.size());
        for (const auto& [key, value] : data) {
            msgpack::append_text(out, key);
            msgpack::append_text(out, value);
        }
        msgpack::append_map_head(out, settings_.request_ack ? 1 : 0);
        if (settings_.request_ack) {
            message.ack = unique_id(seconds);
            msgpack::append_text(out, "chunk");
            msgpack::append_text(out, message.ack);
        }
        return message;
    }

    static std::string unique_id(std::int64_t seconds) {
        std::string raw(16, '\0');
        for (unsigned i = 0; i < 8; ++i) {
            raw[i] = static_cast<char>(static_cast<std::uint64_t>(seconds) >> (8 * i));
        }
        (void)::getrandom(raw.data() + 8, 8, 0);  // an id only: any bytes will do
        return base::base64_encode(raw);
    }

    /// The thread of asynchronous sending.
    void run() {
        for (;;) {
            Message message;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
                if (waiting_.empty()) return;
                message = std::move(waiting_.front());
                waiting_.pop_front();
            }
            try {
                sender_.send(message);
            } catch (const base::Error&) {
                const std::lock_guard lock(mutex_);
                if (!ending_) continue;  // lost: nobody waits for an answer
                waiting_.clear();
            }
            changed_.notify_all();
        }
    }

    /// Gives what waits a last moment, if there is a peer to take it.
    void finish() {
        if (!thread_.joinable()) return;
        {
            std::unique_lock lock(mutex_);
            ending_ = true;
            changed_.notify_all();
            changed_.wait_for(lock, closing_time, [&] { return waiting_.empty(); });
            waiting_.clear();
        }
        sender_.stop();
        thread_.join();
    }

    FluentdSettings settings_;
    Sender sender_;
    std::string tag_;
    std::map<std::string, std::string> extra_;
    std::string id_;
    std::string name_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Message> waiting_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace

std::unique_ptr<Driver> open_fluentd(const ForwarderConfig& config) {
    return std::make_unique<Fluentd>(fluentd_settings(config.options), config);
}

}  // namespace dockerd::logging

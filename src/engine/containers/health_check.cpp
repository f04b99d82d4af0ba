#include "health_check.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/model/go_syntax.hpp>

namespace dockerd::engine {
namespace {

// Source: moby daemon/health.go.
constexpr std::size_t longest_output = 4096;
constexpr std::size_t log_entries = 5;
constexpr std::chrono::seconds default_interval{30};
constexpr std::chrono::seconds default_timeout{30};
constexpr std::chrono::seconds default_start_interval{5};
constexpr std::int64_t default_retries = 3;

/// By how much the begin of a probe may be put off at most.
constexpr std::chrono::milliseconds longest_step{100};

std::chrono::nanoseconds given_or(std::int64_t given, std::chrono::nanoseconds otherwise) {
    return given == 0 ? otherwise : std::chrono::nanoseconds(given);
}

}  // namespace

std::optional<HealthCheck> health_check_of(const model::ContainerConfig& config) {
    if (!config.healthcheck || config.healthcheck->test.empty()) return std::nullopt;
    const auto& health = *config.healthcheck;
    const std::string& kind = health.test.front();
    HealthCheck check;
    if (kind == "CMD-SHELL") {
        // Source: moby daemon/health.go, getShell.
        if (config.shell.empty()) {
            check.command = {"/bin/sh", "-c"};
        } else {
            check.command.assign(config.shell.begin(), config.shell.end());
        }
    } else if (kind != "CMD") {
        if (kind != "NONE") {
            base::log::warn("Unknown healthcheck type '{}' (expected 'CMD')", kind);
        }
        return std::nullopt;
    }
    check.command.insert(check.command.end(), health.test.begin() + 1, health.test.end());
    check.interval = given_or(health.interval, default_interval);
    check.timeout = given_or(health.timeout, default_timeout);
    check.start_period = std::chrono::nanoseconds(health.start_period);
    check.start_interval = given_or(health.start_interval, default_start_interval);
    check.retries = health.retries > 0 ? health.retries : default_retries;
    return check;
}

std::chrono::nanoseconds until_next_probe(const HealthCheck& check,
                                          std::chrono::nanoseconds since_start,
                                          std::string_view status) {
    const bool starting = since_start < check.start_period && status == "starting";
    return starting ? check.start_interval : check.interval;
}

std::chrono::steady_clock::time_point time_of_probe(std::chrono::steady_clock::time_point now,
                                                    std::chrono::nanoseconds delay) {
    const auto due = now + delay;
    const auto step = std::min<std::chrono::nanoseconds>(delay / 100, longest_step);
    if (step <= std::chrono::nanoseconds(0)) return due;
    const auto beyond = due.time_since_epoch() % step;
    return beyond.count() == 0 ? due : due + (step - beyond);
}

// Source: moby daemon/health.go, handleProbeResult.
bool take_health_result(store::HealthRecord& health, const HealthCheck& check,
                        std::chrono::nanoseconds since_start, store::HealthResult result) {
    const std::string before = health.status;
    const bool good = result.exit_code == 0;
    if (health.log.size() >= log_entries) {
        health.log.erase(health.log.begin(),
                         health.log.end() - static_cast<std::ptrdiff_t>(log_entries - 1));
    }
    health.log.push_back(std::move(result));
    if (good) {
        health.failing_streak = 0;
        health.status = "healthy";
    } else if (health.status != "starting" || since_start >= check.start_period) {
        if (++health.failing_streak >= check.retries) health.status = "unhealthy";
    }
    return health.status != before;
}

void ProbeOutput::append(std::string_view data) {
    const std::size_t room = longest_output - bytes_.size();
    truncated_ = truncated_ || data.size() > room;
    bytes_.append(data.substr(0, room));
}

std::string ProbeOutput::text() const {
    std::string text = model::replace_invalid_utf8(bytes_);
    if (truncated_) text += "...";
    return text;
}

std::string probe_timeout_text(const HealthCheck& check, const std::string& output) {
    std::string text =
        fmt::format("Health check exceeded timeout ({})", base::format_duration(check.timeout));
    if (!output.empty()) text += ": " + output;
    return text;
}

}  // namespace dockerd::engine

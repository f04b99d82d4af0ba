#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/model/container.hpp>
#include <dockerd/store/container_files.hpp>

namespace dockerd::engine {

/// A container's health check with every default filled in.
struct HealthCheck {
    std::vector<std::string> command;  ///< empty for a bare "CMD"
    std::chrono::nanoseconds interval{};
    std::chrono::nanoseconds timeout{};
    std::chrono::nanoseconds start_period{};
    std::chrono::nanoseconds start_interval{};
    std::int64_t retries = 0;
};

/// What `config` asks for; nullopt for no check, NONE, or a kind Docker does not know either.
/// Source: moby daemon/health.go, getProbe.
std::optional<HealthCheck> health_check_of(const model::ContainerConfig& config);

/// How long after the end of one probe the next one begins; also the wait for the first.
std::chrono::nanoseconds until_next_probe(const HealthCheck& check,
                                          std::chrono::nanoseconds since_start,
                                          std::string_view status);

/// When a probe begins that has to wait for `delay` from `now` on. It is up to a hundredth of that later:
/// so the many containers of a machine are checked a few at a time, each of which would have the
/// daemon wake up.
std::chrono::steady_clock::time_point time_of_probe(std::chrono::steady_clock::time_point now,
                                                    std::chrono::nanoseconds delay);

/// Enters a probe's result. `since_start` is the container's age when the probe began.
/// Returns true when the status has changed.
bool take_health_result(store::HealthRecord& health, const HealthCheck& check,
                        std::chrono::nanoseconds since_start, store::HealthResult result);

/// What a probe has printed: the first 4096 bytes, and whether there was more.
class ProbeOutput {
public:
    void append(std::string_view data);
    /// Valid UTF-8, with "..." behind it when something is missing.
    [[nodiscard]] std::string text() const;

private:
    std::string bytes_;
    bool truncated_ = false;
};

/// The result of a probe that took too long.
std::string probe_timeout_text(const HealthCheck& check, const std::string& output);

}  // namespace dockerd::engine

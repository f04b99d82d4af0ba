#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/engine/stats.hpp>

#include "metrics/metrics.hpp"

namespace dockerd::engine {

/// What is not counted, but so at the moment.
struct MetricsFacts {
    /// Labels of engine_daemon_engine_info: names and values.
    std::vector<std::pair<std::string, std::string>> engine;
    std::int64_t cpus = 0;
    std::int64_t memory = 0;  ///< bytes
    std::int64_t running = 0, paused = 0, stopped = 0;
    std::int64_t event_subscribers = 0;
    std::int64_t process_threads = 0;
    /// Of running containers; empty where they are not wanted.
    std::vector<StatsSample> containers;
};

/// All metrics in the text form of Prometheus, under Docker's names.
/// Source: moby internal/metrics/metrics.go; prometheus exposition formats, version 0.0.4.
std::string metrics_text(const EngineMetrics& metrics, const MetricsFacts& facts);

}  // namespace dockerd::engine

#pragma once

#include <dockerd/base/metrics.hpp>

namespace dockerd::engine {

/// What the engine counts of itself for --metrics-addr. One for the process: it is counted where
/// it happens, however deep.
/// Source: moby internal/metrics/metrics.go.
struct EngineMetrics {
    /// Docker counts one of each at the start, so that the names are there.
    EngineMetrics();

    base::LabeledDurations container_actions;  ///< start, changes, commit, create, delete
    base::LabeledDurations network_actions;    ///< allocate, release, connect, update
    base::LabeledDurations image_actions;      ///< delete, history, pull, push
    base::LabeledDurations host_info_functions;
    base::DurationHistogram health_check_start;
    base::Counter health_checks;
    base::Counter health_checks_failed;
    base::Counter events;
};

EngineMetrics& metrics();

}  // namespace dockerd::engine

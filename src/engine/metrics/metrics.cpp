#include "metrics/metrics.hpp"

namespace dockerd::engine {

EngineMetrics::EngineMetrics() {
    for (const char* const action : {"start", "changes", "commit", "create", "delete"}) {
        container_actions[action].observe(std::chrono::nanoseconds(0));
    }
}

EngineMetrics& metrics() {
    static EngineMetrics instance;
    return instance;
}

}  // namespace dockerd::engine

#pragma once

#include <dockerd/engine/events.hpp>

namespace dockerd::engine {

/// Whether `event` passes `filters`: OR within a key, AND between keys; unknown keys pass all.
/// Source: moby daemon/events/filter.go, Filter.Include.
bool event_matches(const model::Filters& filters, const Event& event);

}  // namespace dockerd::engine

#pragma once

#include <optional>

#include <dockerd/base/time.hpp>
#include <dockerd/model/filters.hpp>

namespace dockerd::engine {

/// The moment of a prune's `until` filter: a timestamp, unix seconds, or a duration before now.
/// Throws: invalid_argument, "more than one until filter specified" and the parser's words.
/// Source: moby daemon/prune.go, getUntilFromPruneFilters.
std::optional<base::WallTime> prune_until(const model::Filters& filters);

}  // namespace dockerd::engine

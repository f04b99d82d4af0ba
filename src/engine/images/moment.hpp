#pragma once

#include <string>

#include <dockerd/base/time.hpp>

namespace dockerd::engine {

/// The moment a filter value names: a duration before now, RFC 3339 in whole or in part, or
/// seconds since 1970. Without a zone it is local time.
///
/// Throws: internal, "failed to parse value as time or duration: "x"" or Go's words.
/// Source: moby api/types/time/timestamp.go, GetTimestamp, ParseTimestamps.
base::WallTime parse_moment(const std::string& text);

}  // namespace dockerd::engine

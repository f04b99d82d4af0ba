#pragma once

#include <optional>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/time.hpp>

namespace dockerd::api::codec {

/// Reads "1136073600.000000001", seconds since 1970 with an optional fraction; nullopt when
/// `text` is empty.
/// Throws: `kind`, `strconv.ParseInt: parsing "x": invalid syntax` or `: value out of range`.
/// Source: moby api/types/time/timestamp.go, parseTimestamp.
std::optional<base::WallTime> parse_timestamp(std::string_view text, base::ErrorKind kind);

}  // namespace dockerd::api::codec

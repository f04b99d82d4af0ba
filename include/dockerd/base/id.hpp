#pragma once

#include <string>
#include <string_view>

namespace dockerd::base {

/// 64 lower-case hex digits from the kernel's random source: ids of containers, networks, execs.
/// The first 12 are never all decimal digits, so a short id is never read as a number.
/// Source: moby pkg/stringid, GenerateRandomID.
std::string random_id();

/// `bytes` random bytes as lower-case hex.
std::string random_hex(std::size_t bytes);

/// The first 12 characters, after a "sha256:" prefix if there is one.
std::string_view short_id(std::string_view id);

/// True for 64 lower-case hex digits.
bool is_full_id(std::string_view text);

}  // namespace dockerd::base

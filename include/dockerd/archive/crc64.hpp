#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::archive {

/// Continues the CRC-64 of ISO 3309 with `bytes`; start with 0. The checksum of tar-split.
/// Source: Go hash/crc64, ISO.
std::uint64_t crc64_iso(std::uint64_t crc, std::string_view bytes);

/// The sum as tar-split keeps it: eight bytes, the highest first.
std::string crc64_bytes(std::uint64_t sum);

}  // namespace dockerd::archive

#pragma once

#include <cstdint>
#include <string_view>

namespace dockerd::archive {

/// Continues the CRC-64 of ISO 3309 with `bytes`; start with 0. The checksum of tar-split.
/// Source: Go hash/crc64, ISO.
std::uint64_t crc64_iso(std::uint64_t crc, std::string_view bytes);

}  // namespace dockerd::archive

#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace dockerd::sys {

/// What is left to read of a file; nullopt when it cannot be read (-1 is no file), or is longer than
/// `limit`.
std::optional<std::string> read_small(int fd, std::size_t limit = 1U << 20U);

}  // namespace dockerd::sys

#pragma once

#include <cstddef>
#include <cstdint>

namespace dockerd::archive::worker {

// The way in: blocks of memory that the daemon writes and the worker reads. A pipe would copy every
// byte twice more. The pipes beside it say which block is next, and how many are free again.

constexpr std::size_t block_size = 256 * 1024;
constexpr std::uint32_t block_count = 16;
constexpr std::size_t ring_size = block_size * block_count;

/// On the input pipe, behind the job: this much is in this block.
struct Filled {
    std::uint32_t block = 0;
    std::uint32_t size = 0;
};

}  // namespace dockerd::archive::worker

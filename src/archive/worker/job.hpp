#pragma once

#include <cstdint>
#include <type_traits>

namespace dockerd::archive::worker {

// What the daemon and its worker agree on; both are always of one build.

/// The worker's descriptors. Nothing else is open in it but /dev/null as 0 to 2.
constexpr int input_fd = 3;      ///< the job, then which blocks of the ring are filled
constexpr int report_fd = 4;     ///< one report, at the end
constexpr int ring_fd = 5;       ///< memory with the bytes to be worked on, read-only here
constexpr int free_fd = 6;       ///< a byte for each block that has been read
constexpr int output_fd = 7;     ///< unpacked bytes, or the file for tar-split
constexpr int root_fd = 8;       ///< of the two that write files
constexpr int namespace_fd = 9;  ///< archive: the mount namespace that the root is in
constexpr int after_last_fd = 10;

enum class Task : std::uint32_t { decompress = 1, layer = 2, archive = 3 };

/// Comes first on the input, followed by `below_size` bytes of ExtractOptions::below.
struct Job {
    Task task = Task::decompress;
    std::uint32_t below_size = 0;
    std::uint32_t has_owner = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint32_t no_overwrite_dir_non_dir = 0;
    std::uint32_t names_stay_inside = 0;
    std::int64_t max_bytes = 0;
};

constexpr std::uint32_t max_below_size = 64 * 1024;

/// What became of it. The daemon trusts none of it further than the text of an error.
struct Report {
    std::uint32_t ok = 0;
    std::uint32_t kind = 0;  ///< base::ErrorKind
    std::int32_t error = 0;
    std::uint32_t text_size = 0;  ///< bytes of text that follow
    std::int64_t size = 0;
    std::int64_t entries = 0;
};

/// With the report less than a pipe holds: writing it never waits.
constexpr std::uint32_t max_text_size = 32 * 1024;

static_assert(std::is_trivially_copyable_v<Job> && std::is_trivially_copyable_v<Report>);

}  // namespace dockerd::archive::worker

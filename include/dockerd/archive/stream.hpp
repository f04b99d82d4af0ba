#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <dockerd/base/fd.hpp>

namespace dockerd::archive {

/// Reads up to buffer.size() bytes, 0 at the end. Throws when the origin fails.
using ByteSource = std::function<std::size_t(std::span<char> buffer)>;
/// Takes bytes. Throws when the target fails.
using ByteSink = std::function<void(std::string_view bytes)>;

/// Reads from memory.
ByteSource memory_source(std::string bytes);
/// Reads `fd` from its offset. The descriptor is closed with the last copy of the source.
ByteSource fd_source(base::Fd fd);
/// Writes all of what it is given to `fd`, which stays the caller's.
ByteSink fd_sink(int fd);

/// At most `limit` bytes of `source`.
/// Throws: invalid_argument, "<what> is larger than <limit> bytes".
std::string read_all(const ByteSource& source, std::size_t limit, std::string_view what);

/// Copies to the end and returns the number of bytes.
std::int64_t copy(const ByteSource& source, const ByteSink& sink);

/// Fills as much of `buffer` as the source has.
std::size_t read_full(const ByteSource& source, std::span<char> buffer);

/// Streaming SHA-256.
class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    /// Adds bytes to what is hashed.
    void update(std::string_view bytes);
    /// 64 hex digits; the object is spent.
    std::string hex();
    /// "sha256:" and the hex digits.
    std::string digest() { return "sha256:" + hex(); }

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

/// "sha256:<hex>" of `bytes`.
std::string sha256_digest(std::string_view bytes);

/// Copies to the end, as copy(), with `source` read on a thread of its own, at most `depth`
/// buffers ahead of the sink.
///
/// Thread: `source` is called on the helper thread only, and not any more after the return;
/// when the sink throws, that waits for the call of `source` that is under way.
std::int64_t copy_ahead(ByteSource source, const ByteSink& sink,
                        std::size_t buffer_size = 256 * 1024, std::size_t depth = 4);

/// Turns writing into reading: runs `producer` on a thread of its own and returns what it
/// writes, at most `depth` buffers ahead of the reader. What the producer throws, the reader
/// throws when it gets there.
///
/// Thread: destroying the last copy of the returned source makes the sink throw, and joins.
ByteSource produce(std::function<void(const ByteSink&)> producer,
                   std::size_t buffer_size = 256 * 1024, std::size_t depth = 4);

}  // namespace dockerd::archive

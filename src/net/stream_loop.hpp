#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::net {

/// Copies the bytes of connections, both ways, on one thread.
///
/// Thread: safe. The connections' own thread runs as long as the object lives.
class StreamLoop {
public:
    /// `count` has how many connections all loops have together.
    explicit StreamLoop(std::atomic<std::size_t>& count);
    ~StreamLoop();
    StreamLoop(const StreamLoop&) = delete;
    StreamLoop& operator=(const StreamLoop&) = delete;

    /// Takes over a client's connection, and one to the container that need not be made yet. Both are
    /// closed when this throws. `owner` is whose they are for `drop`.
    void add(std::uint64_t owner, base::Fd client, base::Fd container);
    /// Closes the owner's connections.
    void drop(std::uint64_t owner) noexcept;

private:
    struct Stream;
    enum class Moved { all, blocked, broken };

    void run();
    void watch(int fd, std::uint64_t tag, std::uint32_t events);
    void handle(std::uint64_t id, unsigned side, std::uint32_t events);
    bool pump(Stream& stream, unsigned from);
    Moved drain(Stream& stream, unsigned from);
    Moved fill(Stream& stream, unsigned from);

    std::atomic<std::size_t>& count_;
    base::Mutex mutex_;
    base::Fd epoll_;
    base::Fd wake_;
    std::thread thread_;
    bool stopping_ DOCKERD_GUARDED_BY(mutex_) = false;
    std::uint64_t next_id_ DOCKERD_GUARDED_BY(mutex_) = 1;
    std::unordered_map<std::uint64_t, std::unique_ptr<Stream>> streams_ DOCKERD_GUARDED_BY(mutex_);
    std::vector<std::pair<std::uint64_t, unsigned>> unfinished_;  ///< streams with more to move
    std::vector<char> buffer_;
};

}  // namespace dockerd::net

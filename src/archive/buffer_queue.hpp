#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <vector>

namespace dockerd::archive {

/// A bounded queue of filled buffers between one thread that writes and one that reads.
///
/// Buffers go round: what the reader has emptied is filled again.
class BufferQueue {
public:
    BufferQueue(std::size_t buffer_size, std::size_t depth)
        : buffer_size_(buffer_size), depth_(depth) {}

    [[nodiscard]] std::size_t buffer_size() const { return buffer_size_; }

    /// Writer: a buffer with room for buffer_size() bytes and old contents; waits while the queue
    /// is full. Nothing when the reader is gone.
    std::optional<std::vector<char>> take_spare();
    /// Writer: hands a filled buffer over.
    void put(std::vector<char> buffer);
    /// Writer: nothing more comes; `error` if it could not be had.
    void close(std::exception_ptr error = nullptr);

    /// Reader: the next buffer in place of `used`, whose memory goes back; waits while there is
    /// none. False at the end; throws what the writer closed with.
    bool next(std::vector<char>& used);
    /// Reader: will not come again.
    void stop();

private:
    template <typename Ready>
    void wait(std::unique_lock<std::mutex>& lock, Ready ready);

    const std::size_t buffer_size_;
    const std::size_t depth_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::vector<char>> filled_;
    std::vector<std::vector<char>> spare_;
    std::exception_ptr error_;
    bool stopped_ = false;
    bool closed_ = false;
};

}  // namespace dockerd::archive

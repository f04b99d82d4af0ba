#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <dockerd/archive/stream.hpp>

namespace dockerd::archive {
namespace {

/// A bounded queue of filled buffers between the helper thread and the reader.
class Pipeline {
public:
    Pipeline(ByteSource source, std::size_t buffer_size, std::size_t depth)
        : source_(std::move(source)), buffer_size_(buffer_size), depth_(depth) {
        thread_ = std::thread([this] { run(); });
    }
    Pipeline(const Pipeline&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    ~Pipeline() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    std::size_t read(std::span<char> buffer) {
        if (at_ == current_.size() && !next_buffer()) return 0;
        const std::size_t n = std::min(buffer.size(), current_.size() - at_);
        std::memcpy(buffer.data(), current_.data() + at_, n);
        at_ += n;
        return n;
    }

private:
    bool next_buffer() {
        std::unique_lock lock(mutex_);
        if (!current_.empty()) spare_.push_back(std::move(current_));
        current_.clear();
        at_ = 0;
        changed_.wait(lock, [this] { return !filled_.empty() || done_; });
        if (filled_.empty()) {
            if (error_) std::rethrow_exception(error_);
            return false;
        }
        current_ = std::move(filled_.front());
        filled_.pop_front();
        lock.unlock();
        changed_.notify_all();
        return true;
    }

    void run() noexcept {
        try {
            while (fill_one()) {
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            error_ = std::current_exception();
        }
        const std::lock_guard lock(mutex_);
        done_ = true;
        changed_.notify_all();
    }

    bool fill_one() {
        std::vector<char> buffer = take_buffer();
        if (buffer.empty()) return false;
        const std::size_t n = read_full(source_, buffer);
        buffer.resize(n);
        if (n == 0) return false;
        {
            const std::lock_guard lock(mutex_);
            filled_.push_back(std::move(buffer));
        }
        changed_.notify_all();
        return n == buffer_size_;
    }

    /// Waits for room; empty when the reader is gone.
    std::vector<char> take_buffer() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stop_ || filled_.size() < depth_; });
        if (stop_) return {};
        std::vector<char> buffer;
        if (!spare_.empty()) {
            buffer = std::move(spare_.back());
            spare_.pop_back();
        }
        lock.unlock();
        buffer.resize(buffer_size_);
        return buffer;
    }

    ByteSource source_;
    const std::size_t buffer_size_;
    const std::size_t depth_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::vector<char>> filled_;
    std::vector<std::vector<char>> spare_;
    std::vector<char> current_;
    std::size_t at_ = 0;
    bool stop_ = false;
    bool done_ = false;
    std::exception_ptr error_;
    std::thread thread_;
};

}  // namespace

ByteSource read_ahead(ByteSource source, std::size_t buffer_size, std::size_t depth) {
    auto pipeline = std::make_shared<Pipeline>(std::move(source), buffer_size, depth);
    return [pipeline](std::span<char> buffer) { return pipeline->read(buffer); };
}

}  // namespace dockerd::archive

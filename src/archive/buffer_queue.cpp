#include "buffer_queue.hpp"

#include <utility>

#include <dockerd/base/worker_pool.hpp>

namespace dockerd::archive {

/// Only who has to wait gives up the place in the thread's pool: most calls find what they want.
template <typename Ready>
void BufferQueue::wait(std::unique_lock<std::mutex>& lock, Ready ready) {
    if (ready()) return;
    const base::LongWait wait;
    changed_.wait(lock, ready);
}

std::optional<std::vector<char>> BufferQueue::take_spare() {
    std::unique_lock lock(mutex_);
    wait(lock, [this] { return stopped_ || filled_.size() < depth_; });
    if (stopped_) return std::nullopt;
    std::vector<char> buffer;
    if (!spare_.empty()) {
        buffer = std::move(spare_.back());
        spare_.pop_back();
    }
    lock.unlock();
    buffer.reserve(buffer_size_);
    return buffer;
}

void BufferQueue::put(std::vector<char> buffer) {
    {
        const std::lock_guard lock(mutex_);
        filled_.push_back(std::move(buffer));
    }
    changed_.notify_all();
}

void BufferQueue::close(std::exception_ptr error) {
    {
        const std::lock_guard lock(mutex_);
        error_ = std::move(error);
        closed_ = true;
    }
    changed_.notify_all();
}

bool BufferQueue::next(std::vector<char>& used) {
    std::unique_lock lock(mutex_);
    if (used.capacity() > 0) spare_.push_back(std::move(used));
    used.clear();
    wait(lock, [this] { return !filled_.empty() || closed_; });
    if (filled_.empty()) {
        if (error_) std::rethrow_exception(error_);
        return false;
    }
    used = std::move(filled_.front());
    filled_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return true;
}

void BufferQueue::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
}

}  // namespace dockerd::archive

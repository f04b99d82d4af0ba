#pragma once

#include <condition_variable>
#include <cstdint>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::engine {

/// A number of things that may be done at a time.
///
/// Thread: any.
class Slots {
public:
    /// 0: any number.
    explicit Slots(std::int64_t limit) : limit_(limit) {}

    void set_limit(std::int64_t limit) {
        const base::Lock lock(mutex_);
        limit_ = limit;
        changed_.notify_all();
    }
    /// True when one was free.
    bool try_take() {
        const base::Lock lock(mutex_);
        if (limit_ != 0 && taken_ >= limit_) return false;
        ++taken_;
        return true;
    }
    /// Waits for one. Throws: unavailable, "context canceled".
    void take(const base::Cancellation& cancellation) {
        base::Lock lock(mutex_);
        (void)changed_.wait(lock, cancellation.token(),
                            [this] { return limit_ == 0 || taken_ < limit_; });
        cancellation.check();
        ++taken_;
    }
    void give_back() noexcept {
        const base::Lock lock(mutex_);
        --taken_;
        changed_.notify_all();
    }

private:
    base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::int64_t limit_;
    std::int64_t taken_ = 0;
};

}  // namespace dockerd::engine

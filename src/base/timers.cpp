#include <dockerd/base/timers.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <dockerd/base/log.hpp>

namespace dockerd::base {

using Clock = std::chrono::steady_clock;

struct Timers::Impl {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::pair<Clock::time_point, std::uint64_t>, std::function<void()>> queue;
    std::uint64_t next = 1;
    bool stopping = false;
    std::thread thread;

    void run() {
        std::unique_lock lock(mutex);
        while (!stopping) {
            if (queue.empty()) {
                changed.wait(lock);
                continue;
            }
            const auto first = queue.begin();
            if (first->first.first > Clock::now()) {
                const auto due = first->first.first;
                changed.wait_until(lock, due);
                continue;
            }
            const auto action = std::move(first->second);
            queue.erase(first);
            lock.unlock();
            try {
                action();
            } catch (const std::exception& error) {
                log::error("timer: {}", error.what());
            }
            lock.lock();
        }
    }
};

Timers::Timers() : impl_(std::make_unique<Impl>()) {}

Timers::~Timers() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    impl_->changed.notify_all();
    if (impl_->thread.joinable()) impl_->thread.join();
}

std::uint64_t Timers::after(std::chrono::nanoseconds delay, std::function<void()> action) {
    const std::lock_guard lock(impl_->mutex);
    const std::uint64_t number = impl_->next++;
    const auto due = Clock::now() + std::chrono::duration_cast<Clock::duration>(delay);
    impl_->queue.emplace(std::pair{due, number}, std::move(action));
    if (!impl_->thread.joinable()) impl_->thread = std::thread([this] { impl_->run(); });
    impl_->changed.notify_all();
    return number;
}

void Timers::cancel(std::uint64_t timer) {
    const std::lock_guard lock(impl_->mutex);
    std::erase_if(impl_->queue, [&](const auto& item) { return item.first.second == timer; });
}

}  // namespace dockerd::base

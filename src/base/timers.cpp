#include <dockerd/base/timers.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include <dockerd/base/log.hpp>

namespace dockerd::base {

using Clock = std::chrono::steady_clock;

/// What an action holds may use the timers or take other locks when it goes, so that is always
/// without this lock.
struct Timers::Impl {
    using Queue = std::map<std::pair<Clock::time_point, std::uint64_t>, std::function<void()>>;

    std::mutex mutex;
    std::condition_variable changed;
    Queue queue;
    std::unordered_map<std::uint64_t, Clock::time_point> due_of;
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
            due_of.erase(first->first.second);
            Queue::node_type due = queue.extract(first);
            lock.unlock();
            perform(std::move(due));
            lock.lock();
        }
    }

    static void perform(Queue::node_type due) {
        try {
            const std::function<void()> action = std::move(due.mapped());
            action();
        } catch (const std::exception& error) {
            log::error("timer: {}", error.what());
        }
    }
};

Timers::Timers() : impl_(std::make_unique<Impl>()) {}

Timers::~Timers() { stop(); }

void Timers::stop() {
    std::thread thread;
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
        thread = std::move(impl_->thread);
    }
    impl_->changed.notify_all();
    if (thread.joinable()) thread.join();
    Impl::Queue dropped;
    const std::lock_guard lock(impl_->mutex);
    dropped.swap(impl_->queue);
    impl_->due_of.clear();
}

std::uint64_t Timers::after(std::chrono::nanoseconds delay, std::function<void()> action) {
    return at(Clock::now() + std::chrono::duration_cast<Clock::duration>(delay), std::move(action));
}

std::uint64_t Timers::at(Clock::time_point due, std::function<void()> action) {
    const std::lock_guard lock(impl_->mutex);
    const std::uint64_t number = impl_->next++;
    if (impl_->stopping) return number;
    const auto place = impl_->queue.emplace(std::pair{due, number}, std::move(action)).first;
    impl_->due_of.emplace(number, due);
    if (!impl_->thread.joinable()) impl_->thread = std::thread([this] { impl_->run(); });
    // Only an earlier end of its sleep concerns the thread.
    if (place == impl_->queue.begin()) impl_->changed.notify_all();
    return number;
}

void Timers::cancel(std::uint64_t timer) {
    Impl::Queue::node_type dropped;
    const std::lock_guard lock(impl_->mutex);
    const auto due = impl_->due_of.find(timer);
    if (due == impl_->due_of.end()) return;
    dropped = impl_->queue.extract({due->second, timer});
    impl_->due_of.erase(due);
}

}  // namespace dockerd::base

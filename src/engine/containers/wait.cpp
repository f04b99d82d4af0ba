#include "containers.hpp"

#include <algorithm>
#include <condition_variable>

namespace dockerd::engine {

Subscription Containers::wait(std::string_view reference, WaitCondition condition,
                              std::function<void(WaitResult)> done) {
    const auto container = index_.get(reference);
    std::uint64_t number = 0;
    {
        const base::Lock lock(container->waiters_mutex);
        const auto snapshot = container->snapshot();
        std::optional<WaitResult> now = container->removed_result;
        if (!now && condition == WaitCondition::not_running && !snapshot->state.running) {
            now = WaitResult{.exit_code = snapshot->state.exit_code, .error = {}};
        }
        if (!now) {
            number = ++container->next_waiter;
            container->waiters.push_back({number, condition, std::move(done)});
        } else {
            done(*now);
            return {};
        }
    }
    return Subscription([weak = std::weak_ptr(container), number] {
        const auto alive = weak.lock();
        if (!alive) return;
        const base::Lock lock(alive->waiters_mutex);
        std::erase_if(alive->waiters,
                      [&](const Waiter& waiter) { return waiter.number == number; });
    });
}

/// Waits until the container is not running. False when `patience` ran out; no value is for ever.
bool Containers::wait_stopped(const ContainerRef& container,
                              std::optional<std::chrono::nanoseconds> patience) {
    struct Shared {
        std::mutex mutex;
        std::condition_variable changed;
        bool stopped = false;
    };
    const auto shared = std::make_shared<Shared>();
    const auto subscription =
        wait(container->id, WaitCondition::not_running, [shared](const WaitResult&) {
            const std::lock_guard lock(shared->mutex);
            shared->stopped = true;
            shared->changed.notify_all();
        });
    std::unique_lock lock(shared->mutex);
    const auto stopped = [&] { return shared->stopped; };
    if (patience) return shared->changed.wait_for(lock, *patience, stopped);
    shared->changed.wait(lock, stopped);
    return true;
}

}  // namespace dockerd::engine

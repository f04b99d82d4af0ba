#include <algorithm>
#include <condition_variable>

#include <dockerd/base/worker_pool.hpp>

#include "containers.hpp"
#include "end_watch.hpp"

namespace dockerd::engine {
namespace {

std::uint64_t add_waiter(Container& container, WaitCondition condition,
                         std::function<void(WaitResult)> done)
    DOCKERD_REQUIRES(container.waiters_mutex) {
    const std::uint64_t number = ++container.next_waiter;
    container.waiters.push_back({number, condition, std::move(done)});
    return number;
}

void remove_waiter(Container& container, std::uint64_t number) {
    const base::Lock lock(container.waiters_mutex);
    std::erase_if(container.waiters, [&](const Waiter& waiter) { return waiter.number == number; });
}

}  // namespace

Subscription Containers::wait(std::string_view reference, WaitCondition condition,
                              std::function<void(WaitResult)> done) {
    const auto container = index_.get(reference);
    std::uint64_t number = 0;
    std::optional<WaitResult> now;
    {
        const base::Lock lock(container->waiters_mutex);
        const auto snapshot = container->snapshot();
        now = container->removed_result;
        if (!now && condition == WaitCondition::not_running && !snapshot->state.running) {
            now =
                WaitResult{.exit_code = snapshot->state.exit_code, .error = snapshot->state.error};
        }
        if (!now) number = add_waiter(*container, condition, std::move(done));
    }
    if (now) {
        done(*now);
        return {};
    }
    return Subscription([weak = std::weak_ptr(container), number] {
        if (const auto alive = weak.lock()) remove_waiter(*alive, number);
    });
}

struct EndWatch::Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool ended = false;
};

EndWatch::EndWatch(const ContainerRef& container)
    : container_(container), shared_(std::make_shared<Shared>()) {
    const base::Lock lock(container->waiters_mutex);
    number_ =
        add_waiter(*container, WaitCondition::next_exit, [shared = shared_](const WaitResult&) {
            const std::lock_guard held(shared->mutex);
            shared->ended = true;
            shared->changed.notify_all();
        });
}

EndWatch::~EndWatch() { remove_waiter(*container_, number_); }

bool EndWatch::wait(std::optional<std::chrono::nanoseconds> patience) {
    std::unique_lock lock(shared_->mutex);
    const auto ended = [&] { return shared_->ended; };
    if (ended()) return true;
    const base::LongWait wait;
    if (patience) return shared_->changed.wait_for(lock, *patience, ended);
    shared_->changed.wait(lock, ended);
    return true;
}

}  // namespace dockerd::engine

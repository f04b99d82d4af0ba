#include <algorithm>
#include <condition_variable>
#include <mutex>

#include <dockerd/base/log.hpp>

#include "containers.hpp"
#include "validate.hpp"

namespace dockerd::engine {
namespace {

using std::chrono::seconds;

// Source: moby daemon/daemon.go, shutdownTimeout, and container/container_unix.go.
constexpr std::int64_t grace = 5;
constexpr std::int64_t default_stop_timeout = 10;
/// For what is done to a container that lives on, which takes no time unless somebody holds it.
constexpr std::optional<seconds> live_on_patience{1};

/// Stops that run, and whether all are done.
struct Pending {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t left = 0;
};

}  // namespace

/// How long all stops together may take; nullopt is for ever.
std::optional<seconds> shutdown_patience(seconds configured,
                                         const std::vector<std::int64_t>& stop_timeouts) {
    if (configured.count() < 0) return std::nullopt;
    auto longest = configured;
    for (const std::int64_t timeout : stop_timeouts) {
        if (timeout < 0) return std::nullopt;
        longest = std::max(longest, seconds(timeout + grace));
    }
    return longest;
}

void Containers::shutdown() {
    shutting_down_ = true;
    std::vector<ContainerRef> running;
    std::vector<std::int64_t> timeouts;
    for (const auto& container : index_.all()) {
        const auto snapshot = container->snapshot();
        timeouts.push_back(snapshot->config->stop_timeout.value_or(default_stop_timeout));
        if (snapshot->state.running) running.push_back(container);
    }
    if (running.empty()) return;
    const bool live_on = live_restore_;
    const auto pending = std::make_shared<Pending>();
    pending->left = running.size();
    // A thread each: all are told to stop at once, and the ends need the other pool.
    stops_ = std::make_unique<base::WorkerPool>(
        base::WorkerPool::Options{.name = "shutdown", .max_threads = running.size()});
    for (const auto& container : running) {
        stops_->post([this, container, pending, live_on] {
            try {
                if (live_on) {
                    const base::Lock lock(container->operation);
                    end_health(*container);
                } else {
                    (void)stop_container(container, {});
                }
            } catch (const std::exception& error) {
                base::log::error("Failed to stop container {} with error: {}", container->id,
                                 error.what());
            }
            const std::lock_guard lock(pending->mutex);
            if (--pending->left == 0) pending->changed.notify_all();
        });
    }
    const auto patience =
        live_on ? live_on_patience : shutdown_patience(shutdown_timeout_, timeouts);
    std::unique_lock lock(pending->mutex);
    const auto done = [&] { return pending->left == 0; };
    if (!patience) {
        pending->changed.wait(lock, done);
    } else if (!pending->changed.wait_for(lock, *patience, done)) {
        lock.unlock();
        base::log::error("Force shutdown daemon");
        // What still waits for an end gives up; the containers are the next daemon's.
        for (const auto& container : running) {
            wake_waiters(*container, /*removed=*/false,
                         {.exit_code = -1, .error = "the daemon is shutting down"});
        }
    }
}

}  // namespace dockerd::engine

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace dockerd::base {

/// Runs short functions later, on one thread made with the first timer. Monotonic clock.
class Timers {
public:
    Timers();
    Timers(const Timers&) = delete;
    Timers& operator=(const Timers&) = delete;
    /// Drops what has not run and waits for what is running.
    ~Timers();

    /// Runs `action` once after `delay`. Returns a number for cancel(). Thread: any.
    std::uint64_t after(std::chrono::nanoseconds delay, std::function<void()> action);
    /// The same at a moment: those of one moment are run one after the other, without a sleep.
    std::uint64_t at(std::chrono::steady_clock::time_point due, std::function<void()> action);
    /// Drops what has not run, waits for what is running, and takes nothing on any more.
    void stop();
    /// Drops a timer that has not begun to run. Thread: any.
    void cancel(std::uint64_t timer);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::base

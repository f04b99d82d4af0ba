#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <string_view>

#include <dockerd/base/mutex.hpp>

namespace dockerd::base {

/// How many of something there have been. Thread: any.
class Counter {
public:
    /// One more.
    void add() noexcept { value_.fetch_add(1, std::memory_order_relaxed); }
    /// How many there have been.
    [[nodiscard]] std::uint64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// How long something took, each time. Thread: any.
///
/// Source: prometheus client_golang, DefBuckets; docker/go-metrics, NewTimer.
class DurationHistogram {
public:
    static constexpr std::array<double, 11> bounds{.005, .01, .025, .05, .1, .25,
                                                   .5,   1,   2.5,  5,   10};  ///< seconds

    /// Counts one that took so long.
    void observe(std::chrono::nanoseconds took) noexcept;

    /// All of them so far.
    struct Values {
        std::array<std::uint64_t, bounds.size()> at_most{};  ///< cumulative
        std::uint64_t count = 0;
        double seconds = 0;
    };
    /// A picture of it.
    [[nodiscard]] Values values() const noexcept;

private:
    std::array<std::atomic<std::uint64_t>, bounds.size()> buckets_{};
    std::atomic<std::uint64_t> count_{0};
    std::atomic<std::int64_t> nanoseconds_{0};
};

/// One histogram for each of a few names. Thread: any.
class LabeledDurations {
public:
    /// The histogram of a name, made when it is first asked for; it lives as long as this.
    DurationHistogram& operator[](std::string_view name);
    /// All of them by name.
    [[nodiscard]] std::map<std::string, DurationHistogram::Values> values() const;

private:
    mutable Mutex mutex_;
    std::map<std::string, DurationHistogram, std::less<>> histograms_ DOCKERD_GUARDED_BY(mutex_);
};

/// Observes how long its scope took, unless an exception ends it.
class ScopeTimer {
public:
    explicit ScopeTimer(DurationHistogram& histogram) : histogram_(histogram) {}
    ScopeTimer(const ScopeTimer&) = delete;
    ScopeTimer& operator=(const ScopeTimer&) = delete;
    ~ScopeTimer() {
        if (std::uncaught_exceptions() > exceptions_) return;
        histogram_.observe(std::chrono::steady_clock::now() - begin_);
    }

private:
    DurationHistogram& histogram_;
    int exceptions_ = std::uncaught_exceptions();
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace dockerd::base

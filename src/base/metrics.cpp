#include <dockerd/base/metrics.hpp>

#include <algorithm>

namespace dockerd::base {

void DurationHistogram::observe(std::chrono::nanoseconds took) noexcept {
    const double seconds = std::chrono::duration<double>(took).count();
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        if (seconds > bounds[i]) continue;
        buckets_[i].fetch_add(1, std::memory_order_relaxed);
        break;
    }
    count_.fetch_add(1, std::memory_order_relaxed);
    nanoseconds_.fetch_add(took.count(), std::memory_order_relaxed);
}

DurationHistogram::Values DurationHistogram::values() const noexcept {
    Values out;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        sum += buckets_[i].load(std::memory_order_relaxed);
        out.at_most[i] = sum;
    }
    // Observed meanwhile in a bucket only: the count is never less than what the buckets hold.
    out.count = std::max(count_.load(std::memory_order_relaxed), sum);
    out.seconds = static_cast<double>(nanoseconds_.load(std::memory_order_relaxed)) / 1e9;
    return out;
}

DurationHistogram& LabeledDurations::operator[](std::string_view name) {
    const Lock lock(mutex_);
    const auto found = histograms_.find(name);
    return found != histograms_.end() ? found->second : histograms_[std::string(name)];
}

std::map<std::string, DurationHistogram::Values> LabeledDurations::values() const {
    const Lock lock(mutex_);
    std::map<std::string, DurationHistogram::Values> out;
    for (const auto& [name, histogram] : histograms_) out[name] = histogram.values();
    return out;
}

}  // namespace dockerd::base

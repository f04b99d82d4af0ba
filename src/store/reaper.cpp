#include "reaper.hpp"

#include <chrono>
#include <exception>

#include <dockerd/base/log.hpp>

namespace dockerd::store {
namespace {

constexpr std::chrono::seconds patience{1};

}  // namespace

Reaper::~Reaper() {
    {
        std::unique_lock lock(mutex_);
        (void)changed_.wait_for(lock, patience, [this] { return jobs_.empty() && !busy_; });
        jobs_.clear();
        abandoned_ = true;
        stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void Reaper::post(std::function<void()> job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    }
    changed_.notify_all();
}

void Reaper::settle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return jobs_.empty() && !busy_; });
}

void Reaper::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        busy_ = true;
        lock.unlock();
        try {
            // What the job holds goes here, without the lock, and before settle() returns.
            const std::function<void()> own = std::move(job);
            own();
        } catch (const std::exception& error) {
            if (!abandoned_) base::log::warn("background removal: {}", error.what());
        }
        lock.lock();
        busy_ = false;
        changed_.notify_all();
    }
}

}  // namespace dockerd::store

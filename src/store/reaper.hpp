#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace dockerd::store {

/// One thread for work nobody waits for: deleting trees, letting go of file systems.
/// It is started by the first job. What it deletes has a name by which the next start finds it: whoever
/// posts sees to that.
class Reaper {
public:
    Reaper() = default;
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;
    /// Does what is still to do, but not longer than a second: then the job that runs is told to stop,
    /// and the others are left.
    ~Reaper();

    void post(std::function<void()> job);
    /// Waits until nothing is left to do.
    void settle();
    /// Set when jobs must end: for remove_tree.
    [[nodiscard]] const std::atomic<bool>* stop() const { return &abandoned_; }

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> jobs_;
    bool busy_ = false;
    bool stop_ = false;
    std::atomic<bool> abandoned_ = false;
    std::thread thread_;
};

}  // namespace dockerd::store

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace dockerd::store {

/// One thread for work nobody waits for: deleting trees, letting go of file systems.
/// It is started by the first job.
class Reaper {
public:
    Reaper() = default;
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;
    /// Does what is still to do.
    ~Reaper();

    void post(std::function<void()> job);
    /// Waits until nothing is left to do.
    void settle();

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> jobs_;
    bool busy_ = false;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace dockerd::store

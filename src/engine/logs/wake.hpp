#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/types.hpp>

namespace dockerd::engine::logs {

/// What one follower polls: an eventfd that is readable between signal() and clear().
class Wake {
public:
    Wake();
    void signal() noexcept;
    void clear() noexcept;
    [[nodiscard]] int fd() const { return event_.get(); }

private:
    base::Fd event_;
};

/// One run of a container, as its log's followers see it. They end when it has finished.
/// Thread: any.
class Run {
public:
    /// Nothing will be written to the log any more: wakes every follower.
    void finish();
    [[nodiscard]] bool finished() const { return finished_; }

    void add(const std::shared_ptr<Wake>& wake);
    void remove(const std::shared_ptr<Wake>& wake);

private:
    base::Mutex mutex_;
    std::atomic<bool> finished_{false};
    std::vector<std::shared_ptr<Wake>> followers_;
};

/// Tells followers that something in a log's folder changed. One inotify instance and one
/// thread for all, both made with the first follower.
///
/// Where the kernel refuses a watch, followers of that folder are woken five times a second.
/// Thread: any.
class Watcher {
public:
    Watcher() = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    ~Watcher();

    /// Signals `wake` at each change of a file in `directory` until the subscription ends, which
    /// must be before the watcher does.
    [[nodiscard]] Subscription watch(const std::string& directory, std::shared_ptr<Wake> wake);

private:
    struct Watch {
        int descriptor = -1;  ///< of inotify; -1: polled
        std::shared_ptr<Wake> wake;
    };
    void start();
    void run();
    void end(const std::shared_ptr<Wake>& wake);
    void dispatch();
    int timeout();

    base::Mutex mutex_;
    base::Fd inotify_;
    base::Fd poke_;  ///< eventfd: the list or `stopping_` has changed
    std::atomic<bool> stopping_{false};
    std::vector<Watch> watches_;
    std::thread thread_;
};

}  // namespace dockerd::engine::logs

#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::engine {

/// Tells when the kernel may have killed a process of a container for memory. One thread for all
/// containers, made with the first.
/// Thread: safe. `notice` is called on the watcher's thread and must not block.
class OomWatcher {
public:
    explicit OomWatcher(std::function<void(const std::string& id)> notice)
        : notice_(std::move(notice)) {}
    OomWatcher(const OomWatcher&) = delete;
    OomWatcher& operator=(const OomWatcher&) = delete;
    ~OomWatcher();

    /// Watches a descriptor as runtime::Cgroup::open_oom_events gives it; one a container.
    void watch(const std::string& id, base::Fd events);
    void forget(const std::string& id);
    /// Gives no notice any more and watches nothing new.
    void stop();

private:
    void start_thread() DOCKERD_REQUIRES(mutex_);

    std::function<void(const std::string& id)> notice_;
    base::Mutex mutex_;
    base::Fd epoll_ DOCKERD_GUARDED_BY(mutex_);
    base::Fd stop_ DOCKERD_GUARDED_BY(mutex_);
    std::map<std::string, base::Fd> watched_ DOCKERD_GUARDED_BY(mutex_);
    bool stopped_ DOCKERD_GUARDED_BY(mutex_) = false;
    std::thread thread_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine

#include "oom_watcher.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

namespace dockerd::engine {

OomWatcher::~OomWatcher() { stop(); }

void OomWatcher::stop() {
    std::thread thread;
    {
        const base::Lock lock(mutex_);
        stopped_ = true;
        thread = std::move(thread_);
        const std::uint64_t one = 1;
        // A full counter wakes the thread as well.
        if (stop_) (void)!::write(stop_.get(), &one, sizeof one);
    }
    if (thread.joinable()) thread.join();
}

void OomWatcher::watch(const std::string& id, base::Fd events) {
    if (!events) return;
    const base::Lock lock(mutex_);
    if (stopped_) return;
    if (!epoll_) start_thread();
    (void)::fcntl(events.get(), F_SETFL, O_NONBLOCK);
    epoll_event interest{.events = EPOLLIN, .data = {.fd = events.get()}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, events.get(), &interest) != 0) {
        base::log::warn("watching for out-of-memory of {}, ignoring: {}", id,
                        base::errno_text(errno));
        return;
    }
    watched_[id] = std::move(events);
}

void OomWatcher::forget(const std::string& id) {
    const base::Lock lock(mutex_);
    // Closing takes the descriptor out of the epoll set.
    watched_.erase(id);
}

void OomWatcher::start_thread() {
    epoll_ = base::Fd(::epoll_create1(EPOLL_CLOEXEC));
    stop_ = base::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!epoll_ || !stop_) base::throw_errno(errno, "epoll_create");
    epoll_event interest{.events = EPOLLIN, .data = {.fd = stop_.get()}};
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &interest);
    thread_ = std::thread([this, epoll = epoll_.get(), stop = stop_.get()] {
        std::array<epoll_event, 16> ready{};
        while (true) {
            const int count =
                ::epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), -1);
            if (count < 0 && errno != EINTR) return;
            std::vector<std::string> ids;
            {
                const base::Lock lock(mutex_);
                for (int i = 0; i < count; ++i) {
                    const int fd = ready[static_cast<std::size_t>(i)].data.fd;
                    if (fd == stop) return;
                    for (const auto& [id, events] : watched_) {
                        if (events.get() != fd) continue;
                        std::array<char, 4096> drained{};
                        // What was read does not matter: the count in the cgroup does.
                        (void)!::read(fd, drained.data(), drained.size());
                        ids.push_back(id);
                    }
                }
            }
            for (const auto& id : ids) notice_(id);
        }
    });
}

}  // namespace dockerd::engine

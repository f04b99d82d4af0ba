#pragma once

#include <dockerd/base/fd.hpp>

#include <sys/epoll.h>
#include <time.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace dockerd::runtime::monitor {

/// Something with a descriptor that wants to hear of events on it.
class Source {
public:
    virtual ~Source() = default;
    virtual void ready(std::uint32_t events) = 0;
};

/// Milliseconds of the monotonic clock.
inline std::int64_t now_ms() {
    timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &now);  // cannot fail for this clock
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

/// epoll for one thread. Sources that are done are deleted after the round of events in which
/// they were given to bury(), so that no event reaches a deleted one.
class Loop {
public:
    Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

    void watch(int fd, std::uint32_t events, Source* source) {
        epoll_event event{events, {source}};
        (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd,
                          &event);  // EPERM: a plain file, never waits
    }
    void change(int fd, std::uint32_t events, Source* source) {
        epoll_event event{events, {source}};
        (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);  // as above
    }
    void forget(int fd) {
        (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);  // not watched: nothing to do
    }
    void bury(std::unique_ptr<Source> source) { buried_.push_back(std::move(source)); }

    /// Handles what is ready; waits `timeout` milliseconds for it, -1 for ever. False: timed out.
    bool run_once(int timeout) {
        epoll_event events[16];
        const int count = ::epoll_wait(epoll_.get(), events, 16, timeout);
        for (int i = 0; i < count; ++i) {
            auto* source = static_cast<Source*>(events[i].data.ptr);
            bool dead = false;
            for (const auto& other : buried_) dead = dead || other.get() == source;
            if (!dead) source->ready(events[i].events);
        }
        buried_.clear();
        return count != 0;
    }

private:
    base::Fd epoll_;
    std::vector<std::unique_ptr<Source>> buried_;
};

}  // namespace dockerd::runtime::monitor

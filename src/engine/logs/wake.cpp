#include "logs/wake.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <dockerd/base/error.hpp>

namespace dockerd::engine::logs {

namespace {

constexpr std::uint32_t changes = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR;
constexpr int unwatched_interval_ms = 200;
constexpr int damping_ms = 1;  // a flood of lines wakes followers this seldom

void post(int eventfd) noexcept {
    const std::uint64_t one = 1;
    // It cannot fail but for an overflow, and then it is readable anyway.
    (void)!::write(eventfd, &one, sizeof one);
}

}  // namespace

Wake::Wake() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) base::throw_errno(errno, "eventfd");
}

void Wake::signal() noexcept { post(event_.get()); }

void Wake::clear() noexcept {
    std::uint64_t count = 0;
    // EAGAIN: it was not signalled.
    (void)!::read(event_.get(), &count, sizeof count);
}

void Run::finish() {
    const base::Lock lock(mutex_);
    finished_ = true;
    for (const auto& follower : followers_) follower->signal();
}

void Run::add(const std::shared_ptr<Wake>& wake) {
    const base::Lock lock(mutex_);
    followers_.push_back(wake);
    if (finished_) wake->signal();
}

void Run::remove(const std::shared_ptr<Wake>& wake) {
    const base::Lock lock(mutex_);
    std::erase(followers_, wake);
}

Watcher::~Watcher() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    post(poke_.get());
    thread_.join();
}

Subscription Watcher::watch(const std::string& directory, std::shared_ptr<Wake> wake) {
    const base::Lock lock(mutex_);
    start();
    // The same folder gives the same descriptor: followers of one log share a watch.
    const int descriptor = ::inotify_add_watch(inotify_.get(), directory.c_str(), changes);
    watches_.push_back({descriptor, wake});
    if (descriptor < 0) post(poke_.get());  // the thread has to poll from now on
    return Subscription([this, wake = std::move(wake)] { end(wake); });
}

void Watcher::end(const std::shared_ptr<Wake>& wake) {
    const base::Lock lock(mutex_);
    const auto found = std::ranges::find(watches_, wake, &Watch::wake);
    if (found == watches_.end()) return;
    const int descriptor = found->descriptor;
    watches_.erase(found);
    if (descriptor >= 0 &&
        std::ranges::find(watches_, descriptor, &Watch::descriptor) == watches_.end()) {
        // It fails when the folder is gone, and its watch with it.
        (void)::inotify_rm_watch(inotify_.get(), descriptor);
    }
}

void Watcher::start() {
    if (thread_.joinable()) return;
    inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    poke_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!poke_) base::throw_errno(errno, "eventfd");
    thread_ = std::thread([this] { run(); });
    (void)::pthread_setname_np(thread_.native_handle(), "log-watch");
}

int Watcher::timeout() {
    const base::Lock lock(mutex_);
    const bool polled =
        std::ranges::any_of(watches_, [](const Watch& w) { return w.descriptor < 0; });
    return polled ? unwatched_interval_ms : -1;
}

void Watcher::run() {
    while (true) {
        std::array<pollfd, 2> wanted = {pollfd{poke_.get(), POLLIN, 0},
                                        pollfd{inotify_.get(), POLLIN, 0}};
        if (::poll(wanted.data(), inotify_ ? 2 : 1, timeout()) < 0 && errno != EINTR) return;
        if (stopping_) return;
        std::uint64_t count = 0;
        // EAGAIN: it was not poked.
        (void)!::read(poke_.get(), &count, sizeof count);
        dispatch();
        (void)::poll(wanted.data(), 1, damping_ms);
    }
}

void Watcher::dispatch() {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    std::vector<int> changed;
    bool all = false;
    const ssize_t size = inotify_ ? ::read(inotify_.get(), buffer.data(), buffer.size()) : 0;
    for (ssize_t at = 0; at < size;) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        at += static_cast<ssize_t>(sizeof event + event.len);
        if ((event.mask & IN_Q_OVERFLOW) != 0) all = true;
        if (changed.empty() || changed.back() != event.wd) changed.push_back(event.wd);
    }
    const base::Lock lock(mutex_);
    for (const auto& watch : watches_) {
        if (all || watch.descriptor < 0 ||
            std::ranges::find(changed, watch.descriptor) != changed.end()) {
            watch.wake->signal();
        }
    }
}

}  // namespace dockerd::engine::logs

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>

#include <dockerd/dial/connection.hpp>

namespace dockerd::dial {

Hurry::Hurry(std::chrono::milliseconds grace)
    : grace_(grace), event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) base::throw_errno(errno, "eventfd");
}

void Hurry::begin() {
    Clock::time_point not_yet = never;
    if (!since_.compare_exchange_strong(not_yet, Clock::now())) return;
    (void)::eventfd_write(event_.get(), 1);  // of a counter that was 0
}

Clock::time_point Hurry::end_of(Clock::time_point opened) const {
    const Clock::time_point since = since_;
    return since == never ? never : std::max(since, opened) + grace_;
}

}  // namespace dockerd::dial

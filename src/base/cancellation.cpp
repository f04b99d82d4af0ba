#include <dockerd/base/cancellation.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <dockerd/base/error.hpp>

namespace dockerd::base {

Cancellation::Cancellation() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) throw_errno(errno, "eventfd");
}

Cancellation::Cancellation(std::shared_ptr<Cancellation> parent) : Cancellation() {
    parent_ = std::move(parent);
    link_.emplace(parent_->token(), [this] { cancel(); });
}

void Cancellation::cancel() noexcept {
    if (!source_.request_stop()) return;
    const std::uint64_t one = 1;
    // Nobody reads it, so it cannot be full.
    (void)::write(event_.get(), &one, sizeof one);
}

void Cancellation::check() const {
    if (is_cancelled()) fail(ErrorKind::unavailable, "context canceled");
}

}  // namespace dockerd::base

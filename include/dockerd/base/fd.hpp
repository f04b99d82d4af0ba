#pragma once

#include <unistd.h>

#include <utility>

namespace dockerd::base {

/// Owns one open file descriptor and closes it on destruction.
///
/// Every descriptor is opened close-on-exec; one meant for a child is passed by number
/// over a socket, never by clearing the flag here.
class Fd {
public:
    Fd() noexcept = default;
    explicit Fd(int raw) noexcept : raw_(raw) {}

    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) reset(std::exchange(other.raw_, -1));
        return *this;
    }
    ~Fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return raw_; }
    [[nodiscard]] int release() noexcept { return std::exchange(raw_, -1); }
    explicit operator bool() const noexcept { return raw_ >= 0; }

    /// Closes the current descriptor, if any, and takes over `raw`.
    /// close(2) is not retried: on Linux the number is already free after EINTR.
    void reset(int raw = -1) noexcept {
        if (raw_ >= 0) (void)::close(raw_);
        raw_ = raw;
    }

private:
    int raw_ = -1;
};

}  // namespace dockerd::base

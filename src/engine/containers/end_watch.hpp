#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "container.hpp"

namespace dockerd::engine {

/// Hears of the next end of a container, however soon it comes after this was made.
///
/// Pre: the container's lock is held while it is made, and the container runs.
class EndWatch {
public:
    explicit EndWatch(const ContainerRef& container);
    EndWatch(const EndWatch&) = delete;
    EndWatch& operator=(const EndWatch&) = delete;
    ~EndWatch();

    /// False when `patience` ran out; no value is for ever. The lock must not be held.
    bool wait(std::optional<std::chrono::nanoseconds> patience);

private:
    struct Shared;
    ContainerRef container_;
    std::shared_ptr<Shared> shared_;
    std::uint64_t number_ = 0;
};

}  // namespace dockerd::engine

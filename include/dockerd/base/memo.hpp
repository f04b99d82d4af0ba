#pragma once

#include <optional>
#include <utility>

#include <dockerd/base/mutex.hpp>

namespace dockerd::base {

/// A value that readers derive from an immutable object once, and that is kept inside it.
///
/// It belongs to that object alone: a copy of the object starts without it.
/// Thread: any; the first one makes the value while the others wait.
template <typename T>
class Memo {
public:
    Memo() = default;
    Memo(const Memo& /*other*/) noexcept {}
    Memo& operator=(const Memo&) = delete;
    ~Memo() = default;

    /// The value, made by `make()` on the first call. Throws what `make` throws; the next call then
    /// tries again.
    template <typename Make>
    const T& get(Make&& make) const {
        const Lock lock(mutex_);
        if (!value_) value_ = std::forward<Make>(make)();
        return *value_;
    }

private:
    mutable Mutex mutex_;
    mutable std::optional<T> value_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::base

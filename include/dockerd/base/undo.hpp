#pragma once

#include <utility>

namespace dockerd::base {

/// Runs an action when the scope is left, unless dismissed: the undo of the step before it.
///
/// Pre: the action does not throw.
template <typename Action>
class Undo {
public:
    explicit Undo(Action action) : action_(std::move(action)) {}
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;
    ~Undo() {
        if (armed_) action_();
    }

    void dismiss() noexcept { armed_ = false; }

private:
    Action action_;
    bool armed_ = true;
};

}  // namespace dockerd::base

#pragma once

#include <string>

namespace dockerd::net {

/// Which families' forwarding an engine with this exec root has switched on since the machine was booted: their
/// forward policy is to be DROP, also when somebody has flushed the chain that had it, and for the
/// daemons that come after.
class ForwardDrop {
public:
    enum class State : char {
        none = '-',
        pending = '+',  ///< forwarding may be on, and the policy not there yet
        done = '=',
    };
    /// Reads what an earlier daemon noted.
    explicit ForwardDrop(const std::string& exec_root);

    [[nodiscard]] State of(bool v6) const { return v6 ? v6_ : v4_; }
    /// Notes it for the next daemon. Throws: internal, when it cannot be written.
    void set(bool v6, State state);

private:
    std::string path_;
    std::string boot_;
    State v4_ = State::none;
    State v6_ = State::none;
};

}  // namespace dockerd::net

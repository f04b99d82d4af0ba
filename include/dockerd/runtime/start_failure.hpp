#pragma once

#include <string>
#include <utility>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {

/// A container or exec that could not be started. what() has Docker's whole text, exit_code() the
/// code Docker records: 126 not executable, 127 not found, 128 anything else.
/// kind() is invalid_argument for 126 and 127, else internal.
/// Source: moby daemon/errors.go, setExitCodeFromError.
class StartFailure : public base::Error {
public:
    StartFailure(base::ErrorKind kind, const std::string& message, int errno_value,
                 std::string step, int exit_code)
        : Error(kind, message, errno_value), step_(std::move(step)), exit_code_(exit_code) {}

    /// Which part failed: "mount", "user", "exec", "cgroup", "launcher" ...
    [[nodiscard]] const std::string& step() const noexcept { return step_; }
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

private:
    std::string step_;
    int exit_code_;
};

}  // namespace dockerd::runtime

#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace dockerd::base {

/// What went wrong, in terms a client can act on. The HTTP status follows from it,
/// in api/error_response.cpp and nowhere else.
enum class ErrorKind {
    invalid_argument,   // 400
    unauthenticated,    // 401
    permission_denied,  // 403
    not_found,          // 404
    not_allowed,        // 405
    conflict,           // 409
    too_many_requests,  // 429
    internal,           // 500
    not_implemented,    // 501
    unavailable,        // 503
};

/// The one exception type that crosses a module boundary.
///
/// what() is the text a client reads in {"message": ...}: outermost context first,
/// parts joined by ": ", no trailing period or newline.
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message, int errno_value = 0)
        : std::runtime_error(message), kind_(kind), errno_(errno_value) {}

    [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
    /// The failed call's errno, or 0 when no call was involved.
    [[nodiscard]] int errno_value() const noexcept { return errno_; }

    /// The same error with "`context`: " in front; kind and errno are kept.
    [[nodiscard]] Error with_context(std::string_view context) const {
        return Error(kind_, std::string(context) + ": " + what(), errno_);
    }

private:
    ErrorKind kind_;
    int errno_;
};

/// Lower-case text for an errno value: "permission denied" for EACCES.
/// Source: docker/cli cli/command/container/run.go, toStatusError, searches for it.
std::string errno_text(int errno_value);

/// Throws Error{internal, "<what>: <errno text>", errno_value}.
[[noreturn]] void throw_errno(int errno_value, std::string_view what);

/// Throws Error{kind, message}.
[[noreturn]] void fail(ErrorKind kind, const std::string& message);

/// Runs `body`; an Error that leaves it gets `context` in front.
template <typename Body>
decltype(auto) in_context(std::string_view context, Body&& body) {
    try {
        return std::forward<Body>(body)();
    } catch (const Error& error) {
        throw error.with_context(context);
    }
}

}  // namespace dockerd::base

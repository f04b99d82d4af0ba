#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include <dockerd/base/fd.hpp>

namespace dockerd::base {

/// Tells blocking calls of other threads to end: they poll fd() beside what they wait for, or wait
/// for a condition with token().
///
/// Thread: any.
class Cancellation {
public:
    /// Throws: internal, "eventfd: <errno text>".
    Cancellation();
    /// Is cancelled with `parent`, and can be without it.
    explicit Cancellation(std::shared_ptr<Cancellation> parent);
    Cancellation(const Cancellation&) = delete;
    Cancellation& operator=(const Cancellation&) = delete;
    ~Cancellation() = default;

    /// Wakes all who wait, now and later. Does not block and never fails.
    void cancel() noexcept;
    [[nodiscard]] bool is_cancelled() const noexcept { return source_.stop_requested(); }
    /// Readable once cancelled.
    [[nodiscard]] int fd() const noexcept { return event_.get(); }
    /// For std::condition_variable_any.
    [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
    /// Throws: unavailable, "context canceled", once cancelled. Source: Go context, Canceled.
    void check() const;

private:
    Fd event_;
    std::stop_source source_;
    std::shared_ptr<Cancellation> parent_;
    std::optional<std::stop_callback<std::function<void()>>> link_;  ///< last: it uses the others
};
using CancellationPtr = std::shared_ptr<Cancellation>;

}  // namespace dockerd::base

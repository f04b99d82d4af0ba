#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/images.hpp>

namespace dockerd::engine {

/// Collects what several threads have to tell one client.
///
/// Thread: any may tell; one takes.
class ProgressBoard {
public:
    /// Throws: internal, "eventfd: <errno text>".
    ProgressBoard();

    /// A line without more: "Digest: sha256:...".
    void message(const std::string& id, const std::string& status);
    /// A step of a transfer: "Pulling fs layer".
    void action(const std::string& id, const std::string& status);
    /// How far a transfer is. What changes quickly is told ten times a second and at the end.
    /// Source: moby pkg/progress/progressreader.go.
    void bytes(const std::string& id, const std::string& status, std::int64_t current,
               std::int64_t total);
    /// Ready JSON for "aux".
    void aux(const std::string& json);
    /// Anything. Waits while the client does not read, unless the work is cancelled.
    void pass(Progress progress, const base::Cancellation& cancellation);

    /// Readable while there is something to take.
    [[nodiscard]] int fd() const { return event_.get(); }
    std::deque<Progress> take();
    /// Makes fd() readable.
    void wake() noexcept;

private:
    struct Pace {
        std::string status;
        std::int64_t told = 0;
        std::chrono::steady_clock::time_point at;
    };
    void push(Progress progress);

    base::Fd event_;
    base::Mutex mutex_;
    std::condition_variable_any room_;
    std::deque<Progress> queue_;
    std::map<std::string, Pace> paces_;
};

/// Runs `work` on a thread of its own, hands what it tells to `progress`, and cancels it when the
/// client at the other end of `connection` goes away. Throws what `work` throws.
void run_watched(int connection, const ProgressSink& progress,
                 const base::CancellationPtr& cancellation,
                 const std::function<void(ProgressBoard&)>& work);

}  // namespace dockerd::engine

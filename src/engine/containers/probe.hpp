#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/base/time.hpp>

#include "health_check.hpp"

namespace dockerd::engine {

/// One run of a health check's command. Thread: any.
class Probe {
public:
    /// `output` is the daemon's end of the pipe that the command writes to, and does not block.
    Probe(base::Fd output, std::chrono::nanoseconds patience)
        : begun(base::WallTime::now()),
          begun_mono(std::chrono::steady_clock::now()),
          timeout(patience),
          output_(std::move(output)) {}

    const base::WallTime begun;
    const std::chrono::steady_clock::time_point begun_mono;
    const std::chrono::nanoseconds timeout;
    /// Against a start or a run that takes too long.
    std::atomic<std::uint64_t> timer{0};
    /// Whether the monitor has said how the start went.
    std::atomic<bool> answered{false};
    /// Nobody waits for it any more: set before the monitor is asked to kill it.
    std::atomic<bool> given_up{false};

    /// Takes over what has been printed so far. False at the end of the output.
    bool read();
    /// Reads what is there and closes the pipe. Pre: no ProbeReader watches it.
    void finish();
    [[nodiscard]] std::string text() const;
    [[nodiscard]] int output_fd() const;

private:
    mutable base::Mutex mutex_;
    base::Fd output_ DOCKERD_GUARDED_BY(mutex_);
    ProbeOutput text_ DOCKERD_GUARDED_BY(mutex_);
};

/// Reads the output of all running probes, so that none waits in a write. One thread, made with
/// the first probe.
class ProbeReader {
public:
    ProbeReader() = default;
    ProbeReader(const ProbeReader&) = delete;
    ProbeReader& operator=(const ProbeReader&) = delete;
    ~ProbeReader();

    void watch(const std::shared_ptr<Probe>& probe);
    /// The rest is read by whoever takes the result.
    void forget(const Probe& probe);

private:
    void start_thread() DOCKERD_REQUIRES(mutex_);
    void run(int epoll);

    base::Mutex mutex_;
    base::Fd epoll_ DOCKERD_GUARDED_BY(mutex_);
    base::Fd stop_ DOCKERD_GUARDED_BY(mutex_);
    std::map<int, std::shared_ptr<Probe>> probes_ DOCKERD_GUARDED_BY(mutex_);
    std::thread thread_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine

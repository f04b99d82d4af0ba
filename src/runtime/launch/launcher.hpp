#pragma once

#include "wire/packet.hpp"

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>

#include <sys/types.h>

namespace dockerd::runtime::launch {

/// The launcher process: a program carried inside this one, run from a sealed memory file.
///
/// It is started when the first container needs it and again when it has died.
/// Thread: any.
class Launcher {
public:
    Launcher() = default;
    ~Launcher();

    /// Starts the process if there is none. Throws: internal, "start launcher: <errno text>".
    void ensure();

    /// Hands a start or a program over; a dead launcher is replaced once.
    /// Throws: internal, "launcher: <errno text>".
    void send(wire::Kind kind, const wire::Encoder& request);

    /// True when the process has died, so that what it was given last may not have been started.
    /// Waits up to 200 ms for a death that is under way.
    bool has_died();

    [[nodiscard]] pid_t pid() const;

private:
    void start() DOCKERD_REQUIRES(mutex_);
    void stop() DOCKERD_REQUIRES(mutex_);

    mutable base::Mutex mutex_;
    base::Fd socket_ DOCKERD_GUARDED_BY(mutex_);
    pid_t pid_ DOCKERD_GUARDED_BY(mutex_) = -1;
};

}  // namespace dockerd::runtime::launch

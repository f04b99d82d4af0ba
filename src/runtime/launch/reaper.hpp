#pragma once

#include "launch/connection.hpp"

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/runtime/runtime.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <thread>

namespace dockerd::runtime::launch {

/// One thread that hears what monitors say, and that sees containers end whose monitor was killed.
class Reaper {
public:
    explicit Reaper(RuntimeEvents events);
    ~Reaper();

    /// Listens to a monitor from now on. With a connection that has no socket it is the
    /// container's process that is watched.
    void add(std::shared_ptr<Connection> connection);
    /// Hears nothing more: who waits for an answer fails, as will whoever asks later.
    void stop();

private:
    struct Watched {
        std::shared_ptr<Connection> connection;
        bool by_pidfd = false;  ///< the monitor is gone
        SharedSocket prober;    ///< it is the container's prober that is heard, not its monitor
    };

    void run();
    void ready(std::uint64_t token);
    void monitor_ready(std::uint64_t token, const std::shared_ptr<Connection>& connection);
    void prober_ready(std::uint64_t token, const Watched& watched);
    void handle(const std::shared_ptr<Connection>& connection, wire::Packet& packet);
    void exec_exited(Connection& connection, const wire::ExecExited& exec);
    void add_prober(const std::shared_ptr<Connection>& connection, SharedSocket prober);
    void monitor_lost(std::uint64_t token, Connection& connection);
    void orphan_ended(std::uint64_t token, Connection& connection);
    void watch(std::uint64_t token, int fd);
    void remove(std::uint64_t token);

    RuntimeEvents events_;
    base::Fd epoll_;
    base::Fd wake_;
    base::Mutex mutex_;
    std::uint64_t next_token_ DOCKERD_GUARDED_BY(mutex_) = 1;  ///< 0 is wake_
    std::map<std::uint64_t, Watched> watched_ DOCKERD_GUARDED_BY(mutex_);
    bool stopped_ DOCKERD_GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace dockerd::runtime::launch

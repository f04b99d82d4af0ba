#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/containers.hpp>
#include <dockerd/net/networks.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/runtime.hpp>
#include <dockerd/store/container_files.hpp>

#include "logs/wake.hpp"

namespace dockerd::engine {

/// One `docker exec`, from its creation until some minutes after its end.
struct Exec {
    std::string id;
    std::string container_id;
    model::ExecCreate request;
    std::string detach_keys;  ///< bytes

    base::Mutex mutex;
    std::condition_variable_any changed;
    bool started DOCKERD_GUARDED_BY(mutex) = false;
    bool running DOCKERD_GUARDED_BY(mutex) = false;
    std::int64_t pid DOCKERD_GUARDED_BY(mutex) = 0;
    std::optional<std::int64_t> exit_code DOCKERD_GUARDED_BY(mutex);
    std::optional<base::WallTime> finished DOCKERD_GUARDED_BY(mutex);
};

/// A client waiting for a container's end.
struct Waiter {
    std::uint64_t number = 0;
    WaitCondition condition = WaitCondition::not_running;
    std::function<void(WaitResult)> done;
};

/// One container: what is on disk of it, and what holds it up while it runs.
///
/// `operation` serialises everything that changes the container; no lock is held while waiting
/// for its end. Readers take the snapshot, which never waits for an operation.
class Container {
public:
    explicit Container(store::ContainerRecord first) : id(first.id), record(std::move(first)) {}

    const std::string id;

    base::Mutex operation;
    store::ContainerRecord record DOCKERD_GUARDED_BY(operation);
    std::shared_ptr<runtime::Monitor> monitor DOCKERD_GUARDED_BY(operation);
    std::unique_ptr<net::Sandbox> sandbox DOCKERD_GUARDED_BY(operation);
    runtime::Cgroup cgroup DOCKERD_GUARDED_BY(operation);
    bool rootfs_mounted DOCKERD_GUARDED_BY(operation) = false;
    bool shm_mounted DOCKERD_GUARDED_BY(operation) = false;
    std::vector<std::string> mounted_volumes DOCKERD_GUARDED_BY(operation);
    bool removing DOCKERD_GUARDED_BY(operation) = false;
    bool removed DOCKERD_GUARDED_BY(operation) = false;
    /// A stop or kill by a client: the restart policy rests until the next start.
    bool manually_stopped DOCKERD_GUARDED_BY(operation) = false;
    /// Counts runs, so that a timer of an earlier run does nothing.
    std::uint64_t run DOCKERD_GUARDED_BY(operation) = 0;
    std::chrono::nanoseconds restart_delay DOCKERD_GUARDED_BY(operation){0};
    std::chrono::steady_clock::time_point started_mono DOCKERD_GUARDED_BY(operation);
    std::uint64_t oom_kills_seen DOCKERD_GUARDED_BY(operation) = 0;
    std::vector<std::shared_ptr<Exec>> execs DOCKERD_GUARDED_BY(operation);
    /// Attached clients that came before the start.
    std::vector<runtime::PendingAttach> pending DOCKERD_GUARDED_BY(operation);
    std::string image_reference_name DOCKERD_GUARDED_BY(operation);

    [[nodiscard]] ContainerPtr snapshot() const {
        const base::Lock lock(snapshot_mutex_);
        return snapshot_;
    }
    void set_snapshot(ContainerPtr snapshot) {
        const base::Lock lock(snapshot_mutex_);
        snapshot_.swap(snapshot);
    }

    /// Clients that were promised the next output and have not been handed over yet: a start
    /// waits for them, or what the program prints first would pass them by.
    base::Mutex arrivals_mutex;
    std::condition_variable_any arrivals_changed;
    int arriving DOCKERD_GUARDED_BY(arrivals_mutex) = 0;

    base::Mutex waiters_mutex;
    std::vector<Waiter> waiters DOCKERD_GUARDED_BY(waiters_mutex);
    std::uint64_t next_waiter DOCKERD_GUARDED_BY(waiters_mutex) = 0;
    /// Set once when the container is gone for good.
    std::optional<WaitResult> removed_result DOCKERD_GUARDED_BY(waiters_mutex);
    /// The run whose log is being written, or the last one.
    std::shared_ptr<logs::Run> log_run DOCKERD_GUARDED_BY(waiters_mutex);

private:
    mutable base::Mutex snapshot_mutex_;
    ContainerPtr snapshot_ DOCKERD_GUARDED_BY(snapshot_mutex_);
};
using ContainerRef = std::shared_ptr<Container>;

}  // namespace dockerd::engine

#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/containers.hpp>
#include <dockerd/net/networks.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/runtime.hpp>
#include <dockerd/store/container_files.hpp>

#include "health_check.hpp"
#include "logs/wake.hpp"
#include "probe.hpp"

namespace dockerd::engine {

/// One `docker exec`, from its creation until some minutes after its end.
struct Exec {
    std::string id;
    std::string container_id;
    model::ExecCreate request;
    std::string detach_keys;       ///< bytes
    std::shared_ptr<Probe> probe;  ///< of a health check; else null

    base::Mutex mutex;
    std::condition_variable_any changed;
    bool started DOCKERD_GUARDED_BY(mutex) = false;
    bool running DOCKERD_GUARDED_BY(mutex) = false;
    std::int64_t pid DOCKERD_GUARDED_BY(mutex) = 0;
    std::optional<std::int64_t> exit_code DOCKERD_GUARDED_BY(mutex);
    std::optional<base::WallTime> finished DOCKERD_GUARDED_BY(mutex);
};

/// A volume or an image's files, mounted for one run or one copy.
struct HeldMount {
    enum class Kind { volume, image };
    Kind kind = Kind::volume;
    std::string name;    ///< the volume's, or the image's layer
    std::string driver;  ///< of a volume
    std::string id;      ///< what the mount is called to the driver
};

/// The health check of a container that runs and is not paused. Guarded by the container's lock.
struct HealthWatch {
    HealthCheck check;
    std::uint64_t timer = 0;     ///< for the next probe
    std::shared_ptr<Exec> exec;  ///< the probe that runs
    std::shared_ptr<Exec> last;  ///< the latest one
    /// How each of them is run; without one it has to be asked for each time.
    std::shared_ptr<runtime::ExecPlan> plan;
};
using HealthWatchRef = std::shared_ptr<HealthWatch>;

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

    base::Mutex operation{base::Mutex::Held::for_seconds};
    store::ContainerRecord record DOCKERD_GUARDED_BY(operation);
    std::shared_ptr<runtime::Monitor> monitor DOCKERD_GUARDED_BY(operation);
    std::unique_ptr<net::Sandbox> sandbox DOCKERD_GUARDED_BY(operation);
    runtime::Cgroup cgroup DOCKERD_GUARDED_BY(operation);
    bool rootfs_mounted DOCKERD_GUARDED_BY(operation) = false;
    bool shm_mounted DOCKERD_GUARDED_BY(operation) = false;
    std::vector<HeldMount> held_mounts DOCKERD_GUARDED_BY(operation);
    bool removing DOCKERD_GUARDED_BY(operation) = false;
    bool removed DOCKERD_GUARDED_BY(operation) = false;
    /// A stop or kill by a client: the restart policy rests until the next start.
    /// record.has_been_manually_stopped is about every signal, and what the disk remembers.
    bool restart_canceled DOCKERD_GUARDED_BY(operation) = false;
    /// In the stop of a client's restart: auto-removal waits.
    bool restarted_by_hand DOCKERD_GUARDED_BY(operation) = false;
    /// Counts runs, so that a timer of an earlier run does nothing.
    std::uint64_t run DOCKERD_GUARDED_BY(operation) = 0;
    std::chrono::nanoseconds restart_delay DOCKERD_GUARDED_BY(operation){0};
    std::chrono::steady_clock::time_point started_mono DOCKERD_GUARDED_BY(operation);
    std::uint64_t oom_kills_seen DOCKERD_GUARDED_BY(operation) = 0;
    bool oom_seen DOCKERD_GUARDED_BY(operation) = false;  ///< what waits for memory, unkilled
    std::vector<std::shared_ptr<Exec>> execs DOCKERD_GUARDED_BY(operation);
    HealthWatchRef health DOCKERD_GUARDED_BY(operation);
    /// Copies of files under way (docker cp, export); each holds the root file system's mount.
    int copies DOCKERD_GUARDED_BY(operation) = 0;
    std::condition_variable_any copies_changed;
    /// Attached clients that came before the start.
    std::vector<runtime::PendingAttach> pending DOCKERD_GUARDED_BY(operation);
    std::string image_reference_name DOCKERD_GUARDED_BY(operation);

    [[nodiscard]] ContainerPtr snapshot() const {
        ContainerPtr old;
        const base::Lock lock(snapshot_mutex_);
        if (newer_health_) {
            auto next = std::make_shared<ContainerSnapshot>(*snapshot_);
            next->state.health = std::exchange(newer_health_, std::nullopt);
            old = std::exchange(snapshot_, std::move(next));
        }
        return snapshot_;
    }
    /// Publishes what a health check has found out: into the snapshot that is asked for next, for
    /// there may be many checks and nobody who asks. False, with nothing done, while the snapshot
    /// shows an exec: it may have been that check.
    bool set_health(Health newer) {
        const base::Lock lock(snapshot_mutex_);
        if (!snapshot_ || !snapshot_->exec_ids.empty()) return false;
        newer_health_ = std::move(newer);
        return true;
    }
    /// `finish` adds what others may change meanwhile; it runs between two publications.
    template <typename Finish>
    void set_snapshot(std::shared_ptr<ContainerSnapshot> next, Finish finish) {
        ContainerPtr old;
        const base::Lock lock(snapshot_mutex_);
        finish(*next);
        newer_health_.reset();
        old = std::exchange(snapshot_, std::move(next));
    }
    /// Publishes once more what stands, with one change. Needs no lock of the container's.
    template <typename Change>
    void amend_snapshot(Change change) {
        ContainerPtr old;
        const base::Lock lock(snapshot_mutex_);
        if (!snapshot_) return;
        auto next = std::make_shared<ContainerSnapshot>(*snapshot_);
        if (newer_health_) next->state.health = std::exchange(newer_health_, std::nullopt);
        change(*next);
        old = std::exchange(snapshot_, std::move(next));
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
    mutable ContainerPtr snapshot_ DOCKERD_GUARDED_BY(snapshot_mutex_);
    /// What snapshot_ does not know yet.
    mutable std::optional<Health> newer_health_ DOCKERD_GUARDED_BY(snapshot_mutex_);
};
using ContainerRef = std::shared_ptr<Container>;

}  // namespace dockerd::engine

#include <fmt/format.h>

#include <algorithm>

#include <dockerd/base/log.hpp>

#include "containers.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {
namespace {

// Source: moby restartmanager/restartmanager.go.
constexpr std::chrono::nanoseconds restart_first_delay = std::chrono::milliseconds(100);
constexpr std::chrono::nanoseconds restart_longest_delay = std::chrono::minutes(1);
constexpr std::chrono::seconds restart_reset_after{10};

}  // namespace

/// A container's program has ended and all its output is with those who get it.
void Containers::handle_exit(const std::string& id, const runtime::ExitInfo& exit) {
    const auto container = index_.find_id(id);
    if (!container) return;
    bool remove = false;
    {
        const base::Lock lock(container->operation);
        if (!container->record.state.running || !container->monitor) return;
        mark_stopped(container, exit);
        remove = container->record.host_config.auto_remove && !container->record.state.restarting &&
                 !container->restarted_by_hand && !container->removing;
    }
    if (!remove) return;
    try {
        remove_container(container, {.volumes = true, .force = true}, container->id);
    } catch (const base::Error& error) {
        base::log::error("container {}: auto-remove: {}", id, error.what());
    }
}

/// Source of the order: moby daemon/monitor.go, handleContainerExit: everything the container held
/// is free before anybody who waits for its end hears of it.
void Containers::mark_stopped(const ContainerRef& container, const runtime::ExitInfo& exit) {
    auto& record = container->record;
    end_health(*container);
    note_oom(*container);
    const bool restart = wants_restart(*container, exit.exit_code);
    if (restart) ++record.restart_count;
    auto ended = store::run_state_of(record);
    ended.state.running = restart;  // Docker shows a restarting container as running
    ended.state.restarting = restart;
    ended.state.exit_code = exit.exit_code;
    ended.state.finished_at = exit.finished_at;
    ended.state.error.clear();
    // Goes to the disk while the kernel works; nobody hears of the end before it is there. One
    // that is being removed leaves nothing to be known.
    StateWriter::Pending saved =
        container->removing ? StateWriter::Pending() : begin_save_state(record, ended);
    end_execs(container);
    release_resources(*container);
    auto health = std::move(record.state.health);
    record.state = ended.state;
    record.state.paused = false;
    record.state.pid = 0;
    record.state.health = std::move(health);
    const bool goes = container->removing || (record.host_config.auto_remove && !restart);
    if (!goes) save_relaxed(record);
    saved.wait();
    // Only now that the exit is written down; before the release, or the monitor could remove what
    // the next start makes.
    runtime::Runtime::forget(state_directory(container->id));
    const auto monitor = std::move(container->monitor);
    container->monitor.reset();
    // The release ends the streams of attached clients, which then look how the container ended.
    publish(*container);
    monitor->release();

    const auto ran = std::chrono::steady_clock::now() - container->started_mono;
    log_event(record, "die",
              {{"exitCode", std::to_string(exit.exit_code)},
               {"execDuration",
                std::to_string(std::chrono::duration_cast<std::chrono::seconds>(ran).count())}});
    // A restarting one has exited too, for those who wait for the next exit; with auto-remove
    // the waiters for removal stay.
    wake_waiters(*container, /*removed=*/false, {.exit_code = exit.exit_code, .error = {}});
    if (restart) schedule_restart(container);
}

/// Gives back what a run holds: ports, addresses, mounts, cgroup. Never throws.
void Containers::release_resources(Container& container) {
    auto& record = container.record;
    if (container.sandbox) {
        const base::ScopeTimer timer(metrics().network_actions["release"]);
        for (auto& [name, endpoint] : record.network.networks) {
            if (endpoint.settings.endpoint_id.empty()) continue;
            const auto network = parts_.networks.find(endpoint.settings.network_id);
            log_network_event(record, "disconnect", endpoint.settings.network_id,
                              network ? network->name : name, network ? network->driver : "");
            clear_operational(endpoint);
        }
        parts_.networks.close(std::move(container.sandbox));
        forget_network_state(container.id);
        record.network.ports.clear();
        record.network.sandbox_id.clear();
        record.network.sandbox_key.clear();
    }
    auto mounted = std::ranges::count(container.held_mounts, HeldMount::Kind::volume,
                                      &HeldMount::kind);
    unmount_sources(container.id, container.held_mounts);
    // A start that failed before them all tells of the others, too.
    // Source: moby container/container.go, UnmountVolumes.
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type == "volume" && mounted-- <= 0) {
            parts_.events.volume_unmounted(point.name, point.driver, container.id);
        }
    }
    release_shm(container);
    oom_watcher_.forget(container.id);
    if (container.cgroup) {
        if (!container.cgroup.remove()) {
            base::log::warn("container {}: its cgroup could not be removed", container.id);
        }
        container.cgroup = {};
    }
    if (container.rootfs_mounted) {
        container.rootfs_mounted = false;
        try {
            parts_.layers.unmount_rw(container.id);
        } catch (const base::Error& error) {
            base::log::warn("container {}: unmount, ignoring: {}", container.id, error.what());
        }
    }
}

// Source: moby restartmanager/restartmanager.go, ShouldRestart.
bool Containers::wants_restart(const Container& container, std::int64_t exit_code) const {
    const auto& record = container.record;
    const auto& policy = record.host_config.restart_policy;
    if (shutting_down_ || container.removing || container.restart_canceled) return false;
    if (policy.name == "always") return true;
    if (policy.name == "unless-stopped") return !record.has_been_manually_stopped;
    if (policy.name != "on-failure" || exit_code == 0) return false;
    return policy.maximum_retry_count == 0 || record.restart_count < policy.maximum_retry_count;
}

void Containers::schedule_restart(const ContainerRef& container) {
    const auto ran = std::chrono::steady_clock::now() - container->started_mono;
    auto& delay = container->restart_delay;
    if (ran >= restart_reset_after) delay = {};
    delay = delay.count() == 0 ? restart_first_delay : std::min(delay * 2, restart_longest_delay);
    const auto run = container->run;
    timers_.after(delay, [this, container, run] {
        lifecycle_.post([this, container, run] { restart_by_policy(container, run); });
    });
}

/// The delay is over. A start that fails is the end of it: the container stays as its last run
/// left it, with the reason in State.Error.
// Source: moby daemon/monitor.go, handleContainerExit.
void Containers::restart_by_policy(const ContainerRef& container, std::uint64_t run) {
    const base::Lock lock(container->operation);
    auto& state = container->record.state;
    if (container->run != run || !state.restarting || container->removed) return;
    if (container->restart_canceled || container->removing || shutting_down_) return;
    try {
        start_locked(container);
    } catch (const base::Error& error) {
        base::log::error("restartmanger wait error: {}", error.what());
        wake_waiters(*container, /*removed=*/false,
                     {.exit_code = state.exit_code, .error = state.error});
    }
}

/// The kernel says that memory ran out somewhere in the container.
void Containers::handle_oom(const std::string& id) {
    const auto container = index_.find_id(id);
    if (!container) return;
    const base::Lock lock(container->operation);
    if (container->record.state.running) note_oom(*container);
}

/// Publishes `oom` once for each look that finds new kills, or that processes began to wait for
/// memory because the container's are not to be killed.
void Containers::note_oom(Container& container) {
    if (!container.cgroup) return;
    const auto kills = container.cgroup.oom_kills();
    const bool waits = container.cgroup.is_out_of_memory();
    const bool is_new = kills > container.oom_kills_seen || (waits && !container.oom_seen);
    container.oom_seen = waits;
    container.oom_kills_seen = std::max(kills, container.oom_kills_seen);
    if (!is_new) return;
    container.record.state.oom_killed = true;
    publish(container);
    log_event(container.record, "oom");
}

void Containers::wake_waiters(Container& container, bool removed, const WaitResult& result) {
    std::vector<Waiter> woken;
    {
        const base::Lock lock(container.waiters_mutex);
        auto& waiters = container.waiters;
        const auto stays =
            std::stable_partition(waiters.begin(), waiters.end(), [&](const Waiter& waiter) {
                return !removed && waiter.condition == WaitCondition::removed;
            });
        woken.assign(std::make_move_iterator(stays), std::make_move_iterator(waiters.end()));
        waiters.erase(stays, waiters.end());
        if (removed) container.removed_result = result;
        if (container.log_run) container.log_run->finish();
    }
    for (const auto& waiter : woken) waiter.done(result);
}

}  // namespace dockerd::engine

#include <csignal>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "signals.hpp"

namespace dockerd::engine {
namespace {

using base::Error;
using base::ErrorKind;

// Source: moby container/container_unix.go and daemon/kill.go.
constexpr std::int64_t default_stop_timeout = 10;
constexpr std::chrono::seconds kill_patience{10};
constexpr std::chrono::seconds last_patience{2};

}  // namespace

StopOutcome Containers::stop(std::string_view reference, const StopOptions& options) {
    return stop_container(index_.get(reference), options);
}

// Source: moby daemon/stop.go, containerStop.
StopOutcome Containers::stop_container(const ContainerRef& container, const StopOptions& options) {
    int signal = SIGTERM;
    std::int64_t timeout = default_stop_timeout;
    {
        const base::Lock lock(container->operation);
        const auto& record = container->record;
        if (!record.state.running) return StopOutcome::already_stopped;
        if (!record.config.stop_signal.empty()) signal = parse_signal(record.config.stop_signal);
        timeout = record.config.stop_timeout.value_or(default_stop_timeout);
    }
    if (!options.signal.empty()) signal = parse_signal(options.signal);
    if (options.timeout) timeout = *options.timeout;

    signal_container(container, signal);
    std::optional<std::chrono::nanoseconds> patience;
    if (timeout >= 0) patience = std::chrono::seconds(timeout);
    if (!wait_stopped(container, patience)) {
        base::log::info("Container {} failed to exit within {}s of signal {} - using the force",
                        container->id, timeout, signal);
        kill_hard(container);
    }
    const base::Lock lock(container->operation);
    log_event(container->record, "stop");
    return StopOutcome::stopped;
}

/// Sends a signal, with Docker's consequences: a stop signal or kill ends the restart policy, and
/// a paused container is resumed so that it can die.
// Source: moby daemon/kill.go, killWithSignal.
void Containers::signal_container(const ContainerRef& container, int signal) {
    const base::Lock lock(container->operation);
    auto& record = container->record;
    if (!record.state.running) throw errors::not_running(container->id);
    int stop_signal = 0;
    if (!record.config.stop_signal.empty()) stop_signal = parse_signal(record.config.stop_signal);
    bool ends = true;
    if (stop_signal != 0 && signal != SIGKILL) ends = signal == stop_signal;
    if (!shutting_down_) record.has_been_manually_stopped = true;
    if (ends) container->manually_stopped = true;
    if (record.state.restarting) {
        // Between two runs: nothing to signal, the restart is called off.
        record.state.restarting = false;
        record.state.running = false;
        ++container->run;
        begin_save_state(record).wait();
        publish(*container);
        save_relaxed(record);
        wake_waiters(*container, /*removed=*/false,
                     {.exit_code = record.state.exit_code, .error = {}});
        return;
    }
    (void)container->monitor->signal(signal);
    if (ends && record.state.paused) {
        container->cgroup.thaw();
        record.state.paused = false;
        publish(*container);
    }
    log_event(record, "kill", {{"signal", std::to_string(signal)}});
}

void Containers::kill(std::string_view reference, const std::string& signal) {
    const auto container = index_.get(reference);
    const int number = signal.empty() ? SIGKILL : parse_signal(signal);
    // Source: moby daemon/kill.go, ContainerKill.
    if (number == SIGKILL) {
        kill_hard(container);
    } else {
        signal_container(container, number);
        // That it was told to end must be known even if it has not ended at a power cut.
        const base::Lock lock(container->operation);
        if (container->record.state.running) begin_save_state(container->record).wait();
    }
}

/// SIGKILL, and waits for the end; when that does not come, the whole cgroup is killed.
void Containers::kill_hard(const ContainerRef& container) {
    signal_container(container, SIGKILL);
    if (wait_stopped(container, kill_patience)) return;
    base::log::warn("Container {} failed to exit within 10s of kill - killing its cgroup",
                    container->id);
    {
        const base::Lock lock(container->operation);
        if (container->cgroup) container->cgroup.kill_all();
    }
    if (!wait_stopped(container, last_patience)) {
        base::fail(ErrorKind::internal,
                   "tried to kill container, but did not receive an exit event");
    }
}

// Source: moby daemon/restart.go, containerRestart.
void Containers::restart(std::string_view reference, const StopOptions& options) {
    const auto container = index_.get(reference);
    base::in_context(fmt::format("Cannot restart container {}", reference), [&] {
        bool auto_remove = false;
        {
            const base::Lock lock(container->operation);
            auto_remove = container->record.host_config.auto_remove;
            // The stop in the middle of a restart must not remove it.
            container->record.host_config.auto_remove = false;
        }
        const auto restore_flag = [&] {
            const base::Lock lock(container->operation);
            container->record.host_config.auto_remove = auto_remove;
        };
        try {
            if (container->snapshot()->state.running) (void)stop_container(container, options);
            restore_flag();
        } catch (...) {
            restore_flag();
            throw;
        }
        (void)start_container(container);
    });
    const base::Lock lock(container->operation);
    log_event(container->record, "restart");
}

}  // namespace dockerd::engine

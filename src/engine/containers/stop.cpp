#include <csignal>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>

#include "containers.hpp"
#include "end_watch.hpp"
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
    const auto container = index_.get(reference);
    try {
        return stop_container(container, options);
    } catch (const Error& error) {
        // Docker forgets the kind here.
        throw Error(ErrorKind::internal,
                    fmt::format("cannot stop container: {}: {}", reference, error.what()),
                    error.errno_value());
    }
}

// Source: moby daemon/stop.go, containerStop.
StopOutcome Containers::stop_container(const ContainerRef& container, const StopOptions& options) {
    int signal = SIGTERM;
    std::int64_t timeout = default_stop_timeout;
    std::optional<EndWatch> end;
    std::optional<std::chrono::nanoseconds> patience;
    {
        const base::Lock lock(container->operation);
        const auto& record = container->record;
        if (!record.state.running) return StopOutcome::already_stopped;
        if (!record.config.stop_signal.empty()) signal = parse_signal(record.config.stop_signal);
        timeout = record.config.stop_timeout.value_or(default_stop_timeout);
        if (!options.signal.empty()) signal = parse_signal(options.signal);
        if (options.timeout) timeout = *options.timeout;
        // Before the signal: else the end could be missed, and the next run be killed for it.
        end.emplace(container);
        if (timeout >= 0) patience = std::chrono::seconds(timeout);
        try {
            signal_locked(*container, signal);
        } catch (const Error& error) {
            base::log::error("Error sending stop (signal {}) to container {}: {}", signal,
                             container->id, error.what());
            if (patience) patience = last_patience;
        }
    }
    if (!end->wait(patience)) {
        base::log::info("Container {} failed to exit within {}s of signal {} - using the force",
                        container->id, timeout, signal);
        try {
            kill_hard(container);
        } catch (const Error& error) {
            // It may have ended by itself meanwhile.
            if (error.kind() != ErrorKind::conflict) throw;
        }
    }
    const base::Lock lock(container->operation);
    log_event(container->record, "stop");
    return StopOutcome::stopped;
}

/// Sends a signal, with Docker's consequences: a stop signal or kill ends the restart policy, and
/// a paused container is resumed so that it can die.
// Source: moby daemon/kill.go, killWithSignal.
void Containers::signal_locked(Container& container, int signal) {
    auto& record = container.record;
    if (!record.state.running) throw errors::not_running(container.id);
    int stop_signal = 0;
    if (!record.config.stop_signal.empty()) stop_signal = parse_signal(record.config.stop_signal);
    bool ends = true;
    if (stop_signal != 0 && signal != SIGKILL) ends = signal == stop_signal;
    if (ends) container.restart_canceled = true;
    std::optional<StateWriter::Pending> saved;  // waited for when the signal has been sent
    if (!shutting_down_ && !record.has_been_manually_stopped) {
        record.has_been_manually_stopped = true;
        // Must be known even if the end does not come before the daemon's or a power cut. After a
        // SIGKILL the end is as near as this.
        if (signal != SIGKILL) saved.emplace(begin_save_state(record));
    }
    if (record.state.restarting) {
        saved.reset();  // one write at a time
        if (ends) stop_between_runs(container);
        return;
    }
    (void)container.monitor->signal(signal);
    const bool resume = ends && record.state.paused;
    if (resume) {
        container.cgroup.thaw();
        record.state.paused = false;
        publish(container);
    }
    if (saved) saved->wait();  // a daemon that dies once the event is out must not have forgotten
    log_event(record, "kill", {{"signal", std::to_string(signal)}});
    if (resume) log_event(record, "unpause");
}

/// Nothing to signal: the restart that was due is called off.
void Containers::stop_between_runs(Container& container) {
    auto& record = container.record;
    record.state.restarting = false;
    record.state.running = false;
    ++container.run;
    begin_save_state(record).wait();
    publish(container);
    save_relaxed(record);
    wake_waiters(container, /*removed=*/false,
                 {.exit_code = record.state.exit_code, .error = record.state.error});
}

void Containers::kill(std::string_view reference, const std::string& signal) {
    // Source: moby daemon/kill.go, ContainerKill.
    const int number = signal.empty() ? SIGKILL : parse_signal(signal);
    if (!is_signal(number)) {
        base::fail(ErrorKind::invalid_argument,
                   fmt::format("the linux daemon does not support signal {}", signal));
    }
    const auto container = index_.get(reference);
    if (number == SIGKILL) {
        kill_hard(container);
        return;
    }
    const base::Lock lock(container->operation);
    signal_locked(*container, number);
}

/// SIGKILL, and waits for the end; when that does not come, the whole cgroup is killed.
void Containers::kill_hard(const ContainerRef& container) {
    std::optional<EndWatch> end;
    {
        const base::Lock lock(container->operation);
        if (!container->record.state.running) throw errors::not_running(container->id);
        end.emplace(container);
        signal_locked(*container, SIGKILL);
    }
    if (end->wait(kill_patience)) return;
    base::log::warn("Container {} failed to exit within 10s of kill - killing its cgroup",
                    container->id);
    {
        const base::Lock lock(container->operation);
        if (container->cgroup) container->cgroup.kill_all();
    }
    if (!end->wait(last_patience)) {
        base::fail(ErrorKind::internal,
                   "tried to kill container, but did not receive an exit event");
    }
}

// Source: moby daemon/restart.go, containerRestart.
void Containers::restart(std::string_view reference, const StopOptions& options) {
    const auto container = index_.get(reference);
    const auto by_hand = [&](bool on) {
        const base::Lock lock(container->operation);
        container->restarted_by_hand = on;
    };
    try {
        by_hand(true);
        base::Undo over([&] { by_hand(false); });
        (void)stop_container(container, options);
        await_arrivals(*container);
        const base::Lock lock(container->operation);
        container->restarted_by_hand = false;
        over.dismiss();
        (void)start_anew(container);
        log_event(container->record, "restart");
    } catch (const Error& error) {
        // Docker forgets the kind here.
        throw Error(ErrorKind::internal,
                    fmt::format("Cannot restart container {}: {}", reference, error.what()),
                    error.errno_value());
    }
}

}  // namespace dockerd::engine

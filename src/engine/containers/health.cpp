#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/model/go_syntax.hpp>

#include "containers.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {
namespace {

using base::Error;

// Source: moby daemon/health.go, cmdProbe.run: the time a start may take is not the probe's.
constexpr std::chrono::seconds start_patience{30};

/// When the monitor tells of a start, for most probes have ended by then.
constexpr std::chrono::milliseconds told_after{100};
/// How long after that a probe's output is looked at first: a pipe holds what any prints until then.
constexpr std::chrono::milliseconds output_delay{100};

/// Marks the execs of health checks for a later daemon, which has to end them.
constexpr std::string_view probe_prefix = "health-";

struct Output {
    base::Fd ours, theirs;
};

/// A pipe that only this end does not wait on.
Output make_output() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) base::throw_errno(errno, "pipe");
    Output out{base::Fd{ends[0]}, base::Fd{ends[1]}};
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) base::throw_errno(errno, "fcntl");
    return out;
}

model::ExecCreate request_of(const HealthCheck& check, const model::ContainerConfig& config) {
    model::ExecCreate request;
    request.cmd.assign(check.command.begin(), check.command.end());
    request.user = config.user;
    request.working_dir = config.working_dir;
    request.attach_stdout = true;
    request.attach_stderr = true;
    return request;
}

std::string start_timeout(const Exec& exec) {
    return "timed out starting health check for container " + exec.container_id;
}

/// Kills a probe, wherever it is: one whose start has yet to be asked for is not started.
void give_up(const Container& container, const Exec& probe) {
    probe.probe->given_up = true;
    if (container.monitor) container.monitor->exec_kill(std::string(probe_prefix) + probe.id);
}

std::chrono::nanoseconds age(const Container& container,
                             std::chrono::steady_clock::time_point when) {
    return when - container.started_mono;
}

}  // namespace

bool Containers::is_probe(std::string_view monitor_exec_id) {
    return monitor_exec_id.starts_with(probe_prefix);
}

std::string_view Containers::engine_exec_id(std::string_view monitor_exec_id) {
    if (is_probe(monitor_exec_id)) monitor_exec_id.remove_prefix(probe_prefix.size());
    return monitor_exec_id;
}

/// A run begins, or another daemon's is taken over: what was known of its health counts no more.
// Source: moby daemon/health.go, initHealthMonitor: the log of earlier runs stays.
void Containers::begin_health(const ContainerRef& container) {
    auto& record = container->record;
    if (!health_check_of(record.config)) return;
    end_health(*container);
    if (!record.state.health) record.state.health.emplace();
    record.state.health->status = "starting";
    record.state.health->failing_streak = 0;
    resume_health(container);
}

/// Probes from now on, unless that is done already. The status stays as it is.
void Containers::resume_health(const ContainerRef& container) {
    if (container->health || !container->record.state.health) return;
    auto check = health_check_of(container->record.config);
    if (!check) return;
    container->health = std::make_shared<HealthWatch>();
    container->health->check = std::move(*check);
    schedule_probe(container);
}

/// No more probes; one that runs is killed. The container then counts as unhealthy.
// Source: moby container/health.go, CloseMonitorChannel.
void Containers::end_health(Container& container) {
    const auto watch = std::exchange(container.health, nullptr);
    if (!watch) return;
    timers_.cancel(watch->timer);
    if (watch->exec) give_up(container, *watch->exec);
    container.record.state.health->status = "unhealthy";
}

/// Runs `job` with the container's lock: at once when the lock is free, else on the pool. So the
/// threads of the runtime and of the timers need not hand over what takes microseconds, and never
/// wait.
template <typename Job>
void Containers::with_lock_soon(const ContainerRef& container, Job job) {
    if (container->operation.try_lock()) {
        const std::lock_guard lock(container->operation, std::adopt_lock);
        job();
        return;
    }
    probes_.post([container, job = std::move(job)] {
        const base::Lock lock(container->operation);
        job();
    });
}

void Containers::schedule_probe(const ContainerRef& container) {
    auto& watch = *container->health;
    const auto now = std::chrono::steady_clock::now();
    const auto delay = until_next_probe(watch.check, age(*container, now),
                                        container->record.state.health->status);
    const auto due = time_of_probe(now, delay);
    watch.timer = timers_.at(due, [this, container, expected = container->health] {
        with_lock_soon(container, [this, container, expected] {
            try {
                run_probe(container, expected);
            } catch (const Error& error) {
                base::log::warn("Health check for container {} error: {}", container->id,
                                error.what());
                if (container->health == expected) schedule_probe(container);
            }
        });
    });
}

/// The plan is that of the probe before, for as long as nobody else has that and no link can change
/// what is in it.
std::shared_ptr<runtime::ExecPlan> Containers::plan_probe(const Container& container,
                                                          const Exec& exec) {
    auto& plan = container.health->plan;
    if (!plan || !linked_environment(container.record).empty()) {
        plan = std::make_shared<runtime::ExecPlan>(plan_exec(container, exec));
    }
    plan->id = std::string(probe_prefix) + exec.id;
    return plan;
}

void Containers::run_probe(const ContainerRef& container, const HealthWatchRef& watch) {
    if (container->health != watch || !container->monitor || shutting_down_) return;
    metrics().health_checks.add();
    auto output = make_output();
    const auto exec = std::make_shared<Exec>();
    exec->id = base::random_id();
    exec->container_id = container->id;
    exec->request = request_of(watch->check, container->record.config);
    exec->probe = std::make_shared<Probe>(std::move(output.ours), watch->check.timeout);
    {
        const base::Lock other(exec->mutex);
        exec->started = true;
        exec->running = true;
    }
    const auto before = std::exchange(watch->last, exec);
    watch->exec = exec;
    {
        // Of those that ended only the last one can be inspected: there is one every interval.
        const base::Lock map(execs_mutex_);
        if (before) execs_.erase(before->id);
        execs_.emplace(exec->id, exec);
    }
    container->execs.push_back(exec);  // shown when it takes longer than a look at it
    log_exec_event(container->record, "exec_create", *exec);
    log_exec_event(container->record, "exec_start", *exec);
    if (before && !before->probe->answered) {
        // The monitor does not answer: another request would only fill its socket.
        probes_.post(
            [this, container, exec] { fail_probe(container, exec, start_timeout(*exec)); });
        return;
    }
    // Of a probe with less time than that nobody tells that it has started: its start counts, too.
    const bool brief = exec->probe->timeout < told_after;
    const auto patience = brief ? exec->probe->timeout : std::chrono::nanoseconds(start_patience);
    exec->probe->timer = timers_.after(patience, [this, container, exec, brief] {
        probes_.post([this, container, exec, brief] {
            if (brief) return time_out_probe(container, exec);
            fail_probe(container, exec, start_timeout(*exec));
        });
    });
    try {
        const auto plan = plan_probe(*container, *exec);
        const auto started = [this, container, exec](const runtime::ExecStarted& how) {
            probe_started(container, exec, how);
        };
        if (container->monitor->try_exec_begin(*plan, output.theirs, started)) return;
        watch->plan = nullptr;
        probes_.post([monitor = container->monitor, started, probe = exec->probe, plan,
                      pipe = std::make_shared<base::Fd>(std::move(output.theirs))] {
            if (probe->given_up) {
                started({.pid = 0, .error = "given up before its start", .exit_code = 137});
                return;
            }
            monitor->exec_begin(*plan, std::move(*pipe), started);
            // The kill may have come before the monitor knew of it.
            if (probe->given_up) monitor->exec_kill(plan->id);
        });
    } catch (const Error& error) {
        probe_started(container, exec, {.pid = 0, .error = error.what(), .exit_code = 126});
    }
}

/// Thread: the runtime's, or one that holds the container's lock.
void Containers::probe_started(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                               const runtime::ExecStarted& started) {
    exec->probe->answered = true;
    timers_.cancel(exec->probe->timer);
    if (started.pid == 0) {
        exec_ended(container, exec, started.exit_code, /*ran=*/false);
        probes_.post([this, container, exec, reason = started.error] {
            fail_probe(container, exec, reason);
        });
        return;
    }
    metrics().health_check_start.observe(std::chrono::steady_clock::now() -
                                         exec->probe->begun_mono);
    probes_.post([this, container] {
        const base::Lock lock(container->operation);
        if (!container->removed) publish(*container, Changed::state);
    });
    const base::Lock lock(exec->mutex);
    if (exec->exit_code) return;
    exec->pid = started.pid;
    exec->changed.notify_all();
    // First a look whether it has ended soon, as most do; then the rest of its time.
    const auto left = std::max(exec->probe->timeout - told_after, std::chrono::nanoseconds(0));
    const auto soon = std::min<std::chrono::nanoseconds>(left, output_delay);
    exec->probe->timer = timers_.after(soon, [this, container, exec, rest = left - soon] {
        watch_probe(container, exec, rest);
    });
}

/// The probe takes its time: what it prints is read from now on.
void Containers::watch_probe(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                             std::chrono::nanoseconds rest) {
    const base::Lock lock(exec->mutex);
    if (exec->exit_code) return;
    const auto time_out = [this, container, exec] {
        probes_.post([this, container, exec] { time_out_probe(container, exec); });
    };
    probe_reader_.watch(exec->probe);
    exec->probe->timer = timers_.after(rest, time_out);
}

void Containers::time_out_probe(const ContainerRef& container, const std::shared_ptr<Exec>& exec) {
    const base::Lock lock(container->operation);
    if (!container->health || container->health->exec != exec) return;
    base::log::debug("Health check for container {} taking too long", container->id);
    // Killed before anyone hears of it: the next probe finds the container without this one.
    give_up(*container, *exec);
    (void)exec->probe->read();
    take_probe_result(container, *exec, -1,
                      probe_timeout_text(container->health->check, exec->probe->text()));
}

/// A probe that could not be run counts as failed, with the reason as its output.
void Containers::fail_probe(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                            const std::string& reason) {
    const base::Lock lock(container->operation);
    if (!container->health || container->health->exec != exec) return;
    metrics().health_checks_failed.add();
    base::log::warn("Health check for container {} error: {}", container->id, reason);
    give_up(*container, *exec);
    take_probe_result(container, *exec, -1, model::replace_invalid_utf8(reason));
}

/// Thread: the runtime's.
void Containers::probe_exited(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                              int code) {
    {
        const base::Lock lock(exec->mutex);
        if (exec->exit_code) return;
        exec->running = false;
        exec->exit_code = code;
        exec->finished = base::WallTime::now();
        exec->changed.notify_all();
    }
    exec->probe->answered = true;
    timers_.cancel(exec->probe->timer);
    probe_reader_.forget(*exec->probe);
    exec->probe->finish();
    with_lock_soon(container, [this, container, exec, code] {
        std::erase(container->execs, exec);
        if (container->removed) return;
        log_event(container->record, "exec_die",
                  {{"execID", exec->id}, {"exitCode", std::to_string(code)}});
        if (container->health && container->health->exec == exec) {
            take_probe_result(container, *exec, code, exec->probe->text());
        } else {
            publish(*container, Changed::state);
        }
    });
}

void Containers::take_probe_result(const ContainerRef& container, const Exec& exec,
                                   std::int64_t code, std::string output) {
    auto& watch = *container->health;
    watch.exec = nullptr;
    auto& health = *container->record.state.health;
    store::HealthResult result{.start = exec.probe->begun,
                               .end = base::WallTime::now(),
                               .exit_code = code,
                               .output = std::move(output)};
    const bool changed = take_health_result(
        health, watch.check, age(*container, exec.probe->begun_mono), std::move(result));
    // Not written to the disk: as with Docker the next change of state does that.
    publish_health(*container);
    if (changed) log_event(container->record, "health_status: " + health.status);
    schedule_probe(container);
}

}  // namespace dockerd::engine

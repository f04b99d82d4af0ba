#include <fmt/format.h>

#include <chrono>
#include <condition_variable>

#include <dockerd/base/worker_pool.hpp>

#include "containers.hpp"
#include "errors.hpp"

namespace dockerd::engine {
namespace {

/// A start takes milliseconds; one that hangs does not keep a container from being paused.
constexpr std::chrono::seconds start_patience{2};

/// Waits for execs that are being started: frozen before it is there, a process would keep those
/// who wait for it until somebody resumes the container. Pre: the container's lock is held.
void await_exec_starts(const std::vector<std::shared_ptr<Exec>>& execs) {
    const auto deadline = std::chrono::steady_clock::now() + start_patience;
    for (const auto& exec : execs) {
        if (exec->probe) continue;  // nobody waits for the start of a probe
        base::Lock lock(exec->mutex);
        while (exec->started && exec->pid == 0 && !exec->exit_code) {
            const base::LongWait wait;
            if (exec->changed.wait_until(lock, deadline) == std::cv_status::timeout) return;
        }
    }
}

}  // namespace

void Containers::pause(std::string_view reference) { pause_container(index_.get(reference)); }

void Containers::unpause(std::string_view reference) { unpause_container(index_.get(reference)); }

// Source: moby daemon/pause.go, containerPause.
void Containers::pause_container(const ContainerRef& container) {
    const base::Lock lock(container->operation);
    auto& state = container->record.state;
    if (!state.running) throw errors::not_running(container->id);
    if (state.paused) throw errors::already_paused(container->id);
    if (state.restarting) throw errors::is_restarting(container->id);
    await_exec_starts(container->execs);
    base::in_context(fmt::format("cannot pause container {}", container->id),
                     [&] { container->cgroup.freeze(); });
    state.paused = true;
    end_health(*container);
    publish(*container);
    save_relaxed(container->record);
    log_event(container->record, "pause");
}

// Source: moby daemon/unpause.go, containerUnpause.
void Containers::unpause_container(const ContainerRef& container) {
    const base::Lock lock(container->operation);
    auto& state = container->record.state;
    if (!state.paused) throw errors::not_paused(container->id);
    base::in_context(fmt::format("cannot unpause container {}", container->id),
                     [&] { container->cgroup.thaw(); });
    state.paused = false;
    resume_health(container);
    publish(*container);
    save_relaxed(container->record);
    log_event(container->record, "unpause");
}

}  // namespace dockerd::engine

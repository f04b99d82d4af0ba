#include <fmt/format.h>

#include "containers.hpp"
#include "errors.hpp"

namespace dockerd::engine {

void Containers::pause(std::string_view reference) { pause_container(index_.get(reference)); }

void Containers::unpause(std::string_view reference) { unpause_container(index_.get(reference)); }

// Source: moby daemon/pause.go, containerPause.
void Containers::pause_container(const ContainerRef& container) {
    const base::Lock lock(container->operation);
    auto& state = container->record.state;
    if (!state.running) throw errors::not_running(container->id);
    if (state.paused) throw errors::already_paused(container->id);
    if (state.restarting) throw errors::is_restarting(container->id);
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

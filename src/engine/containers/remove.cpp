#include <dockerd/base/log.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "prune_filter.hpp"

namespace dockerd::engine {

using base::Error;
using base::ErrorKind;

void Containers::remove(std::string_view reference, const RemoveOptions& options) {
    const auto container = index_.get(reference);
    if (options.link) {
        base::fail(ErrorKind::invalid_argument,
                   "conflict: links cannot be removed by themselves: the default bridge's links "
                   "end with their container");
    }
    {
        const base::Lock lock(container->operation);
        if (container->removed) throw errors::no_such_container(reference);
        if (container->removing) throw errors::removal_in_progress(reference);
    }
    remove_container(container, options);
}

/// Removes a container, killing it first when forced. One remover wins; others get 409.
// Source: moby daemon/delete.go, cleanupContainer.
void Containers::remove_container(const ContainerRef& container, const RemoveOptions& options) {
    bool kill = false;
    {
        const base::Lock lock(container->operation);
        if (container->removed) throw errors::no_such_container(container->id);
        if (container->removing) throw errors::removal_in_progress(container->id);
        const auto& state = container->record.state;
        if (state.running && !options.force) {
            const std::string name = container->record.name.substr(1);
            if (state.paused) {
                throw errors::cannot_remove(name, "paused",
                                            "unpause and then stop the container before removing "
                                            "or force remove");
            }
            throw errors::cannot_remove(name, state.restarting ? "restarting" : "running",
                                        "stop the container before removing or force remove");
        }
        container->removing = true;
        kill = state.running;
        publish(*container);
    }
    try {
        if (kill) {
            try {
                kill_hard(container);
            } catch (const Error& error) {
                // It may have ended by itself meanwhile.
                if (error.kind() != ErrorKind::conflict) throw;
            }
        }
        const base::Lock lock(container->operation);
        remove_locked(container, options.volumes);
    } catch (const Error& error) {
        const base::Lock lock(container->operation);
        container->removing = false;
        container->record.state.dead = !container->record.state.running;
        if (!container->removed) begin_save_state(container->record).wait();
        publish(*container);
        throw Error(error.kind(),
                    "container " + container->id +
                        ": driver \"overlay2\" failed to remove root "
                        "filesystem: " +
                        error.what(),
                    error.errno_value());
    }
}

void Containers::remove_locked(const ContainerRef& container, bool volumes) {
    auto& record = container->record;
    record.state.dead = true;
    // The layer first: the flush of the files' removal makes both durable.
    if (parts_.layers.has_rw(container->id)) (void)parts_.layers.remove_rw(container->id);
    parts_.files.remove(container->id);
    container->removed = true;
    index_.remove(container->id);
    index_.release_name(record.name.substr(1), container->id);
    {
        const base::Lock lock(execs_mutex_);
        std::erase_if(execs_,
                      [&](const auto& item) { return item.second->container_id == container->id; });
    }
    release_volumes(record, volumes);
    container->pending.clear();
    record.state.running = false;
    publish(*container);
    log_event(record, "destroy");
    wake_waiters(*container, /*removed=*/true, {.exit_code = record.state.exit_code, .error = {}});
}

// Source: moby daemon/prune.go, ContainersPrune.
ContainerService::PruneResult Containers::prune(const model::Filters& filters) {
    filters.validate({"label", "label!", "until"});
    if (pruning_.exchange(true)) {
        base::fail(ErrorKind::conflict, "a prune operation is already running");
    }
    PruneResult result;
    try {
        const auto until = prune_until(filters);
        for (const auto& container : index_.all()) {
            const auto snapshot = container->snapshot();
            if (snapshot->state.running) continue;
            if (until && snapshot->created > *until) continue;
            if (!filters.match_labels("label", snapshot->config.labels)) continue;
            if (filters.contains("label!") &&
                filters.match_labels("label!", snapshot->config.labels)) {
                continue;
            }
            std::int64_t size = 0;
            try {
                size = parts_.layers.rw_size(container->id);
                remove_container(container, {.volumes = false, .force = false});
            } catch (const Error& error) {
                base::log::warn("failed to prune container {}: {}", container->id, error.what());
                continue;
            }
            result.space_reclaimed += size;
            result.deleted.push_back(container->id);
        }
    } catch (...) {
        pruning_ = false;
        throw;
    }
    pruning_ = false;
    parts_.events.pruned("container", result.space_reclaimed);
    return result;
}

}  // namespace dockerd::engine

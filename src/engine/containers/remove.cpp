#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "metrics/metrics.hpp"
#include "prune_filter.hpp"

namespace dockerd::engine {

using base::Error;
using base::ErrorKind;

void Containers::remove(std::string_view reference, const RemoveOptions& options) {
    const auto container = index_.get(reference);
    if (options.link) {
        remove_link(reference);
        return;
    }
    const base::ScopeTimer timer(metrics().container_actions["delete"]);
    remove_container(container, options, reference);
}

/// Removes a container, killing it first when forced. One remover wins; others get 409.
// Source: moby daemon/delete.go, cleanupContainer.
void Containers::remove_container(const ContainerRef& container, const RemoveOptions& options,
                                  std::string_view reference) {
    bool kill = false;
    {
        const base::Lock lock(container->operation);
        if (container->removing && !container->removed) {
            throw errors::removal_in_progress(reference);
        }
        // Somebody else was quicker: what was asked for is so.
        if (container->removed) return;
        const auto& state = container->record.state;
        if (state.running && !options.force) {
            throw errors::cannot_remove(reference,
                                        status_name(container->snapshot()->state.status));
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
                if (error.kind() != ErrorKind::conflict) {
                    throw error.with_context("could not kill container");
                }
            }
        }
        base::Lock lock(container->operation);
        await_copies(*container, lock);
        remove_locked(container, options.volumes);
    } catch (const Error& error) {
        const base::Lock lock(container->operation);
        auto& state = container->record.state;
        container->removing = false;
        state.dead = !state.running;
        state.error = error.what();
        if (!container->removed) begin_save_state(container->record).wait();
        publish(*container);
        // Who waits for the removal hears that it failed.
        // Source: moby container/state.go, SetRemovalError.
        if (state.dead) {
            wake_waiters(*container, /*removed=*/true,
                         {.exit_code = state.exit_code, .error = state.error});
        }
        throw error.with_context(fmt::format("cannot remove container {}", base::quote(reference)));
    }
}

void Containers::remove_locked(const ContainerRef& container, bool volumes) {
    auto& record = container->record;
    record.state.dead = true;
    // The layer first: the flush of the files' removal makes both durable.
    base::in_context(
        fmt::format("container {}: driver \"overlay2\" failed to remove root filesystem",
                    container->id),
        [&] {
            if (parts_.layers.has_rw(container->id)) (void)parts_.layers.remove_rw(container->id);
            remove_image_layers(record);
        });
    parts_.files.remove(container->id,
                        record.of_step ? store::Flush::later : store::Flush::now);
    container->removed = true;
    release_links(container->id);
    for (const auto& link : links_.parents(container->id)) {
        index_.release_name(link.name.substr(1), container->id);
    }
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
            if (!filters.match_labels("label", snapshot->config->labels)) continue;
            if (filters.contains("label!") &&
                filters.match_labels("label!", snapshot->config->labels)) {
                continue;
            }
            std::int64_t size = 0;
            try {
                size = parts_.layers.rw_size(container->id);
                remove_container(container, {.volumes = false, .force = false}, container->id);
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

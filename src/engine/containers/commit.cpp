#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/store/commit.hpp>

#include "containers.hpp"
#include "image_config.hpp"
#include "images/changes.hpp"
#include "images/images.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {
namespace {

void refuse_going(const Container& container, const ContainerState& state) {
    // Source: moby daemon/commit.go, CreateImageFromContainer.
    if (state.dead) {
        base::fail(base::ErrorKind::conflict,
                   fmt::format("You cannot commit container {} which is Dead", container.id));
    }
    if (state.removing) {
        base::fail(
            base::ErrorKind::conflict,
            fmt::format("You cannot commit container {} which is being removed", container.id));
    }
}

}  // namespace

std::string Containers::commit(std::string_view reference, const CommitOptions& options) {
    const base::ScopeTimer timer(metrics().container_actions["commit"]);
    const auto name = repository_and_tag(options.repository, options.tag);
    const auto container = index_.get(reference);
    const auto state = container->snapshot()->state;
    refuse_going(*container, state);
    // A container that cannot be paused, for it does not run, is committed as well; one that
    // ended or was woken meanwhile needs no waking.
    const auto ignoring = [&](void (Containers::*step)(const ContainerRef&)) noexcept {
        try {
            (this->*step)(container);
        } catch (const std::exception& error) {
            base::log::debug("commit {}: {}", container->id, error.what());
        }
    };
    const bool pauses = options.pause && !state.paused;
    // For a daemon that comes after this one: it wakes what is held by a commit of the dead.
    const std::string mark = commit_mark(container->id);
    if (pauses) {
        (void)base::Fd{::open(mark.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        ignoring(&Containers::pause_container);
    }
    const std::shared_ptr<void> wakes(nullptr, [&](void*) {
        if (!pauses) return;
        ignoring(&Containers::unpause_container);
        (void)::unlink(mark.c_str());  // it could not be made
    });

    const std::string id = commit_files(*container, options);
    if (name) tag_image(parts_.images, parts_.events, id, *name);
    const base::Lock lock(container->operation);
    log_event(container->record, "commit",
              {{"comment", options.comment},
               {"imageID", id},
               {"imageRef", name ? name->familiar() : std::string()}});
    return id;
}

std::string Containers::commit_mark(const std::string& id) const {
    return options_.exec_root + "/commits/" + id;
}

/// The container's files and configuration as a new image without a name.
std::string Containers::commit_files(const Container& container, const CommitOptions& options) {
    const auto now = container.snapshot();
    store::CommitRequest request;
    request.container_id = container.id;
    request.parent = now->image_id;
    request.author = options.author;
    request.comment = options.comment;
    request.os = now->platform;
    request.docker_version = docker_version;
    request.container_config = *now->config;
    request.config = options.config.value_or(*now->config);
    apply_changes(request.config, options.changes);
    merge_image_config(request.config, *now->config);
    std::string id = store::commit_image(parts_.images, request);
    log_image_event(parts_.images, parts_.events, "create", id, id);
    return id;
}

}  // namespace dockerd::engine

#include <dockerd/base/id.hpp>
#include <dockerd/store/commit.hpp>

#include "build/stage_run.hpp"
#include "containers/image_config.hpp"

namespace dockerd::engine::builds {

/// What the container of a step is said to have been made with.
// Source: moby daemon/create.go, newContainer and mergeAndVerifyConfig.
model::ContainerConfig StageRun::container_config(const StageState& stage,
                                                  const model::ContainerConfig& config,
                                                  const std::string& container_id) const {
    model::ContainerConfig out = config;
    if (out.hostname.empty()) out.hostname = base::short_id(container_id);
    const auto image = stage.image_id.empty() ? nullptr : parts_.store.get_by_id(stage.image_id);
    if (image && image->config->config) merge_image_config(out, *image->config->config);
    return out;
}

/// Makes the stage's next image. `container_id` is empty for a step without a container.
void StageRun::commit(StageState& stage, const model::ContainerConfig& config,
                      const std::string& container_id, std::optional<store::StagedLayer> layer) {
    const Platform platform = platform_of(stage);
    store::CommitRequest request;
    request.container_id = container_id;
    request.parent = stage.image_id;
    request.author = stage.state.author;
    request.os = stage.os;
    request.architecture = container_id.empty() ? platform.architecture : std::string();
    request.variant = container_id.empty() ? platform.variant : std::string();
    request.docker_version = docker_version;
    request.container_config = config;
    request.config = stage.state.config;
    request.flush = store::Flush::later;
    stage.image_id = store::commit_layer(parts_.store, request, std::move(layer));
    if (container_id.empty()) return;
    log_image_event(parts_.store, parts_.events, "create", stage.image_id, stage.image_id);
}

}  // namespace dockerd::engine::builds

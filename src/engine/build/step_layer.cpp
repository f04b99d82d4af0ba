#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/store/commit.hpp>

#include "build/build_run.hpp"
#include "containers/image_config.hpp"

namespace dockerd::engine::builds {

WorkLayer::WorkLayer(store::Layers& layers, const std::string& parent_chain)
    : layers_(layers), id_(base::random_id()) {
    layers_.create_rw(id_, parent_chain, {.init_layer = false});
    try {
        tree_ = layers_.mount_rw(id_).tree;
        mounted_ = true;
        // What an image brings must not be opened as a device.
        mount_attr attributes{};
        attributes.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        if (::mount_setattr(tree_.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
            base::throw_errno(errno, "mount_setattr");
        }
    } catch (...) {
        unmount();
        (void)layers_.remove_rw(id_);
        throw;
    }
}

void WorkLayer::unmount() noexcept {
    tree_.reset();
    if (!mounted_) return;
    mounted_ = false;
    try {
        layers_.unmount_rw(id_);
    } catch (const base::Error& error) {
        base::log::warn("unmount layer {}: {}", id_, error.what());
    }
}

WorkLayer::~WorkLayer() {
    unmount();
    try {
        (void)layers_.remove_rw(id_);
    } catch (const base::Error& error) {
        base::log::warn("remove layer {}: {}", id_, error.what());
    }
}

store::StagedLayer WorkLayer::stage() {
    unmount();
    return layers_.stage_rw(id_);
}

/// What the container of a step is said to have been made with.
// Source: moby daemon/create.go, newContainer and mergeAndVerifyConfig.
model::ContainerConfig BuildRun::container_config(const StageState& stage,
                                                  const model::ContainerConfig& config,
                                                  const std::string& container_id) const {
    model::ContainerConfig out = config;
    if (out.hostname.empty()) out.hostname = base::short_id(container_id);
    const auto image = stage.image_id.empty() ? nullptr : parts_.store.get_by_id(stage.image_id);
    if (image && image->config->config) merge_image_config(out, *image->config->config);
    return out;
}

/// Makes the stage's next image. `container_id` is empty for a step without a container.
void BuildRun::commit(StageState& stage, const model::ContainerConfig& config,
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
    stage.image_id = store::commit_layer(parts_.store, request, std::move(layer));
    if (container_id.empty()) return;
    log_image_event(parts_.store, parts_.events, "create", stage.image_id, stage.image_id);
}

}  // namespace dockerd::engine::builds

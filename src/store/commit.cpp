#include <dockerd/store/commit.hpp>

#include <utility>

#include <dockerd/base/strings.hpp>

namespace dockerd::store {
namespace {

/// The image a container was made from, its layers held.
struct Parent {
    ImagePtr image;
    std::optional<LayerHold> hold;
};

Parent find_parent(Images& images, const std::string& id) {
    Parent out;
    if (id.empty()) return out;
    out.image = images.get_by_id(id);
    if (!out.image->chain_id.empty()) {
        (void)images.layers().acquire(out.image->chain_id);
        out.hold.emplace(images.layers(), out.image->chain_id);
    }
    return out;
}

/// What a child takes over from its parent.
ImageConfig child_of(const ImageConfig& parent) {
    ImageConfig out;
    out.architecture = parent.architecture.empty() ? native_architecture() : parent.architecture;
    out.variant = parent.variant;
    out.os_version = parent.os_version;
    out.os_features = parent.os_features;
    out.diff_ids = parent.diff_ids;
    out.history = parent.history;
    return out;
}

}  // namespace

std::string commit_image(Images& images, const CommitRequest& request) {
    return commit_layer(images, request, images.layers().stage_rw(request.container_id));
}

std::string commit_layer(Images& images, const CommitRequest& request,
                         std::optional<StagedLayer> staged) {
    const Parent parent = find_parent(images, request.parent);
    const std::string diff_id = staged ? staged->diff_id() : std::string(empty_diff_id);
    const bool empty = diff_id == empty_diff_id;
    std::optional<LayerHold> hold;
    if (!empty) {
        const std::string below = parent.image ? parent.image->chain_id : std::string();
        const LayerInfo layer = images.layers().commit(std::move(*staged), below, request.flush);
        hold.emplace(images.layers(), layer.chain_id);
    }
    ImageConfig config = child_of(parent.image ? *parent.image->config : ImageConfig{});
    if (!parent.image && !request.architecture.empty()) {
        config.architecture = request.architecture;
        config.variant = request.variant;
    }
    config.created = base::WallTime::now();
    config.author = request.author;
    config.os = request.os;
    config.docker_version = request.docker_version;
    config.container = request.container_id;
    config.config = request.config;
    config.container_config = request.container_config;
    if (!empty) config.diff_ids.push_back(diff_id);
    config.history.push_back({.created = config.created,
                              .created_by = base::join(request.container_config.cmd, " "),
                              .author = request.author,
                              .comment = request.comment,
                              .empty_layer = empty});
    return images.create(encode_image_config(config),
                         {.parent = request.parent, .built_locally = true, .flush = request.flush});
}

}  // namespace dockerd::store

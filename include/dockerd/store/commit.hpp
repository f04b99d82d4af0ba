#pragma once

#include <optional>
#include <string>

#include <dockerd/model/container.hpp>
#include <dockerd/store/images.hpp>
#include <dockerd/store/layers.hpp>

namespace dockerd::store {

/// What is to become an image of its own.
struct CommitRequest {
    std::string container_id;
    std::string parent;  ///< id of the container's image, or empty
    std::string author;
    std::string comment;
    std::string os;
    std::string docker_version;
    /// Of an image without a parent; empty: this machine's.
    std::string architecture;
    std::string variant;
    model::ContainerConfig config;            ///< the new image's
    model::ContainerConfig container_config;  ///< the container's
    Flush flush = Flush::now;                 ///< of the image and its layer
};

/// Makes an image of what a container changed on top of its image; returns its id. Without
/// changes the image has no layer of its own. Durable on return, if `flush` says so; on failure nothing stays.
///
/// Throws: not_found, as Images::get_by_id, when the container's image is gone; internal, "max
///         depth exceeded".
/// Source: moby daemon/images/image_commit.go, CommitImage; image/image.go, NewChildImage.
std::string commit_image(Images& images, const CommitRequest& request);

/// The same with a layer that was staged before, or with none.
std::string commit_layer(Images& images, const CommitRequest& request,
                         std::optional<StagedLayer> staged);

}  // namespace dockerd::store

#pragma once

#include <dockerd/model/container.hpp>

namespace dockerd::engine {

/// Fills what the request left open from the image's configuration.
/// Source: moby daemon/commit.go, merge.
void merge_image_config(model::ContainerConfig& config, const model::ContainerConfig& image);

}  // namespace dockerd::engine

#pragma once

#include <cstdint>
#include <string>

#include <dockerd/store/layers.hpp>

namespace dockerd::engine {

/// Units: bytes.
struct ContainerSizes {
    std::int64_t rw = 0;       ///< what the container wrote; -1 when it cannot be measured
    std::int64_t root_fs = 0;  ///< with its image
};

/// Measures a container. One that is being removed has nothing left.
/// Source: moby daemon/images/image_unix.go, GetContainerLayerSize.
ContainerSizes measure_container(const store::Layers& layers, const std::string& id);

}  // namespace dockerd::engine

#pragma once

#include <dockerd/engine/build.hpp>
#include <dockerd/engine/containers.hpp>
#include <dockerd/engine/events.hpp>
#include <dockerd/engine/images.hpp>
#include <dockerd/engine/networks.hpp>
#include <dockerd/engine/registries.hpp>
#include <dockerd/engine/system.hpp>
#include <dockerd/engine/volumes.hpp>

namespace dockerd::engine {

/// The seam between API and engine: what handlers are built from, and tests replace by fakes.
struct Services {
    ContainerService& containers;
    ImageService& images;
    NetworkService& networks;
    VolumeService& volumes;
    EventService& events;
    SystemService& system;
    RegistryService& registries;
    BuildService& builds;
};

}  // namespace dockerd::engine

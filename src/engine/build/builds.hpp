#pragma once

#include <string>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/engine/build.hpp>
#include <dockerd/engine/containers.hpp>
#include <dockerd/store/images.hpp>

#include "events/events.hpp"
#include "images/images.hpp"
#include "images/registries.hpp"

namespace dockerd::engine {

/// What builds stand on; all of it outlives them.
struct BuildParts {
    ContainerService& containers;
    Images& images;
    store::Images& store;
    Registries& registries;
    Events& events;
    std::string data_root;
};

/// The classic builder. Each build is a builds::BuildRun.
/// Source: moby builder/dockerfile.
/// Thread: any.
class Builds final : public BuildService {
public:
    explicit Builds(BuildParts parts);

    std::string build(const BuildOptions& options, const ByteReader& context,
                      const ProgressSink& progress) override;

private:
    BuildParts parts_;
};

}  // namespace dockerd::engine

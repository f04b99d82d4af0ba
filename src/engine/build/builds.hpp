#pragma once

#include <string>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/engine/build.hpp>
#include <dockerd/engine/containers.hpp>
#include <dockerd/git/jail.hpp>
#include <dockerd/store/images.hpp>

#include "build/cache_mounts.hpp"
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
    builds::CacheMounts& caches;
    std::string data_root;
    git::StartProgram start_git;
};

/// The classic builder. Each build is a builds::BuildRun.
/// Source: moby builder/dockerfile.
/// Thread: any.
class Builds final : public BuildService {
public:
    explicit Builds(BuildParts parts);
    /// Removes the containers of builds that a killed daemon was at. After Containers::restore().
    void recover();

    std::string build(const BuildOptions& options, const ByteReader& context,
                      const ProgressSink& progress) override;
    std::vector<BuildCacheEntry> caches() override { return parts_.caches.list(); }
    std::vector<BuildCacheEntry> prune(const BuildPrune& what) override;

private:
    BuildParts parts_;
};

}  // namespace dockerd::engine

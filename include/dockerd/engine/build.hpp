#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/engine/images.hpp>
#include <dockerd/engine/registries.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/filters.hpp>

namespace dockerd::engine {

/// What a build is to be like. Source: moby api/types/build, ImageBuildOptions.
struct BuildOptions {
    std::vector<std::string> tags;
    std::string dockerfile;  ///< path in the context; empty: "Dockerfile"
    std::string remote;      ///< where the context is, if it does not come with the request
    std::string target;
    std::string platform;
    bool no_cache = false;
    bool pull = false;
    bool remove = true;         ///< the containers of steps that went well
    bool force_remove = false;  ///< and of those that failed
    std::map<std::string, std::optional<std::string>> arguments;
    std::map<std::string, std::string> labels;
    std::vector<std::string> cache_from;
    /// Limits, networks, hosts: of the containers in which RUN is done.
    model::HostConfig host;
    /// By registry.
    std::map<std::string, RegistryCredentials> credentials;
    /// On whose behalf; the credentials in it are not used.
    RegistryCaller caller;
};

/// A command that ended with another code than 0.
class BuildFailure : public base::Error {
public:
    BuildFailure(const std::string& message, std::int64_t code)
        : Error(base::ErrorKind::internal, message), code_(code) {}
    [[nodiscard]] std::int64_t code() const { return code_; }

private:
    std::int64_t code_;
};

/// A folder of RUN --mount=type=cache. Source: API document, BuildCache.
struct BuildCacheEntry {
    std::string id;
    std::string description;
    std::int64_t size = 0;  ///< bytes
    bool in_use = false;
    base::WallTime created;
    base::WallTime last_used;
};

/// Which of them a prune takes.
struct BuildPrune {
    std::vector<std::string> ids;                  ///< empty: any
    std::optional<std::chrono::nanoseconds> unused_for;
    std::int64_t reserved = 0;  ///< bytes that may stay
};

/// Everything the API asks of the builder.
class BuildService {
public:
    virtual ~BuildService() = default;

    /// Builds an image and returns its id. The log of the build goes to `progress`, an id of each
    /// stage's image as "aux". `context` is read to its end before anything is told.
    ///
    /// Throws: BuildFailure; invalid_argument, "dockerfile parse error on line 1: ..."; and what
    ///         each step says in Docker's words.
    virtual std::string build(const BuildOptions& options, const ByteReader& context,
                              const ProgressSink& progress) = 0;

    /// The folders there are; images of steps are images.
    virtual std::vector<BuildCacheEntry> caches() = 0;
    /// Deletes those that are not in use, least recently used first; returns what went.
    virtual std::vector<BuildCacheEntry> prune(const BuildPrune& what) = 0;
};

}  // namespace dockerd::engine

#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include <dockerd/store/layers.hpp>

namespace dockerd::engine::builds {

/// The empty files and directories that the mounts of a step are on, where there was nothing before: they
/// are no part of its layer.
/// Source: buildkit executor/stubs.go, MountStubsCleaner.
class MountStubs {
public:
    /// Looks which of the paths are missing in a container's layer. Pre: the container has not been started.
    MountStubs(store::Layers& layers, std::string layer, const std::vector<std::string>& targets);

    /// Removes those that came to be, unless something is in them. Pre: the container has ended.
    void remove();

private:
    struct Stub {
        std::vector<std::string> missing;  ///< the path and those above it, without links, the deepest first
        struct stat above {};              ///< the directory that was there
    };

    store::Layers& layers_;
    const std::string layer_;
    std::vector<Stub> stubs_;
};

}  // namespace dockerd::engine::builds

#pragma once

#include <optional>
#include <string>
#include <vector>

#include <dockerd/model/container.hpp>

/// Words of `docker commit` and `docker diff`.
namespace dockerd::engine {

/// How a container becomes an image.
struct CommitOptions {
    std::string repository;  ///< empty: the image gets no name
    std::string tag;
    std::string author;
    std::string comment;
    bool pause = true;  ///< a running container rests meanwhile
    /// Instructions of a Dockerfile, applied to the configuration.
    std::vector<std::string> changes;
    /// In place of the container's own, which fills what is empty in it.
    std::optional<model::ContainerConfig> config;
};

/// What a container did to a path of its image. Source: API document, ChangeType.
enum class ChangeKind { modified = 0, added = 1, deleted = 2 };

/// One line of `docker diff`.
struct FileChange {
    std::string path;  ///< from "/"
    ChangeKind kind = ChangeKind::modified;
};

}  // namespace dockerd::engine

#pragma once

#include <optional>
#include <string>
#include <vector>

#include <dockerd/model/container.hpp>
#include <dockerd/store/images.hpp>

#include "images/platform.hpp"

namespace dockerd::engine::builds {

/// Finds images that a step would make again.
///
/// A step's image is one that was built here, on the same parent, for the same platform, with the
/// same configuration; the command in that names the step and the sums of the files it takes.
/// With sources, only what they are made of counts, by their histories.
/// Source: moby image/cache/cache.go.
class ImageCache {
public:
    /// `sources`: of --cache-from; names that are not there are passed over.
    ImageCache(store::Images& images, const std::vector<std::string>& sources);

    /// The id of such an image; nullopt when there is none. `parent` is empty at the bottom.
    [[nodiscard]] std::optional<std::string> find(const std::string& parent,
                                                  const model::ContainerConfig& config,
                                                  const Platform& platform);

private:
    [[nodiscard]] std::vector<store::ImagePtr> children_of(const std::string& parent) const;
    [[nodiscard]] store::ImagePtr find_child(const std::string& parent,
                                             const model::ContainerConfig& config,
                                             const Platform& platform) const;
    [[nodiscard]] bool is_below_source(const std::string& id) const;
    [[nodiscard]] std::string restore(const store::ImagePtr& parent, const store::Image& target,
                                      const model::ContainerConfig& config) const;

    store::Images& images_;
    bool by_source_ = false;
    std::vector<store::ImagePtr> sources_;
};

}  // namespace dockerd::engine::builds

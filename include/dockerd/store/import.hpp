#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/archive/stream.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/store/images.hpp>

namespace dockerd::store {

/// One thing to tell the client while an archive is read.
struct LoadProgress {
    std::string stream;  ///< "Loaded image: busybox:latest\n"
    std::string status;  ///< "Loading layer", with id and bytes
    std::string id;
    std::optional<std::int64_t> current;
    std::optional<std::int64_t> total;
};
using LoadProgressSink = std::function<void(const LoadProgress&)>;

/// What an imported root file system is to become.
struct ImportRequest {
    std::string comment = "Imported from -";
    std::string os = "linux";
    std::string architecture;  ///< empty: this machine's, in Go's words
    std::string variant;
    model::ContainerConfig config;  ///< changes already applied
    std::string docker_version;
};

/// Makes an image of one layer from a tar of any compression; returns its id.
/// Source: moby daemon/images/image_import.go, ImportImage.
std::string import_image(Images& images, archive::ByteSource tar, const ImportRequest& request);

/// What one image of an archive became.
struct LoadedImage {
    std::string id;
    std::vector<std::string> names;  ///< familiar
};

/// Loads every image of a docker-archive or OCI layout, inner and outer compression of any kind,
/// reading the stream once. Layers are verified against the configuration. On an error nothing
/// new stays visible that was not complete before it.
/// Source: moby image/tarexport/load.go for texts and order.
/// `wanted` may pass images over.
std::vector<LoadedImage> load_images(
    Images& images, archive::ByteSource stream, const LoadProgressSink& progress,
    const std::function<bool(const ImageConfig& config)>& wanted = {});

/// Checks names as save_images will, and returns what they mean.
/// Throws: not_found, "No such image: x"; invalid_argument.
std::vector<ImagePtr> check_save(const Images& images, const std::vector<std::string>& names);

/// Writes images as Docker 28 does: one tar that is both docker-archive and OCI layout, members
/// in lexical order, streamed without temporary files. `saved` is told every image's id.
/// Differs from Docker: without the configurations of the v1 format that nothing refers to.
void save_images(const Images& images, const std::vector<std::string>& names,
                 const archive::ByteSink& sink,
                 const std::function<void(const std::string& id)>& saved = {});

}  // namespace dockerd::store

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/time.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/layers.hpp>

namespace dockerd::store {

/// One entry of an image configuration's history.
struct ImageHistory {
    std::optional<base::WallTime> created;
    std::string created_by;
    std::string author;
    std::string comment;
    bool empty_layer = false;
};

/// An image's configuration, parsed. Source: moby image/image.go, V1Image and Image.
struct ImageConfig {
    std::optional<base::WallTime> created;
    std::string author;
    std::string comment;
    std::string architecture;
    std::string variant;
    std::string os;
    std::string os_version;
    std::vector<std::string> os_features;
    std::string docker_version;
    std::string container;  ///< id, of an image made by commit
    std::optional<model::ContainerConfig> config;
    std::optional<model::ContainerConfig> container_config;
    std::vector<std::string> diff_ids;
    std::vector<ImageHistory> history;
};

/// Reads an image configuration.
/// Throws: invalid_argument, "invalid image JSON, no RootFS key", or what the JSON parser says.
ImageConfig parse_image_config(std::string_view json);

/// Writes one, keys in Docker's order; for images made here. Source: moby image/image.go,
/// MarshalJSON.
std::string encode_image_config(const ImageConfig& config);

/// This machine's architecture in Go's words: "amd64".
std::string native_architecture();

/// An image as it was at one moment; never changes.
struct Image {
    std::string id;      ///< "sha256:<hex>" of the configuration's bytes
    std::string parent;  ///< id of the image it was built on, or empty
    std::shared_ptr<const ImageConfig> config;
    std::string chain_id;   ///< top layer, or empty
    std::int64_t size = 0;  ///< bytes of all layers
    base::WallTime last_updated;
    bool built_locally = false;
    /// Familiar names ("busybox:latest", "busybox@sha256:..."), in the order of the full ones.
    std::vector<std::string> references;
    std::vector<std::string> children;  ///< ids of images built on this one
};
using ImagePtr = std::shared_ptr<const Image>;

/// What is noted beside a new image.
struct ImageCreateOptions {
    std::string parent;
    bool built_locally = false;
    Flush flush = Flush::now;
};

class StartWrites;

/// Images and their names: imagedb and repositories.json in Docker's own form.
///
/// Thread: every function may be called from any thread. Readers work on an immutable snapshot
/// and never wait for a writer's disk.
class Images {
public:
    /// Opens `<data_root>/image/overlay2`. An image that cannot be read, or whose layers are
    /// missing, is skipped with a log line.
    /// A new root's file of names is written when `later` settles.
    Images(const std::string& data_root, Layers& layers, StartWrites* later = nullptr);
    ~Images();
    Images(const Images&) = delete;
    Images& operator=(const Images&) = delete;

    /// Stores a configuration, byte for byte, and holds its layers. Durable on return.
    /// Throws: invalid_argument, "failed to get layer sha256:...: layer does not exist" and kin.
    std::string create(std::string_view config_json, const ImageCreateOptions& options = {});

    /// By full id "sha256:<hex>"; null when there is none.
    [[nodiscard]] ImagePtr find(const std::string& id) const;
    /// By full id. Throws: not_found, "failed to get digest sha256:...: open ...: no such file or
    /// directory". Source: moby image/fs.go, get.
    [[nodiscard]] ImagePtr get_by_id(const std::string& id) const;
    /// By name, id, short id, in Docker's order of precedence.
    /// Throws: not_found, "No such image: x"; invalid_argument for a malformed name.
    /// Source: moby daemon/images/image.go, GetImage.
    [[nodiscard]] ImagePtr get(std::string_view name) const;
    /// The image a name stands for; null when there is none.
    [[nodiscard]] ImagePtr find_reference(const model::Reference& reference) const;
    /// By hex digits of the id, without or with "sha256:".
    /// Throws: not_found; invalid_argument, "ambiguous digest string".
    [[nodiscard]] ImagePtr find_by_prefix(std::string_view prefix) const;
    [[nodiscard]] std::vector<ImagePtr> list() const;

    /// Points a tag or digest reference at an image; returns the id it pointed at before.
    /// Durable on return. Throws: not_found; conflict, "cannot overwrite digest sha256:...".
    std::optional<std::string> tag(const model::Reference& reference, const std::string& id);
    /// Removes a name; false when it was not there.
    bool untag(const model::Reference& reference);
    /// Familiar names of a repository with the ids they stand for.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> references_of_repository(
        const model::Reference& repository) const;

    /// Notes which image this one was made of.
    void set_parent(const std::string& id, const std::string& parent);
    /// Notes the time of the last tag; with Flush::later, for it alone is not worth a wait.
    void set_last_updated(const std::string& id, base::WallTime time);
    /// Makes all that was created with Flush::later durable.
    void flush();

    /// Deletes an image that has no names left and releases its layers; returns the layers that
    /// went, top first. Throws: not_found, "unrecognized image ID sha256:...".
    std::vector<LayerInfo> remove(const std::string& id);

    /// The configuration's bytes. Throws: not_found.
    [[nodiscard]] std::string raw_config(const std::string& id) const;

    [[nodiscard]] Layers& layers() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::store

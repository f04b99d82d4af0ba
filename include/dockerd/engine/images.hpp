#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/engine/types.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/filters.hpp>

namespace dockerd::engine {

/// Source: API document, ImageSummary.
struct ImageSummary {
    std::string id;
    std::string parent_id;
    std::vector<std::string> repo_tags;
    std::vector<std::string> repo_digests;
    base::WallTime created;
    std::int64_t size = 0;          ///< bytes
    std::int64_t shared_size = -1;  ///< bytes, -1: not computed
    std::int64_t containers = -1;
    model::StringMap labels;
};

/// Source: API document, ImageInspect.
struct ImageDetails {
    std::string id;
    std::vector<std::string> repo_tags;
    std::vector<std::string> repo_digests;
    std::string parent;
    std::string comment;
    std::optional<base::WallTime> created;
    std::string docker_version;
    std::string author;
    std::optional<model::ContainerConfig> config;
    std::string architecture;
    std::string variant;
    std::string os;
    std::string os_version;
    std::int64_t size = 0;
    GraphDriver graph_driver;
    std::vector<std::string> diff_ids;
    base::WallTime last_tag_time;
    /// Legacy fields of an image made by commit or classic build (API before 1.45).
    std::string container;
    std::optional<model::ContainerConfig> container_config;
};

/// Source: API document, HistoryResponseItem.
struct ImageHistoryItem {
    std::string id;  ///< or "<missing>"
    std::int64_t created = 0;
    std::string created_by;
    std::vector<std::string> tags;
    std::int64_t size = 0;
    std::string comment;
};

/// One step of a removal: a name or an image that went.
struct ImageDeleteItem {
    std::string untagged;
    std::string deleted;
};

/// What a prune removed.
struct ImagePruneResult {
    std::vector<ImageDeleteItem> deleted;
    std::int64_t space_reclaimed = 0;
};

/// One message of a progress stream. Source: moby pkg/jsonmessage, JSONMessage.
struct Progress {
    std::string stream;
    std::string status;
    std::string id;
    std::optional<std::int64_t> current;  ///< bytes
    std::optional<std::int64_t> total;    ///< bytes
    bool action = false;  ///< of a transfer: shows its progress also when there is none yet
    std::string error;                    ///< ends the stream
    std::string aux_json;                 ///< ready JSON for "aux", or empty
};
using ProgressSink = std::function<void(const Progress&)>;

/// What an imported root file system is to become.
struct ImportOptions {
    std::string repository;
    std::string tag;
    std::string message;
    std::vector<std::string> changes;
    std::string platform;
};

/// Everything the API asks about images. `name` is a reference, an id or an id prefix; `platform`
/// is which one of it is meant, as "linux/arm64", or empty.
///
/// Throws: not_found "No such image: x", "image with reference x was found but its platform
///         (linux/amd64) does not match the specified platform (linux/arm64)"; and what each
///         operation says in Docker's words.
class ImageService {
public:
    virtual ~ImageService() = default;

    struct ListOptions {
        bool all = false;
        bool shared_size = false;
        model::Filters filters;
    };
    struct RemoveOptions {
        bool force = false;
        bool prune_parents = true;
        std::string platform;
    };
    struct LoadOptions {
        bool quiet = false;
        std::string platform;  ///< images for others are passed over
    };
    /// Each as the API operation of its name.
    virtual std::vector<ImageSummary> list(const ListOptions& options) = 0;
    virtual ImageDetails inspect(std::string_view name, const std::string& platform) = 0;
    virtual std::vector<ImageHistoryItem> history(std::string_view name,
                                                  const std::string& platform) = 0;
    virtual void tag(std::string_view name, const std::string& repository,
                     const std::string& tag) = 0;
    virtual std::vector<ImageDeleteItem> remove(std::string_view name,
                                                const RemoveOptions& options) = 0;
    virtual ImagePruneResult prune(const model::Filters& filters) = 0;

    /// Reports the new image's id as the last status.
    virtual void import(const ByteReader& source, const ImportOptions& options,
                        const ProgressSink& progress) = 0;
    virtual void load(const ByteReader& source, const LoadOptions& options,
                      const ProgressSink& progress) = 0;
    /// Checks every name first, so that an error can still be an HTTP error.
    /// Throws: internal, "no suitable export target found for platform linux/arm64".
    virtual void check_save(const std::vector<std::string>& names, const std::string& platform) = 0;
    virtual void save(const std::vector<std::string>& names, const ByteWriter& sink) = 0;
};

}  // namespace dockerd::engine

#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/engine/images.hpp>
#include <dockerd/store/images.hpp>

#include "events/events.hpp"

namespace dockerd::engine {

/// Written into images made here. Source: moby dockerversion.
inline constexpr const char* docker_version = "28.2.2";

/// A container and what it needs of images.
struct ImageUser {
    std::string container_id;
    std::string image_id;
    bool running = false;
    std::vector<std::string> mounted_images;  ///< ids of images mounted as volumes
};
/// All containers of the daemon. Must not call back into Images.
using ImageUsers = std::function<std::vector<ImageUser>()>;

/// Images of the daemon by the rules of Docker's classic image store.
///
/// Source: moby daemon/images.
/// Thread: any.
class Images : public ImageService {
public:
    Images(store::Images& store, Events& events);

    /// Who uses images; without it nobody does. Set once, before the first request.
    void set_users(ImageUsers users) { users_ = std::move(users); }

    std::vector<ImageSummary> list(const ListOptions& options) override;
    ImageDetails inspect(std::string_view name, const std::string& platform) override;
    std::vector<ImageHistoryItem> history(std::string_view name,
                                          const std::string& platform) override;
    void tag(std::string_view name, const std::string& repository, const std::string& tag) override;
    std::vector<ImageDeleteItem> remove(std::string_view name,
                                        const RemoveOptions& options) override;
    ImagePruneResult prune(const model::Filters& filters) override;
    void import(const ByteReader& source, const ImportOptions& options,
                const ProgressSink& progress) override;
    void load(const ByteReader& source, const LoadOptions& options,
              const ProgressSink& progress) override;
    void check_save(const std::vector<std::string>& names, const std::string& platform) override;
    void save(const std::vector<std::string>& names, const ByteWriter& sink) override;

    /// The image a container is to be created from. `platform` as "linux/arm64", or empty.
    /// Throws: not_found, "No such image: busybox:latest", or "image with reference x was found
    ///         but its platform (linux/amd64) does not match the specified platform (...)".
    store::ImagePtr resolve(std::string_view name, const std::string& platform);

    /// Logs an event of an image that may be gone.
    void log_event(std::string_view action, const std::string& id, const std::string& name);

    /// Bytes of all layers that images show, each once. Source: moby ImageDiskUsage.
    [[nodiscard]] std::int64_t layers_size() const;
    /// The list for `docker system df`: with shared sizes and numbers of containers.
    std::vector<ImageSummary> disk_usage();
    [[nodiscard]] std::size_t count() const { return store_.list().size(); }

private:
    struct Conflict;
    struct Removal;
    enum class Counting { none, containers };
    std::vector<ImageSummary> list_images(const ListOptions& options, Counting counting);
    void remove_references(Removal& removal, std::string_view name);
    void remove_image(Removal& removal, const std::string& id, bool quiet);
    void untag(Removal& removal, const std::string& reference);
    void check_conflicts(const store::Image& image, unsigned mask) const;
    [[nodiscard]] std::vector<ImageUser> users() const;

    store::Images& store_;
    Events& events_;
    ImageUsers users_;
    std::atomic<bool> pruning_{false};
};

/// Gives an image a name, with its event. Source: moby daemon/images/image_tag.go.
void tag_image(store::Images& store, Events& events, const std::string& id,
               const model::Reference& reference);
/// Logs an event of an image that may be gone.
void log_image_event(const store::Images& store, Events& events, std::string_view action,
                     const std::string& id, const std::string& name);

/// "repository:tag" from what a client sends in two fields; nullopt without a repository.
/// Throws: invalid_argument, "cannot import digest reference" and as Reference::parse.
/// Source: moby api/server/httputils, RepoTagReference.
std::optional<model::Reference> repository_and_tag(const std::string& repository,
                                                   const std::string& tag);

}  // namespace dockerd::engine

#include "images/images.hpp"

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/model/reference.hpp>

#include "images/platform.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

bool is_digest_reference(const std::string& familiar) {
    return familiar.find('@') != std::string::npos;
}

}  // namespace

Images::Images(store::Images& store, Events& events) : store_(store), events_(events) {}

std::vector<ImageUser> Images::users() const {
    return users_ ? users_() : std::vector<ImageUser>();
}

store::ImagePtr Images::resolve(std::string_view name, const std::string& platform) {
    auto image = store_.get(name);
    require_platform(*image, name, platform);
    return image;
}

void log_image_event(const store::Images& store, Events& events, std::string_view action,
                     const std::string& id, const std::string& name) {
    // A deleted image has no labels any more.
    const auto image = store.find(id);
    const bool labelled = image && image->config->config;
    events.image(action, id, name,
                 labelled ? EventAttributes(image->config->config->labels) : EventAttributes());
}

void Images::log_event(std::string_view action, const std::string& id, const std::string& name) {
    log_image_event(store_, events_, action, id, name);
}

ImageDetails Images::inspect(std::string_view name, const std::string& platform) {
    const auto image = store_.get(name);
    require_platform(*image, name, platform);
    const auto& config = *image->config;
    ImageDetails details;
    details.id = image->id;
    for (const auto& reference : image->references) {
        auto& list = is_digest_reference(reference) ? details.repo_digests : details.repo_tags;
        list.push_back(reference);
    }
    details.parent = image->parent;
    details.comment = config.comment;
    if (details.comment.empty() && !config.history.empty()) {
        details.comment = config.history.back().comment;
    }
    details.created = config.created;
    details.docker_version = config.docker_version;
    details.author = config.author;
    details.config = config.config;
    details.architecture = config.architecture;
    details.variant = config.variant;
    details.os = config.os.empty() ? "linux" : config.os;
    details.os_version = config.os_version;
    details.size = image->size;
    details.graph_driver.name = "overlay2";
    if (!image->chain_id.empty()) {
        try {
            details.graph_driver.data = store_.layers().layer_metadata(image->chain_id);
        } catch (const base::Error& error) {
            // Files of the layer are damaged: everything else is still true.
            base::log::error("image {}: its layer: {}", image->id, error.what());
        }
    }
    details.diff_ids = config.diff_ids;
    details.last_tag_time = image->last_updated;
    details.container = config.container;
    details.container_config = config.container_config;
    return details;
}

std::vector<ImageHistoryItem> Images::history(std::string_view name, const std::string& platform) {
    const base::ScopeTimer timer(metrics().image_actions["history"]);
    auto image = store_.get(name);
    require_platform(*image, name, platform);
    const auto& config = *image->config;
    // Chain ids from the top layer down, so that sizes can be read from the bottom up.
    std::vector<std::int64_t> sizes;
    for (auto layer = image->chain_id; !layer.empty();) {
        const auto info = store_.layers().find(layer);
        if (!info) base::fail(ErrorKind::not_found, "layer does not exist");
        sizes.push_back(info->size);
        layer = info->parent;
    }
    std::vector<ImageHistoryItem> items;
    for (const auto& entry : config.history) {
        ImageHistoryItem item;
        item.id = "<missing>";
        if (!entry.empty_layer) {
            if (sizes.empty()) {
                base::fail(ErrorKind::internal, "too many non-empty layers in History section");
            }
            item.size = sizes.back();
            sizes.pop_back();
        }
        if (entry.created) item.created = entry.created->seconds();
        item.created_by = entry.created_by;
        item.comment = entry.comment;
        items.push_back(std::move(item));
    }
    std::ranges::reverse(items);
    for (auto& item : items) {
        if (!image) break;
        item.id = image->id;
        std::ranges::copy_if(image->references, std::back_inserter(item.tags),
                             [](const auto& text) { return !is_digest_reference(text); });
        image = image->parent.empty() ? nullptr : store_.find(image->parent);
    }
    return items;
}

std::optional<model::Reference> repository_and_tag(const std::string& repository,
                                                   const std::string& tag) {
    if (repository.empty()) return std::nullopt;
    const auto reference = model::Reference::parse(repository);
    if (!reference.digest().empty()) {
        base::fail(ErrorKind::invalid_argument, "cannot import digest reference");
    }
    return tag.empty() ? reference.with_default_tag() : reference.with_tag(tag);
}

void tag_image(store::Images& store, Events& events, const std::string& id,
               const model::Reference& reference) {
    store.tag(reference, id);
    store.set_last_updated(id, base::WallTime::now());
    log_image_event(store, events, "tag", id, reference.familiar());
}

void Images::tag(std::string_view name, const std::string& repository, const std::string& tag) {
    const auto reference = repository_and_tag(repository, tag);
    if (!reference) base::fail(ErrorKind::invalid_argument, "invalid reference format");
    if (reference->familiar_name() == "sha256") {
        base::fail(ErrorKind::invalid_argument,
                   "refusing to create an ambiguous tag using digest algorithm as name");
    }
    tag_image(store_, events_, store_.get(name)->id, *reference);
}

}  // namespace dockerd::engine

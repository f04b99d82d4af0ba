#include <algorithm>
#include <map>
#include <unordered_map>

#include <dockerd/base/error.hpp>
#include <dockerd/build/glob.hpp>
#include <dockerd/model/reference.hpp>

#include "images/images.hpp"
#include "images/moment.hpp"

namespace dockerd::engine {

namespace {

using store::Image;
using store::ImagePtr;

/// What the filters ask for, worked out once.
struct Selection {
    std::optional<base::WallTime> before;
    std::optional<base::WallTime> since;
    bool dangling_only = false;
    bool no_dangling = false;
};

Selection read_filters(const model::Filters& filters, const store::Images& store) {
    filters.validate({"dangling", "label", "before", "since", "reference", "until"});
    Selection selection;
    const bool dangling = filters.get_bool("dangling", false);
    selection.dangling_only = dangling;
    selection.no_dangling = filters.contains("dangling") && !dangling;
    const auto earlier = [&](base::WallTime time) {
        if (!selection.before || time < *selection.before) selection.before = time;
    };
    for (const auto& name : filters.get("before")) {
        if (const auto created = store.get(name)->config->created) earlier(*created);
    }
    for (const auto& text : filters.get("until")) earlier(parse_moment(text));
    for (const auto& name : filters.get("since")) {
        const auto created = store.get(name)->config->created;
        if (created && (!selection.since || *selection.since < *created)) {
            selection.since = created;
        }
    }
    return selection;
}

bool is_wanted(const Image& image, const Selection& selection, const model::Filters& filters) {
    const auto& config = *image.config;
    if (selection.dangling_only && !image.children.empty()) return false;
    if (selection.before && (!config.created || *config.created >= *selection.before)) {
        return false;
    }
    if (selection.since && (!config.created || *config.created <= *selection.since)) return false;
    if (!filters.contains("label")) return true;
    return config.config && filters.match_labels("label", config.config->labels);
}

bool reference_matches(const std::string& familiar, const model::Filters& filters) {
    const auto reference = model::Reference::parse(familiar);
    return std::ranges::any_of(filters.get("reference"), [&](const std::string& pattern) {
        return build::matches_pattern(pattern, familiar) ||
               build::matches_pattern(pattern, reference.familiar_name());
    });
}

ImageSummary summarise(const Image& image, const model::Filters& filters) {
    ImageSummary summary;
    summary.id = image.id;
    summary.parent_id = image.parent;
    summary.created = image.config->created.value_or(base::WallTime(0, 0));
    summary.size = image.size;
    if (image.config->config) summary.labels = image.config->config->labels;
    for (const auto& familiar : image.references) {
        if (filters.contains("reference") && !reference_matches(familiar, filters)) continue;
        const bool digest = familiar.find('@') != std::string::npos;
        (digest ? summary.repo_digests : summary.repo_tags).push_back(familiar);
    }
    return summary;
}

/// Whether an image is shown with the names that are left of it.
bool is_shown(const Image& image, const ImageSummary& summary, bool all, const Selection& selection,
              const model::Filters& filters) {
    if (!summary.repo_tags.empty() || !summary.repo_digests.empty()) {
        return !selection.dangling_only || summary.repo_tags.empty();
    }
    // Without a name: an intermediate image is for `all` only.
    if (!all && !image.children.empty()) return false;
    return !selection.no_dangling && !filters.contains("reference");
}

/// Layers by chain id, and in how many images each is.
class LayerUse {
public:
    LayerUse(const store::Images& store, const std::vector<ImagePtr>& images) {
        for (auto& layer : store.layers().list()) layers_.emplace(layer.chain_id, layer);
        for (const auto& image : images) {
            for_each(*image, [&](const store::LayerInfo& layer) { ++uses_[layer.chain_id]; });
        }
    }

    [[nodiscard]] std::int64_t shared_size(const Image& image) const {
        std::int64_t size = 0;
        for_each(image, [&](const store::LayerInfo& layer) {
            if (uses_.at(layer.chain_id) > 1) size += layer.size;
        });
        return size;
    }

    [[nodiscard]] std::int64_t total_size() const {
        std::int64_t size = 0;
        for (const auto& [chain_id, count] : uses_) size += layers_.at(chain_id).size;
        return size;
    }

private:
    template <typename Visit>
    void for_each(const Image& image, Visit&& visit) const {
        for (auto chain_id = image.chain_id; !chain_id.empty();) {
            const auto found = layers_.find(chain_id);
            if (found == layers_.end()) return;  // went while we looked
            visit(found->second);
            chain_id = found->second.parent;
        }
    }

    std::unordered_map<std::string, store::LayerInfo> layers_;
    std::unordered_map<std::string, int> uses_;
};

}  // namespace

std::vector<ImageSummary> Images::list(const ListOptions& options) {
    return list_images(options, Counting::none);
}

std::vector<ImageSummary> Images::list_images(const ListOptions& options, Counting counting) {
    const Selection selection = read_filters(options.filters, store_);
    const auto images = store_.list();
    std::map<std::string, std::int64_t> containers;
    if (counting == Counting::containers) {
        for (const auto& user : users()) ++containers[user.image_id];
    }
    std::optional<LayerUse> layers;
    if (options.shared_size) layers.emplace(store_, images);
    std::vector<ImageSummary> found;
    for (const auto& image : images) {
        if (!is_wanted(*image, selection, options.filters)) continue;
        auto summary = summarise(*image, options.filters);
        if (!is_shown(*image, summary, options.all, selection, options.filters)) continue;
        if (layers) summary.shared_size = layers->shared_size(*image);
        if (counting == Counting::containers) summary.containers = containers[image->id];
        found.push_back(std::move(summary));
    }
    std::ranges::stable_sort(
        found, [](const ImageSummary& a, const ImageSummary& b) { return a.created > b.created; });
    return found;
}

std::int64_t Images::layers_size() const {
    std::vector<ImagePtr> shown;
    for (auto& image : store_.list()) {
        if (!image->references.empty() || image->children.empty()) shown.push_back(image);
    }
    return LayerUse(store_, shown).total_size();
}

std::vector<ImageSummary> Images::disk_usage() {
    ListOptions options;
    options.shared_size = true;
    return list_images(options, Counting::containers);
}

}  // namespace dockerd::engine

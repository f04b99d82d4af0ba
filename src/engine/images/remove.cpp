#include <algorithm>
#include <set>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "images/images.hpp"
#include "images/platform.hpp"
#include "images/moment.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

/// What can stand in the way. Source: moby daemon/images/image_delete.go, conflictType.
enum ConflictMask : unsigned {
    dependent_child = 1,
    running_container = 2,
    active_reference = 4,
    stopped_container = 8,
    hard = dependent_child | running_container,
    soft = active_reference | stopped_container,
};

bool is_digest_reference(const std::string& familiar) {
    return familiar.find('@') != std::string::npos;
}

std::string repository_of(const std::string& familiar) {
    return model::Reference::parse(familiar).name();
}

/// At most one tag, and digests of the same repository only.
bool is_single_reference(const std::vector<std::string>& references) {
    if (references.size() <= 1) return references.size() == 1;
    std::string single;
    std::set<std::string> repositories;  // that digests belong to
    for (const auto& reference : references) {
        if (is_digest_reference(reference)) {
            repositories.insert(repository_of(reference));
        } else if (single.empty()) {
            single = reference;
        } else {
            return false;
        }
    }
    if (single.empty()) single = references.front();
    return repositories.size() == 1 && repositories.contains(repository_of(single));
}

bool is_id_prefix(const std::string& id, std::string_view text) {
    return id.starts_with(text) || std::string_view(id).substr(id.find(':') + 1).starts_with(text);
}

std::string short_of(const std::string& id) { return std::string(base::short_id(id)); }

bool uses(const ImageUser& user, const std::string& id) {
    return user.image_id == id ||
           std::ranges::find(user.mounted_images, id) != user.mounted_images.end();
}

}  // namespace

/// A failed check; `used`: by a container.
struct Images::Conflict {
    base::Error error;
    bool used;
};

/// One call of remove as it goes along.
struct Images::Removal {
    std::string id;
    bool force = false;
    bool prune_parents = false;
    std::vector<ImageDeleteItem> items;
};

void Images::check_conflicts(const store::Image& image, unsigned mask) const {
    const auto conflict = [&](bool is_hard, bool used, const std::string& text) {
        throw Conflict{
            base::Error(ErrorKind::conflict,
                        "conflict: unable to delete " + short_of(image.id) +
                            (is_hard ? " (cannot be forced) - " : " (must be forced) - ") + text),
            used};
    };
    if ((mask & dependent_child) != 0 && !image.children.empty()) {
        conflict(true, false, "image has dependent child images");
    }
    const auto all = users();
    const auto find = [&](bool running) {
        return std::ranges::find_if(all, [&](const ImageUser& user) {
            return user.image_id == image.id && user.running == running;
        });
    };
    if ((mask & running_container) != 0) {
        if (const auto user = find(true); user != all.end()) {
            conflict(true, true,
                     "image is being used by running container " + short_of(user->container_id));
        }
    }
    if ((mask & active_reference) != 0 && !image.references.empty()) {
        conflict(false, false, "image is referenced in multiple repositories");
    }
    if ((mask & stopped_container) != 0) {
        if (const auto user = find(false); user != all.end()) {
            conflict(false, true,
                     "image is being used by stopped container " + short_of(user->container_id));
        }
    }
}

std::vector<ImageDeleteItem> Images::remove(std::string_view name, const RemoveOptions& options) {
    const base::ScopeTimer timer(metrics().image_actions["delete"]);
    const auto image = store_.get(name);
    require_platform(*image, name, options.platform);
    const bool force = options.force;
    Removal removal{image->id, force, options.prune_parents, {}};
    try {
        bool quiet = false;
        if (!is_id_prefix(image->id, name)) {
            remove_references(removal, name);
            const auto now = store_.find(image->id);
            if (!now || !now->references.empty()) return removal.items;
            quiet = true;
        } else if (is_single_reference(image->references)) {
            const unsigned mask = hard | (force ? 0U : static_cast<unsigned>(stopped_container));
            check_conflicts(*image, mask);
            for (const auto& reference : image->references) untag(removal, reference);
        }
        remove_image(removal, image->id, quiet);
    } catch (const Conflict& conflict) {
        throw conflict.error;
    }
    return removal.items;
}

/// Removes the name the client gave, and with a repository's last tag its digests.
void Images::remove_references(Removal& removal, std::string_view name) {
    const auto image = store_.find(removal.id);
    if (!removal.force && image && is_single_reference(image->references)) {
        const auto all = users();
        const auto user = std::ranges::find_if(
            all, [&](const ImageUser& candidate) { return uses(candidate, removal.id); });
        if (user != all.end()) {
            base::fail(ErrorKind::conflict,
                       "conflict: unable to remove repository reference " + base::quote(name) +
                           " (must force) - container " + short_of(user->container_id) +
                           " is using its referenced image " + short_of(removal.id));
        }
    }
    const auto reference = model::Reference::parse(name).with_default_tag();
    untag(removal, reference.familiar());
    if (!reference.digest().empty()) return;
    const auto left = store_.find(removal.id);
    if (!left) return;
    std::vector<std::string> digests;
    for (const auto& other : left->references) {
        if (repository_of(other) != reference.name()) continue;
        if (!is_digest_reference(other)) return;
        digests.push_back(other);
    }
    for (const auto& digest : digests) {
        store_.untag(model::Reference::parse(digest));
        removal.items.push_back({digest, ""});
    }
}

void Images::untag(Removal& removal, const std::string& reference) {
    // Missing is fine: somebody else was faster.
    store_.untag(model::Reference::parse(reference));
    log_event("untag", removal.id, removal.id);
    removal.items.push_back({reference, ""});
}

void Images::remove_image(Removal& removal, const std::string& id, bool quiet) {
    const auto image = store_.find(id);
    if (!image) {
        if (quiet) return;
        base::fail(ErrorKind::not_found, "unrecognized image ID " + id);
    }
    try {
        check_conflicts(*image, hard | (removal.force ? 0U : static_cast<unsigned>(soft)));
    } catch (const Conflict& conflict) {
        // After an untag, and for parents, an image that is kept is no error.
        const bool dangling = image->references.empty() && image->children.empty();
        if (quiet && (!dangling || conflict.used)) return;
        throw;
    }
    removal.id = id;
    for (const auto& reference : image->references) untag(removal, reference);
    const auto layers = store_.remove(id);
    log_event("delete", id, id);
    removal.items.push_back({"", id});
    for (const auto& layer : layers) removal.items.push_back({"", layer.chain_id});
    if (!removal.prune_parents || image->parent.empty()) return;
    removal.force = false;
    remove_image(removal, image->parent, /*quiet=*/true);
}

namespace {

/// What prune looks at, in the end by the rules of Images::remove.
std::vector<std::string> prune_candidates(const store::Images& store, const model::Filters& filters,
                                          bool dangling_only) {
    const auto& moments = filters.get("until");
    if (moments.size() > 1) base::fail(ErrorKind::internal, "more than one until filter specified");
    std::optional<base::WallTime> until;
    if (!moments.empty()) until = parse_moment(*moments.begin());
    std::vector<std::string> names;
    for (const auto& image : store.list()) {
        const auto& config = *image->config;
        const bool head = image->children.empty();
        if (!head && (dangling_only || image->references.empty())) continue;
        if (until && (!config.created || *config.created > *until)) continue;
        if (config.config) {
            const auto& labels = config.config->labels;
            if (!filters.match_labels("label", labels)) continue;
            if (filters.contains("label!") && filters.match_labels("label!", labels)) continue;
        }
        if (image->references.empty()) {
            names.push_back(model::hex_of(image->id));
            continue;
        }
        const bool tagged = !std::ranges::all_of(image->references, is_digest_reference);
        if (dangling_only && tagged) continue;
        names.insert(names.end(), image->references.begin(), image->references.end());
    }
    return names;
}

}  // namespace

ImagePruneResult Images::prune(const model::Filters& filters) {
    if (pruning_.exchange(true)) {
        base::fail(ErrorKind::conflict, "a prune operation is already running");
    }
    const std::shared_ptr<void> done(nullptr, [&](void*) { pruning_ = false; });
    filters.validate({"dangling", "label", "label!", "until"});
    const bool dangling_only = filters.get_bool("dangling", true);
    std::map<std::string, std::int64_t> sizes;
    for (const auto& layer : store_.layers().list()) sizes[layer.chain_id] = layer.size;
    ImagePruneResult result;
    for (const auto& name : prune_candidates(store_, filters, dangling_only)) {
        try {
            auto items = remove(name, {});
            std::ranges::move(items, std::back_inserter(result.deleted));
        } catch (const base::Error& error) {
            if (error.kind() == ErrorKind::conflict || error.kind() == ErrorKind::not_found)
                continue;
            base::log::warn("failed to prune image {}: {}", name, error.what());
        }
    }
    for (const auto& item : result.deleted) {
        const auto layer = sizes.find(item.deleted);
        if (layer != sizes.end()) result.space_reclaimed += layer->second;
    }
    events_.pruned("image", result.space_reclaimed);
    return result;
}

}  // namespace dockerd::engine

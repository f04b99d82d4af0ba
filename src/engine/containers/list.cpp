#include <fmt/format.h>

#include <algorithm>

#include <dockerd/base/time.hpp>
#include <dockerd/model/reference.hpp>

#include "containers.hpp"
#include "list_filter.hpp"
#include "sizes.hpp"

namespace dockerd::engine {
namespace {

std::int64_t seconds_between(base::WallTime from, base::WallTime to) {
    return std::max<std::int64_t>(0, to.seconds() - from.seconds());
}

std::string ago(base::WallTime then) {
    return base::human_duration(std::chrono::seconds(seconds_between(then, base::WallTime::now())));
}

/// Source: moby container/state.go, String.
std::string status_text(const ContainerState& state) {
    std::string text;
    if (state.running) {
        if (state.paused) return "Up " + ago(state.started_at) + " (Paused)";
        if (state.restarting) {
            return fmt::format("Restarting ({}) {} ago", state.exit_code, ago(state.finished_at));
        }
        text = "Up " + ago(state.started_at);
        if (state.health && !state.health->status.empty() && state.health->status != "none") {
            const bool starting = state.health->status == "starting";
            text += starting ? " (health: starting)" : " (" + state.health->status + ")";
        }
        return text;
    }
    if (state.removing) return "Removal In Progress";
    if (state.dead) return "Dead";
    if (state.started_at.is_zero()) return "Created";
    if (state.finished_at.is_zero()) return "";
    return fmt::format("Exited ({}) {} ago", state.exit_code, ago(state.finished_at));
}

}  // namespace

/// Source: moby daemon/list.go, Containers.
std::vector<ContainerSummary> Containers::list(const ListOptions& options) {
    const ListFilter filter(
        options, {.container_id = [this](const std::string& name) { return index_.get(name)->id; },
                  .image_ids = [this](const std::string& name) { return with_children(name); }});
    auto snapshots = this->snapshots();
    std::ranges::sort(snapshots, std::ranges::greater{}, [](const auto& c) { return c->created; });
    std::vector<ContainerSummary> out;
    ImageNames names;
    for (const auto& c : filter.select(snapshots)) {
        out.push_back(summarize(c, names));
        if (!options.size) continue;
        const auto [rw, root_fs] = measure_container(parts_.layers, c->id);
        out.back().size_rw = rw;
        out.back().size_root_fs = root_fs;
    }
    return out;
}

/// The ids of an image and of all that are built on it; none if there is no such image.
std::vector<std::string> Containers::with_children(const std::string& name) const {
    std::vector<std::string> ids;
    try {
        ids.push_back(parts_.images.get(name)->id);
    } catch (const base::Error&) {
        return ids;
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto image = parts_.images.find(ids[i]);
        if (image) ids.insert(ids.end(), image->children.begin(), image->children.end());
    }
    return ids;
}

std::string Containers::listed_image(const ContainerSnapshot& container, ImageNames& names) const {
    const std::string& name = container.config->image;
    auto known = names.find(name);
    if (known == names.end()) {
        ImageName meaning;
        if (const auto reference = model::Reference::try_parse(name)) {
            meaning.is_reference = true;
            const auto image = parts_.images.find_reference(reference->with_default_tag());
            if (image) meaning.id = image->id;
        }
        known = names.emplace(name, std::move(meaning)).first;
    }
    const ImageName& meaning = known->second;
    // Source: moby daemon/list.go, refreshImage: the id when the name moved on.
    if (!meaning.is_reference || meaning.id == container.image_id) return name;
    const bool by_id = meaning.id.empty() && container.image_id.find(name) != std::string::npos;
    return by_id ? name : container.image_id;
}

ContainerSummary Containers::summarize(const ContainerPtr& container, ImageNames& names) const {
    ContainerSummary row;
    row.container = container;
    row.status_text = status_text(container->state);
    row.image = listed_image(*container, names);
    return row;
}

}  // namespace dockerd::engine

#include "build/cache.hpp"

#include <algorithm>
#include <span>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "images/images.hpp"

namespace dockerd::engine::builds {
namespace {

bool same_health(const std::optional<model::HealthConfig>& a,
                 const std::optional<model::HealthConfig>& b) {
    if (!a || !b) return a.has_value() == b.has_value();
    return std::ranges::equal(a->test, b->test) && a->interval == b->interval &&
           a->timeout == b->timeout && a->start_period == b->start_period &&
           a->start_interval == b->start_interval && a->retries == b->retries;
}

/// Names of the container and its host do not count, nor whether a list is empty or missing.
// Source: moby image/cache/compare.go, compare.
bool same_config(const model::ContainerConfig& a, const model::ContainerConfig& b) {
    const auto keys_equal = [](const auto& one, const auto& other) {
        return std::ranges::equal(one, other, {}, [](const auto& entry) { return entry.first; },
                                  [](const auto& entry) { return entry.first; });
    };
    return std::ranges::equal(a.env, b.env) && std::ranges::equal(a.cmd, b.cmd) &&
           std::ranges::equal(a.entrypoint, b.entrypoint) && std::ranges::equal(a.shell, b.shell) &&
           std::ranges::equal(a.on_build, b.on_build) && std::ranges::equal(a.labels, b.labels) &&
           keys_equal(a.exposed_ports, b.exposed_ports) && keys_equal(a.volumes, b.volumes) &&
           a.attach_stdin == b.attach_stdin && a.attach_stdout == b.attach_stdout &&
           a.attach_stderr == b.attach_stderr && a.network_disabled == b.network_disabled &&
           a.tty == b.tty && a.open_stdin == b.open_stdin && a.stdin_once == b.stdin_once &&
           a.args_escaped == b.args_escaped && a.user == b.user &&
           a.working_dir == b.working_dir && a.stop_signal == b.stop_signal &&
           a.stop_timeout == b.stop_timeout && same_health(a.healthcheck, b.healthcheck);
}

Platform platform_of(const store::ImageConfig& config) {
    Platform out{config.os, config.architecture, config.variant};
    normalise(out);
    return out;
}

bool same_history(const store::ImageHistory& a, const store::ImageHistory& b) {
    return a.created == b.created && a.created_by == b.created_by && a.author == b.author &&
           a.comment == b.comment && a.empty_layer == b.empty_layer;
}

/// Whether `target` was made on top of `parent`.
bool stands_on(const store::Image& target, const store::Image* parent) {
    const auto& config = *target.config;
    if (config.history.empty()) return false;
    if (parent == nullptr) return true;
    const auto& below = *parent->config;
    if (below.history.empty() && below.diff_ids.empty()) return true;
    if (below.history.size() >= config.history.size()) return false;
    if (below.diff_ids.size() > config.diff_ids.size()) return false;
    return std::ranges::equal(below.history,
                              std::span(config.history).first(below.history.size()),
                              same_history) &&
           std::ranges::equal(below.diff_ids,
                              std::span(config.diff_ids).first(below.diff_ids.size()));
}

/// The layer of one entry of the history; empty when that has none.
std::string layer_of(const store::ImageConfig& config, std::size_t entry) {
    if (config.history[entry].empty_layer) return {};
    std::size_t layer = 0;
    for (std::size_t at = 0; at < entry; ++at) layer += config.history[at].empty_layer ? 0 : 1;
    return layer < config.diff_ids.size() ? config.diff_ids[layer] : std::string();
}

}  // namespace

ImageCache::ImageCache(store::Images& images, const std::vector<std::string>& sources)
    : images_(images), by_source_(!sources.empty()) {
    for (const std::string& name : sources) {
        try {
            sources_.push_back(images_.get(name));
        } catch (const base::Error& error) {
            base::log::warn("Could not look up {} for cache resolution, skipping: {}", name,
                            error.what());
        }
    }
}

/// At the bottom: images of one step. One that lost its parent is not made of nothing.
std::vector<store::ImagePtr> ImageCache::children_of(const std::string& parent) const {
    std::vector<store::ImagePtr> out;
    if (parent.empty()) {
        out = images_.list();
        std::erase_if(out, [](const store::ImagePtr& image) {
            return !image->parent.empty() || image->config->history.size() != 1;
        });
    } else if (const auto image = images_.find(parent)) {
        for (const std::string& id : image->children) out.push_back(images_.find(id));
    }
    return out;
}

store::ImagePtr ImageCache::find_child(const std::string& parent,
                                       const model::ContainerConfig& config,
                                       const Platform& platform) const {
    store::ImagePtr match;
    for (const auto& child : children_of(parent)) {
        // Only what was built here says truly what was done.
        if (!child || !child->built_locally || !child->config->container_config) continue;
        if (!platform.accepts(platform_of(*child->config))) continue;
        if (!same_config(*child->config->container_config, config)) continue;
        if (!child->config->created) continue;
        if (!match || *match->config->created < *child->config->created) match = child;
    }
    return match;
}

bool ImageCache::is_below_source(const std::string& id) const {
    return std::ranges::any_of(sources_, [&](const store::ImagePtr& source) {
        for (auto at = source; at && !at->parent.empty(); at = images_.find(at->parent)) {
            if (at->parent == id) return true;
        }
        return false;
    });
}

std::string ImageCache::restore(const store::ImagePtr& parent, const store::Image& target,
                                const model::ContainerConfig& config) const {
    const auto& from = *target.config;
    store::ImageConfig out;
    const std::size_t entry = parent ? parent->config->history.size() : 0;
    if (parent) {
        out.history = parent->config->history;
        out.diff_ids = parent->config->diff_ids;
    }
    out.history.push_back(from.history[entry]);
    if (const std::string layer = layer_of(from, entry); !layer.empty()) {
        out.diff_ids.push_back(layer);
    }
    out.docker_version = docker_version;
    out.config = config;
    out.architecture = from.architecture;
    out.variant = from.variant;
    out.os = from.os;
    out.os_version = from.os_version;
    out.os_features = from.os_features;
    out.author = from.author;
    out.created = out.history.back().created;
    return images_.create(store::encode_image_config(out),
                          {.parent = parent ? parent->id : std::string(),
                           .built_locally = false,
                           .flush = store::Flush::later});
}

std::optional<std::string> ImageCache::find(const std::string& parent,
                                            const model::ContainerConfig& config,
                                            const Platform& platform) {
    const auto local = find_child(parent, config, platform);
    if (!by_source_) return local ? std::optional(local->id) : std::nullopt;
    if (local && is_below_source(local->id)) return local->id;
    const store::ImagePtr below = parent.empty() ? nullptr : images_.get_by_id(parent);
    const std::size_t entry = below ? below->config->history.size() : 0;
    for (const auto& target : sources_) {
        const auto& history = target->config->history;
        if (!stands_on(*target, below.get()) || entry >= history.size() ||
            base::join(config.cmd, " ") != history[entry].created_by) {
            continue;
        }
        if (entry + 1 == history.size()) {
            if (below) images_.set_parent(target->id, below->id);
            return target->id;
        }
        const auto chosen = target;
        sources_ = {chosen};
        return restore(below, *chosen, config);
    }
    return std::nullopt;
}

}  // namespace dockerd::engine::builds

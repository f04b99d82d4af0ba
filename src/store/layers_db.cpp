#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include <fmt/format.h>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/store/bolt.hpp>

#include "layers_impl.hpp"

namespace dockerd::store {
namespace {

std::string read_trimmed(int directory, const std::string& name) {
    return std::string(base::trim(read_file(directory, name, 4096)));
}

std::string read_optional(int directory, const std::string& name) {
    try {
        return read_trimmed(directory, name);
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) throw;
        return {};
    }
}

/// Source: moby layer/filestore.go, isValidID: 64 hex digits, or what old stores had.
bool is_mount_id(std::string_view id) {
    return !id.empty() && id.size() <= 128 && std::ranges::all_of(id, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
    });
}

}  // namespace

Layers::Impl::Impl(const std::string& data_root, const archive::Unpacker& unpacks)
    : unpacker(unpacks), overlay(data_root), db_root(data_root + "/image/overlay2/layerdb") {
    // Modes as Docker makes them: image/ and image/overlay2/ 0700, layerdb/ and below as listed.
    (void)open_or_make_directory(data_root + "/image/overlay2", 0700);
    db_fd = open_or_make_directory(db_root, 0700);
    chains_fd = open_or_make_directory(db_root + "/sha256", 0755);
    mounts_fd = open_or_make_directory(db_root + "/mounts", 0755);
    tmp_fd = open_or_make_directory(db_root + "/tmp", 0755);
    finish_removals();
    load();
    hold_build_cache(data_root);
}

/// BuildKit holds layers by references of its own: each snapshot that is in use, and the layer it became, is named in
/// its database. They stay when the last image or container that has them goes.
/// Source: moby builder/builder-next/adapters/snapshot/snapshot.go.
void Layers::Impl::hold_build_cache(const std::string& data_root) {
    constexpr std::size_t limit = 1U << 30U;
    std::string bytes;
    try {
        const base::Fd folder{
            ::open((data_root + "/buildkit").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
        if (!folder) return;
        bytes = read_file(folder.get(), "snapshots.db", limit);
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) {
            base::log::warn("BuildKit's cache: {}, ignoring", error.what());
            knows_build_cache = false;
        }
        return;
    }
    BoltBucket snapshots;
    try {
        snapshots = parse_bolt(bytes);
    } catch (const base::Error& error) {
        base::log::warn("BuildKit's cache: {}; what can be read of it counts", error.what());
        snapshots = salvage_bolt(bytes);
        knows_build_cache = false;
    }
    std::set<std::string> known;
    for (const auto& [name, snapshot] : snapshots.buckets) {
        known.insert(name);
        for (const auto& [key, value] : snapshot.values) {
            if (key == "chainid" || key == "committed") known.insert(value);
        }
    }
    for (auto& [chain_id, layer] : layers) {
        if (known.contains(chain_id) || known.contains(layer.cache_id)) ++layer.holds;
    }
}

void Layers::Impl::load() {
    for (const std::string& name : archive::sorted_names(chains_fd.get())) {
        if (!base::is_full_id(name)) continue;
        try {
            load_layer(name);
        } catch (const base::Error& error) {
            base::log::error("skipping layer sha256:{}: {}", name, error.what());
        }
    }
    // A layer whose parent is missing is of no use; repeat, as it may be a parent itself.
    for (bool changed = true; changed;) {
        changed = std::erase_if(layers, [this](const auto& item) {
                      const std::string& parent = item.second.info.parent;
                      return !parent.empty() && !layers.contains(parent);
                  }) > 0;
    }
    for (auto& [id, layer] : layers) {
        int depth = 1;
        for (std::string up = layer.info.parent; !up.empty(); up = layers.at(up).info.parent)
            ++depth;
        layer.depth = depth;
        if (!layer.info.parent.empty()) ++layers.at(layer.info.parent).holds;
    }
    for (const std::string& name : archive::sorted_names(mounts_fd.get())) {
        if (name.starts_with('.')) continue;
        try {
            if (read_optional(mounts_fd.get(), name + "/mount-id").empty()) begun_rw.push_back(name);
            load_rw(name);
        } catch (const base::Error& error) {
            base::log::error("skipping layer of container {}: {}", name, error.what());
        }
    }
}

void Layers::Impl::load_layer(const std::string& hex) {
    RoLayer layer;
    layer.info.chain_id = "sha256:" + hex;
    layer.info.diff_id = read_trimmed(chains_fd.get(), hex + "/diff");
    layer.cache_id = read_trimmed(chains_fd.get(), hex + "/cache-id");
    layer.info.parent = read_optional(chains_fd.get(), hex + "/parent");
    const auto size = base::parse_int(read_trimmed(chains_fd.get(), hex + "/size"));
    const bool sane = model::is_sha256_digest(layer.info.diff_id) && is_mount_id(layer.cache_id) &&
                      (layer.info.parent.empty() || model::is_sha256_digest(layer.info.parent));
    if (!size || !sane || chain_id_of(layer.info.parent, layer.info.diff_id) != layer.info.chain_id) {
        base::fail(base::ErrorKind::internal, "invalid layer metadata");
    }
    layer.info.size = *size;
    layer.claimed = ::faccessat(chains_fd.get(), (hex + "/" + unclaimed_file).c_str(), F_OK, 0) != 0;
    layers.emplace(layer.info.chain_id, std::move(layer));
}

void Layers::Impl::load_rw(const std::string& container_id) {
    auto layer = std::make_shared<RwLayer>();
    layer->container_id = container_id;
    layer->mount_id = read_trimmed(mounts_fd.get(), container_id + "/mount-id");
    layer->init_id = read_optional(mounts_fd.get(), container_id + "/init-id");
    layer->parent = read_optional(mounts_fd.get(), container_id + "/parent");
    if (!is_mount_id(layer->mount_id) ||
        (!layer->init_id.empty() && !is_mount_id(layer->init_id))) {
        base::fail(base::ErrorKind::internal, "invalid mount id value");
    }
    if (!layer->parent.empty()) {
        const auto parent = layers.find(layer->parent);
        if (parent == layers.end()) {
            base::fail(base::ErrorKind::internal, "layer does not exist: " + layer->parent);
        }
        ++parent->second.holds;
    }
    rw_layers.emplace(container_id, std::move(layer));
}

/// Ends in the background what a crash or the daemon's end cut off: deletions of layers, of containers' layers, and
/// half-made layers. All of these have names that nothing else gets.
void Layers::Impl::finish_removals() {
    constexpr std::string_view suffix = "-removing";
    for (const std::string& name : archive::sorted_names(chains_fd.get())) {
        if (!name.ends_with(suffix)) continue;
        reaper.post([this, name] {
            const std::string cache_id = read_optional(chains_fd.get(), name + "/cache-id");
            if (is_mount_id(cache_id)) overlay.remove(cache_id, reaper.stop());
            remove_tree(chains_fd.get(), name, reaper.stop());
        });
    }
    for (const std::string& name : archive::sorted_names(tmp_fd.get())) {
        if (!name.starts_with("write-set-") && !name.starts_with("removing-")) continue;
        reaper.post([this, name] { sweep_transaction(name); });
    }
}

void Layers::Impl::sweep_transaction(const std::string& name) {
    for (const char* file : {"/cache-id", "/mount-id", "/init-id"}) {
        const std::string id = read_optional(tmp_fd.get(), name + file);
        if (is_mount_id(id)) overlay.remove(id, reaper.stop());
    }
    remove_tree(tmp_fd.get(), name, reaper.stop());
}

void Layers::Impl::discard(StagedLayer::State& staged) noexcept {
    try {
        reaper.post([this, id = staged.overlay.id, name = staged.transaction] {
            overlay.remove(id, reaper.stop());
            remove_tree(tmp_fd.get(), name, reaper.stop());
        });
    } catch (const std::exception& error) {
        base::log::warn("discard layer {}: {}", staged.overlay.id, error.what());
    }
}

}  // namespace dockerd::store

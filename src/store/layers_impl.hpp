#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/store/layers.hpp>

#include "init_layer.hpp"
#include "overlay.hpp"
#include "reaper.hpp"

namespace dockerd::store {

/// In the folder of a layer that no image has yet. Docker, which has no such file, takes no notice of it.
inline constexpr const char* unclaimed_file = "unclaimed";

struct RoLayer {
    LayerInfo info;
    std::string cache_id;
    int depth = 1;
    int holds = 0;
    std::optional<OverlayDir> overlay;  ///< read when first needed
    std::optional<std::int64_t> tar_size;  ///< likewise
    bool marked_committed = false;
    bool claimed = true;  ///< no file `unclaimed_file`
    std::shared_ptr<const InitTemplate> init_template;
};

struct RwLayer {
    std::string container_id;
    std::string mount_id;
    std::string init_id;  ///< empty without an init layer
    std::string parent;   ///< chain id
    base::Mutex mutex;    ///< serialises mounting of this layer
    int mounts = 0;
    int readers = 0;       ///< calls that read the files and want them kept
    bool removed = false;  ///< the name is gone; the last reader has the files deleted
    std::string renamed;   ///< what names them for the next daemon then
    /// Bytes, measured when nothing was mounted; the next mount forgets it.
    std::optional<std::int64_t> size;
    std::uint64_t mounted_times = 0;
};
using RwLayerPtr = std::shared_ptr<RwLayer>;

struct StagedLayer::State {
    Layers::Impl* owner = nullptr;
    std::string transaction;  ///< folder below layerdb/tmp
    OverlayDir overlay;
    std::string diff_id;
    std::int64_t size = 0;
    std::int64_t tar_size = 0;  ///< bytes of the tar it came from
    bool committed = false;
};

/// A layer whose folders are there, and nothing in them.
struct Layers::Begun {
    StagedLayer layer;
    base::Fd diff;
    base::Fd tar_split;
};

struct Layers::Impl {
    Impl(const std::string& data_root, const archive::Unpacker& unpacks);

    // layers_db.cpp: what layerdb/ says
    void load();
    void load_layer(const std::string& hex);
    void load_rw(const std::string& container_id);
    void hold_build_cache(const std::string& data_root);
    void finish_removals();
    void sweep_transaction(const std::string& name);
    void discard(StagedLayer::State& staged) noexcept;

    // layers.cpp: holds
    RoLayer& require(const std::string& chain_id);
    const RoLayer& require(const std::string& chain_id) const;
    std::vector<LayerInfo> release_locked(const std::string& chain_id);
    void delete_layer(const RoLayer& layer);
    void claim_locked(const std::string& chain_id);
    const OverlayDir& overlay_of(RoLayer& layer);
    /// Folder names of a chain, top first.
    std::vector<std::string> stack_of(const std::string& chain_id) const;

    // layers_rw.cpp
    RwLayerPtr require_rw(const std::string& container_id) const;
    LowerStack lower_stack_of(const RwLayer& layer) const;
    void take_down(const RwLayerPtr& layer);
    void delete_files(const RwLayer& layer);
    /// Keeps the files of a layer that may be removed meanwhile, as long as the result lives.
    std::shared_ptr<void> hold_files(const RwLayerPtr& layer);
    std::shared_ptr<const InitTemplate> init_template_of(const std::string& chain_id);
    void make_rw(const RwLayer& layer, const std::optional<OverlayDir>& parent,
                 const std::shared_ptr<const InitTemplate>& init, const RwOptions& options,
                 Batch& batch);

    const archive::Unpacker& unpacker;
    Overlay overlay;
    std::string db_root;
    base::Fd db_fd;      ///< layerdb/
    base::Fd chains_fd;  ///< layerdb/sha256/
    base::Fd mounts_fd;  ///< layerdb/mounts/
    base::Fd tmp_fd;     ///< layerdb/tmp/

    mutable base::Mutex mutex;  ///< guards the maps
    std::map<std::string, RoLayer> layers;
    std::map<std::string, RwLayerPtr> rw_layers;
    std::vector<std::string> begun_rw;  ///< found in mounts/ without the name of a folder
    bool knows_build_cache = true;  ///< what BuildKit holds could be read
    std::set<std::string> creating;  ///< container ids between reservation and entry

    base::Mutex commit_mutex;  ///< one layer enters the database at a time

    Reaper reaper;  ///< last: its jobs use what is above
};

}  // namespace dockerd::store

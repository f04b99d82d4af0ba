#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/store/staged_layer.hpp>

namespace dockerd::archive {
class Unpacker;
}

namespace dockerd::store {

inline constexpr int max_layers = 125;  ///< Source: moby layer/layer_store.go, maxLayerDepth.

/// A read-only layer. Ids are "sha256:<hex>"; `parent` is empty at the bottom.
struct LayerInfo {
    std::string chain_id;
    std::string diff_id;
    std::string parent;
    std::int64_t size = 0;  ///< bytes of this layer alone
};

/// Chain id of `diff_id` on top of `parent_chain`. Source: OCI image-spec config.md, ChainID.
std::string chain_id_of(const std::string& parent_chain, const std::string& diff_id);
std::string chain_id_of(const std::vector<std::string>& diff_ids);  ///< of a list; empty for an empty one
inline constexpr const char* empty_diff_id =  ///< of an empty tar. Source: moby layer/empty.go.
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// A container's root file system, mounted.
struct MountedLayer {
    std::string path;  ///< <root>/overlay2/<id>/merged
    base::Fd tree;     ///< detached clone of the mount, for the container's own namespace
};

/// How a writable layer is made.
struct RwOptions {
    bool init_layer = true;  ///< with mount points for /dev/pts, /etc/hosts and so on
    std::uint32_t uid = 0;   ///< owner of what is made
    std::uint32_t gid = 0;
};

/// One line of `docker diff`.
struct LayerChange {
    enum class Kind { modify = 0, add = 1, remove = 2 };
    std::string path;
    Kind kind = Kind::modify;
};

/// All layers of a data root: layerdb and the overlay2 folder, in Docker's own form.
///
/// Layers are counted: each image, container, child layer and caller that took one holds it; one that nobody
/// holds is deleted with its parents. Those found on disk are kept until somebody acquires and releases
/// them: they may belong to another program's cache.
/// Thread: every function may be called from any thread.
class Layers {
public:
    /// Opens `<data_root>/image/overlay2/layerdb` and `<data_root>/overlay2`, makes them if they are missing, and
    /// goes on with removals that were cut off. A layer that cannot be read is skipped with a log line.
    /// What is unpacked, `unpacker` does; it must outlive this object.
    Layers(const std::string& data_root, const archive::Unpacker& unpacker);
    ~Layers();
    Layers(const Layers&) = delete;
    Layers& operator=(const Layers&) = delete;

    /// Unpacks an uncompressed tar, hashing it and keeping its tar-split in one pass. The hash is
    /// made here, of what the unpacker is given.
    /// Throws: as archive::Unpacker::unpack_layer.
    StagedLayer stage(archive::ByteSource tar);
    /// For those who bring layers.
    [[nodiscard]] const archive::Unpacker& unpacker() const;
    /// Puts a staged layer on top of `parent_chain` ("" for none). An equal layer that exists is
    /// used instead. The caller holds the layer once; durable on return, if `flush` says so.
    /// Throws: not_found, "layer does not exist"; "max depth exceeded" beyond 125 layers.
    LayerInfo commit(StagedLayer staged, const std::string& parent_chain, Flush flush = Flush::now);
    /// Puts several layers on each other, the first one on `parent_chain`: all of them or none, with
    /// one wait for the disk. Returns them in their order; the caller holds each once.
    std::vector<LayerInfo> commit(std::vector<StagedLayer> staged, const std::string& parent_chain,
                                  Flush flush = Flush::now);
    /// stage and commit.
    LayerInfo apply(const std::string& parent_chain, archive::ByteSource tar);

    /// Takes a hold of a layer. Throws: not_found, "layer does not exist".
    LayerInfo acquire(const std::string& chain_id);
    /// Gives a hold back; returns what got deleted, top first.
    std::vector<LayerInfo> release(const std::string& chain_id);
    /// An image on disk has the layer: a daemon that dies does not leave it to nobody.
    void claim(const std::string& chain_id);
    /// Deletes those an earlier daemon left so, and what it had begun of writable layers of containers that
    /// `is_known` rejects. Pre: who holds layers by what is on disk has them.
    void sweep_unclaimed(const std::function<bool(const std::string& container_id)>& is_known);
    [[nodiscard]] std::optional<LayerInfo> find(const std::string& chain_id) const;
    /// Any layer with these contents, on whatever parent.
    [[nodiscard]] std::optional<LayerInfo> find_by_diff(const std::string& diff_id) const;
    [[nodiscard]] std::vector<LayerInfo> list() const;
    /// Size of a layer and everything below it.
    [[nodiscard]] std::int64_t chain_size(const std::string& chain_id) const;

    /// The exact tar the layer came from. The caller holds the layer meanwhile.
    /// Throws while reading: internal, "file integrity checksum failed for "x"".
    [[nodiscard]] archive::ByteSource open_tar(const std::string& chain_id) const;
    /// Length of that tar.
    [[nodiscard]] std::int64_t tar_size(const std::string& chain_id) const;

    /// Makes a container's writable layer on `parent_chain` ("" for none). Durable after
    /// `batch.commit()`. Throws: conflict, "mount name conflict"; not_found.
    void create_rw(const std::string& container_id, const std::string& parent_chain,
                   const RwOptions& options, Batch& batch);
    void create_rw(const std::string& container_id, const std::string& parent_chain,
                   const RwOptions& options = {}, Flush flush = Flush::now);
    [[nodiscard]] bool has_rw(const std::string& container_id) const;
    /// Ids of all writable layers, also of those no container record belongs to.
    [[nodiscard]] std::vector<std::string> list_rw() const;
    /// Chain id of the image below a container's layer.
    [[nodiscard]] std::string rw_parent(const std::string& container_id) const;

    /// Mounts, or counts one more user of the mount. A mount that an earlier daemon left is used.
    MountedLayer mount_rw(const std::string& container_id);
    /// Undoes one mount_rw; the last one detaches the mount.
    void unmount_rw(const std::string& container_id);
    /// Deletes the layer and releases its parent; a busy mount is detached. The name is free on return, the files
    /// go in the background. Not durable by itself: ContainerFiles::remove, called after it, flushes both.
    std::vector<LayerInfo> remove_rw(const std::string& container_id);

    /// What the container changed. Source: moby/go-archive changes.go, ChangesDirs.
    [[nodiscard]] std::vector<LayerChange> rw_changes(const std::string& container_id);
    /// Bytes in the writable layer alone. While nothing is mounted it is measured once.
    [[nodiscard]] std::int64_t rw_size(const std::string& container_id) const;
    /// Makes a layer of what the container changed, for commit. Files are read while this runs;
    /// those of a container removed meanwhile stay until it is through.
    /// Source: moby daemon/graphdriver/overlay2/overlay.go, Diff.
    StagedLayer stage_rw(const std::string& container_id);
    /// The same of a layer that is not mounted: its files themselves become the new layer's, unless they cannot
    /// stay as they are. Only remove_rw may follow. Pre: nobody else writes to the files, by whatever name.
    StagedLayer take_rw(const std::string& container_id);
    /// The files of a layer that is not mounted, without those below it.
    [[nodiscard]] base::Fd open_rw(const std::string& container_id) const;

    /// LowerDir, MergedDir, UpperDir, WorkDir (and ID) as `docker inspect` shows them.
    [[nodiscard]] std::map<std::string, std::string> rw_metadata(
        const std::string& container_id) const;
    [[nodiscard]] std::map<std::string, std::string> layer_metadata(
        const std::string& chain_id) const;

    /// Name and value pairs for `docker info`: "Backing Filesystem", "Supports d_type", ...
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> status() const;

    /// Waits until background deletions are through.
    void settle();
    /// Detaches the mounts of containers whose ids `in_use` rejects: what a crash left over.
    void clean_mounts(const std::function<bool(const std::string& container_id)>& in_use);

    struct Impl;

private:
    struct Begun;
    Begun begin_stage();

    std::unique_ptr<Impl> impl_;
};

/// One hold of a layer; released on destruction unless kept.
class LayerHold {
public:
    LayerHold(Layers& layers, std::string chain_id)
        : layers_(&layers), chain_id_(std::move(chain_id)) {}
    LayerHold(LayerHold&& other) noexcept
        : layers_(std::exchange(other.layers_, nullptr)), chain_id_(std::move(other.chain_id_)) {}
    LayerHold& operator=(LayerHold&&) = delete;
    ~LayerHold();

    [[nodiscard]] const std::string& chain_id() const { return chain_id_; }
    /// The hold passes to somebody else.
    void keep() { layers_ = nullptr; }

private:
    Layers* layers_;
    std::string chain_id_;
};

}  // namespace dockerd::store

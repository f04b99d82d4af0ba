#include <dockerd/store/backing.hpp>
#include <dockerd/store/layers.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/model/reference.hpp>

#include "layers_impl.hpp"
#include "tar_split.hpp"

namespace dockerd::store {
namespace {

[[noreturn]] void no_such_layer() {
    // Source: moby layer/layer.go, ErrLayerDoesNotExist.
    base::fail(base::ErrorKind::not_found, "layer does not exist");
}

/// What went through a source: how much, and its sum.
struct Passed {
    archive::Sha256 hash;
    std::int64_t bytes = 0;
};

/// `source` with every byte counted and hashed on the way.
archive::ByteSource watched(archive::ByteSource source, const std::shared_ptr<Passed>& passed) {
    return [source = std::move(source), passed](std::span<char> buffer) {
        const std::size_t n = source(buffer);
        passed->hash.update({buffer.data(), n});
        passed->bytes += static_cast<std::int64_t>(n);
        return n;
    };
}

}  // namespace

std::string chain_id_of(const std::string& parent_chain, const std::string& diff_id) {
    return parent_chain.empty() ? diff_id : archive::sha256_digest(parent_chain + " " + diff_id);
}

std::string chain_id_of(const std::vector<std::string>& diff_ids) {
    std::string chain;
    for (const std::string& diff_id : diff_ids) chain = chain_id_of(chain, diff_id);
    return chain;
}

StagedLayer::StagedLayer(std::unique_ptr<State> state) : state_(std::move(state)) {}
StagedLayer::StagedLayer(StagedLayer&&) noexcept = default;
StagedLayer& StagedLayer::operator=(StagedLayer&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}
StagedLayer::~StagedLayer() {
    if (state_ && !state_->committed) state_->owner->discard(*state_);
}
const std::string& StagedLayer::diff_id() const { return state_->diff_id; }
std::int64_t StagedLayer::size() const { return state_->size; }

LayerHold::~LayerHold() {
    if (layers_ == nullptr) return;
    try {
        (void)layers_->release(chain_id_);
    } catch (const base::Error& error) {
        base::log::warn("release layer {}, ignoring: {}", chain_id_, error.what());
    }
}

Layers::Layers(const std::string& data_root, const archive::Unpacker& unpacker)
    : impl_(std::make_unique<Impl>(data_root, unpacker)) {}
Layers::~Layers() = default;

const archive::Unpacker& Layers::unpacker() const { return impl_->unpacker; }

Layers::Begun Layers::begin_stage() {
    Impl& self = *impl_;
    auto state = std::make_unique<StagedLayer::State>();
    state->owner = impl_.get();
    state->transaction = "write-set-" + base::random_hex(8);
    if (::mkdirat(self.tmp_fd.get(), state->transaction.c_str(), 0700) != 0) {
        base::throw_errno(errno, "mkdir layer transaction");
    }
    const std::string cache_id = base::random_id();
    state->overlay.id = cache_id;
    StagedLayer staged(std::move(state));
    StagedLayer::State& it = *staged.state_;

    const base::Fd folder{
        ::openat(self.tmp_fd.get(), it.transaction.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) base::throw_errno(errno, "open layer transaction");
    Batch batch;
    // First of all the name of what is to be deleted, should we not come to the end.
    batch.write_new(folder.get(), "cache-id", cache_id);
    it.overlay = self.overlay.create(cache_id, std::nullopt, 0, 0, batch);
    base::Fd diff = self.overlay.open_diff(cache_id);
    base::Fd split{::openat(folder.get(), "tar-split.json.gz",
                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (!split) base::throw_errno(errno, "write tar-split.json.gz");
    return {std::move(staged), std::move(diff), std::move(split)};
}

StagedLayer Layers::stage(archive::ByteSource tar) {
    Begun begun = begin_stage();
    StagedLayer::State& it = *begun.layer.state_;
    const auto passed = std::make_shared<Passed>();
    it.size = impl_->unpacker
                  .unpack_layer(watched(std::move(tar), passed), begun.diff.get(),
                                begun.tar_split.get())
                  .size;
    it.diff_id = passed->hash.digest();
    it.tar_size = passed->bytes;
    return std::move(begun.layer);
}

RoLayer& Layers::Impl::require(const std::string& chain_id) {
    const auto found = layers.find(chain_id);
    if (found == layers.end()) no_such_layer();
    return found->second;
}

const RoLayer& Layers::Impl::require(const std::string& chain_id) const {
    const auto found = layers.find(chain_id);
    if (found == layers.end()) no_such_layer();
    return found->second;
}

const OverlayDir& Layers::Impl::overlay_of(RoLayer& layer) {
    if (!layer.overlay) layer.overlay = overlay.open(layer.cache_id);
    return *layer.overlay;
}

std::vector<std::string> Layers::Impl::stack_of(const std::string& chain_id) const {
    std::vector<std::string> out;
    for (std::string at = chain_id; !at.empty();) {
        const RoLayer& layer = require(at);
        out.push_back(layer.cache_id);
        at = layer.info.parent;
    }
    return out;
}

LayerInfo Layers::acquire(const std::string& chain_id) {
    const base::Lock lock(impl_->mutex);
    RoLayer& layer = impl_->require(chain_id);
    ++layer.holds;
    return layer.info;
}

std::vector<LayerInfo> Layers::release(const std::string& chain_id) {
    const base::Lock lock(impl_->mutex);
    return impl_->release_locked(chain_id);
}

std::vector<LayerInfo> Layers::Impl::release_locked(const std::string& chain_id) {
    std::vector<LayerInfo> removed;
    for (std::string at = chain_id; !at.empty();) {
        const auto found = layers.find(at);
        if (found == layers.end()) break;
        if (--found->second.holds > 0) break;
        delete_layer(found->second);
        removed.push_back(found->second.info);
        at = found->second.info.parent;
        layers.erase(found);
    }
    return removed;
}

/// Takes the layer out of the database at once; its files follow in the background.
/// Source: moby layer/layer_store.go, deleteLayer: the name a half-deleted layer has.
void Layers::Impl::delete_layer(const RoLayer& layer) {
    const std::string hex = model::hex_of(layer.info.chain_id);
    const std::string renamed = fmt::format("{}-{}-removing", hex, base::random_id());
    if (::renameat(chains_fd.get(), hex.c_str(), chains_fd.get(), renamed.c_str()) != 0) {
        base::log::warn("remove layer {}: {}", layer.info.chain_id, base::errno_text(errno));
    }
    reaper.post([this, cache_id = layer.cache_id, renamed] {
        overlay.remove(cache_id, reaper.stop());
        remove_tree(chains_fd.get(), renamed, reaper.stop());
    });
}

void Layers::claim(const std::string& chain_id) {
    const base::Lock lock(impl_->mutex);
    impl_->claim_locked(chain_id);
}

/// With a layer goes all below it: what is on top of one that is not claimed is not claimed either.
void Layers::Impl::claim_locked(const std::string& chain_id) {
    for (std::string at = chain_id; !at.empty();) {
        RoLayer& layer = require(at);
        if (layer.claimed) return;
        layer.claimed = true;
        // Not waited for on the disk: a file that comes back with a power cut is of a layer that is held.
        const std::string file = model::hex_of(at) + "/" + unclaimed_file;
        if (::unlinkat(chains_fd.get(), file.c_str(), 0) != 0) {
            base::log::warn("layer {}: unlink {}: {}", at, file, base::errno_text(errno));
        }
        at = layer.info.parent;
    }
}

void Layers::sweep_unclaimed(const std::function<bool(const std::string& container_id)>& is_known) {
    Impl& self = *impl_;
    for (const std::string& name : std::exchange(self.begun_rw, {})) {
        if (is_known(name)) continue;
        try {
            remove_tree(self.mounts_fd.get(), name);
        } catch (const base::Error& error) {
            base::log::warn("layer {}: {}", name, error.what());
        }
    }
    if (!self.knows_build_cache) return;
    const base::Lock lock(self.mutex);
    std::vector<std::string> unclaimed;
    for (const auto& [id, layer] : self.layers) {
        if (!layer.claimed) unclaimed.push_back(id);
    }
    for (const std::string& id : unclaimed) {
        for (std::string at = id; !at.empty();) {
            const auto found = self.layers.find(at);
            if (found == self.layers.end()) break;
            const RoLayer& layer = found->second;
            if (layer.claimed || layer.holds > 0) break;
            base::log::info("removed layer {}: its image was never completed", at);
            self.delete_layer(layer);
            at = layer.info.parent;
            self.layers.erase(found);
            if (!at.empty()) --self.require(at).holds;
        }
    }
    for (const std::string& id : unclaimed) {
        if (self.layers.contains(id)) self.claim_locked(id);
    }
}

std::optional<LayerInfo> Layers::find(const std::string& chain_id) const {
    const base::Lock lock(impl_->mutex);
    const auto found = impl_->layers.find(chain_id);
    if (found == impl_->layers.end()) return std::nullopt;
    return found->second.info;
}

std::optional<LayerInfo> Layers::find_by_diff(const std::string& diff_id) const {
    const base::Lock lock(impl_->mutex);
    for (const auto& [id, layer] : impl_->layers) {
        if (layer.info.diff_id == diff_id) return layer.info;
    }
    return std::nullopt;
}

std::vector<LayerInfo> Layers::list() const {
    const base::Lock lock(impl_->mutex);
    std::vector<LayerInfo> out;
    out.reserve(impl_->layers.size());
    for (const auto& [id, layer] : impl_->layers) out.push_back(layer.info);
    return out;
}

std::int64_t Layers::chain_size(const std::string& chain_id) const {
    const base::Lock lock(impl_->mutex);
    std::int64_t total = 0;
    for (std::string at = chain_id; !at.empty();) {
        const RoLayer& layer = impl_->require(at);
        total += layer.info.size;
        at = layer.info.parent;
    }
    return total;
}

archive::ByteSource Layers::open_tar(const std::string& chain_id) const {
    std::string cache_id;
    {
        const base::Lock lock(impl_->mutex);
        cache_id = impl_->require(chain_id).cache_id;
    }
    const std::string name = model::hex_of(chain_id) + "/tar-split.json.gz";
    base::Fd split = open_regular(impl_->chains_fd.get(), name, O_RDONLY);
    return assemble_tar(archive::fd_source(std::move(split)), impl_->overlay.open_diff(cache_id));
}

std::int64_t Layers::tar_size(const std::string& chain_id) const {
    {
        const base::Lock lock(impl_->mutex);
        if (const auto known = impl_->require(chain_id).tar_size) return *known;
    }
    const std::string name = model::hex_of(chain_id) + "/tar-split.json.gz";
    base::Fd split = open_regular(impl_->chains_fd.get(), name, O_RDONLY);
    const std::int64_t size = assembled_size(archive::fd_source(std::move(split)));
    const base::Lock lock(impl_->mutex);
    impl_->require(chain_id).tar_size = size;
    return size;
}

std::map<std::string, std::string> Layers::layer_metadata(const std::string& chain_id) const {
    OverlayDir dir;
    {
        const base::Lock lock(impl_->mutex);
        dir = impl_->overlay_of(impl_->require(chain_id));
    }
    std::map<std::string, std::string> out{
        {"MergedDir", impl_->overlay.path(dir.id, "merged")},
        {"UpperDir", impl_->overlay.path(dir.id, "diff")},
        {"WorkDir", impl_->overlay.path(dir.id, "work")},
    };
    if (!dir.lower.empty()) out["LowerDir"] = impl_->overlay.lower_paths(dir);
    return out;
}

std::vector<std::pair<std::string, std::string>> Layers::status() const {
    // Source: moby daemon/graphdriver/overlay2/overlay.go, Status.
    return {{"Backing Filesystem", backing_file_system(impl_->overlay.fd())},
            {"Supports d_type", "true"},
            {"Using metacopy", "false"},
            {"Native Overlay Diff", "true"},
            {"userxattr", "false"}};
}

void Layers::settle() { impl_->reaper.settle(); }

}  // namespace dockerd::store

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>

#include "layers_impl.hpp"

namespace dockerd::store {
namespace {

[[noreturn]] void no_such_mount() {
    // Source: moby layer/layer.go, ErrMountDoesNotExist.
    base::fail(base::ErrorKind::not_found, "mount does not exist");
}

}  // namespace

RwLayerPtr Layers::Impl::require_rw(const std::string& container_id) const {
    const base::Lock lock(mutex);
    const auto found = rw_layers.find(container_id);
    if (found == rw_layers.end()) no_such_mount();
    return found->second;
}

std::shared_ptr<const InitTemplate> Layers::Impl::init_template_of(const std::string& chain_id) {
    std::vector<std::string> stack;
    {
        const base::Lock lock(mutex);
        if (!chain_id.empty()) {
            const RoLayer& layer = require(chain_id);
            if (layer.init_template) return layer.init_template;
            stack = stack_of(chain_id);
        }
    }
    const LowerStack image(overlay, std::move(stack));
    auto plan = std::make_shared<const InitTemplate>(plan_init_layer(image));
    const base::Lock lock(mutex);
    if (!chain_id.empty()) require(chain_id).init_template = plan;
    return plan;
}

/// The order is that of a clean-up: layerdb/mounts/<id>/ first, which names what is to be deleted
/// if a crash comes next. Nothing waits for the disk here; the batch does that once, at its end.
void Layers::Impl::make_rw(const RwLayer& layer, const std::optional<OverlayDir>& parent,
                           const std::shared_ptr<const InitTemplate>& init,
                           const RwOptions& options, Batch& batch) {
    const char* const name = layer.container_id.c_str();
    if (::mkdirat(mounts_fd.get(), name, 0755) != 0) {
        base::throw_errno(errno, fmt::format("mkdir layerdb/mounts/{}", name));
    }
    const base::Fd folder{::openat(mounts_fd.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) base::throw_errno(errno, fmt::format("open layerdb/mounts/{}", name));
    batch.write_new(folder.get(), "mount-id", layer.mount_id);
    if (init) batch.write_new(folder.get(), "init-id", layer.init_id);
    if (!layer.parent.empty()) batch.write_new(folder.get(), "parent", layer.parent);

    std::optional<OverlayDir> below = parent;
    if (init) {
        below = overlay.create(layer.init_id, parent, options.uid, options.gid, batch);
        const base::Fd diff = overlay.open_diff(layer.init_id);
        apply_init_layer(*init, diff.get(), options.uid, options.gid);
        overlay.mark_committed(layer.init_id);
    }
    (void)overlay.create(layer.mount_id, below, options.uid, options.gid, batch);
}

void Layers::create_rw(const std::string& container_id, const std::string& parent_chain,
                       const RwOptions& options, Batch& batch) {
    Impl& self = *impl_;
    const std::shared_ptr<const InitTemplate> init =
        options.init_layer ? self.init_template_of(parent_chain) : nullptr;
    auto layer = std::make_shared<RwLayer>();
    layer->container_id = container_id;
    layer->mount_id = base::random_id();
    if (init) layer->init_id = layer->mount_id + "-init";
    layer->parent = parent_chain;
    std::optional<OverlayDir> parent;
    {
        const base::Lock lock(self.mutex);
        if (self.rw_layers.contains(container_id) || !self.creating.insert(container_id).second) {
            // Source: moby layer/layer.go, ErrMountNameConflict.
            base::fail(base::ErrorKind::conflict, "mount already exists with name");
        }
        base::Undo forget([&]() noexcept { self.creating.erase(container_id); });
        if (!parent_chain.empty()) {
            RoLayer& below = self.require(parent_chain);
            parent = self.overlay_of(below);
            if (!below.marked_committed) self.overlay.mark_committed(below.cache_id);
            below.marked_committed = true;
            ++below.holds;
        }
        forget.dismiss();
    }
    try {
        self.make_rw(*layer, parent, init, options, batch);
    } catch (...) {
        self.take_down(layer);
        const base::Lock lock(self.mutex);
        self.creating.erase(container_id);
        (void)self.release_locked(parent_chain);
        throw;
    }
    const base::Lock lock(self.mutex);
    self.creating.erase(container_id);
    self.rw_layers.emplace(container_id, std::move(layer));
}

void Layers::create_rw(const std::string& container_id, const std::string& parent_chain,
                       const RwOptions& options, Flush flush) {
    Batch batch;
    create_rw(container_id, parent_chain, options, batch);
    batch.finish(impl_->mounts_fd.get(), flush);
}

/// Frees the container's name at once and leaves the deleting to the background. Should we die
/// before that is done, layerdb/tmp/removing-* names the folders for the next start.
/// Pre: the layer's mutex is held, or nobody else knows the layer.
void Layers::Impl::take_down(const RwLayerPtr& layer) {
    layer->removed = true;
    layer->renamed = fmt::format("removing-{}", base::random_hex(16));
    if (::renameat(mounts_fd.get(), layer->container_id.c_str(), tmp_fd.get(),
                   layer->renamed.c_str()) != 0) {
        base::log::debug("layerdb/mounts/{}: {}", layer->container_id, base::errno_text(errno));
    }
    if (layer->readers == 0) delete_files(*layer);
}

void Layers::Impl::delete_files(const RwLayer& layer) {
    reaper.post(
        [this, mount_id = layer.mount_id, init_id = layer.init_id, renamed = layer.renamed] {
            overlay.remove(mount_id, reaper.stop());
            if (!init_id.empty()) overlay.remove(init_id, reaper.stop());
            remove_tree(tmp_fd.get(), renamed, reaper.stop());
        });
}

std::shared_ptr<void> Layers::Impl::hold_files(const RwLayerPtr& layer) {
    const base::Lock lock(layer->mutex);
    if (layer->removed) no_such_mount();
    ++layer->readers;
    return {layer.get(), [this, layer](void*) {
                const base::Lock last(layer->mutex);
                if (--layer->readers == 0 && layer->removed) delete_files(*layer);
            }};
}

bool Layers::has_rw(const std::string& container_id) const {
    const base::Lock lock(impl_->mutex);
    return impl_->rw_layers.contains(container_id);
}

std::vector<std::string> Layers::list_rw() const {
    const base::Lock lock(impl_->mutex);
    std::vector<std::string> out;
    for (const auto& [id, layer] : impl_->rw_layers) out.push_back(id);
    return out;
}

std::string Layers::rw_parent(const std::string& container_id) const {
    return impl_->require_rw(container_id)->parent;
}

MountedLayer Layers::mount_rw(const std::string& container_id) {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    const Overlay& overlay = impl_->overlay;
    const base::Lock lock(layer->mutex);
    const OverlayDir dir = overlay.open(layer->mount_id);
    MountedLayer out;
    // Without layers below there is nothing to mount; the folder itself is the root.
    const char* const part = dir.lower.empty() ? "diff" : "merged";
    out.path = overlay.path(dir.id, part);
    const bool first = layer->mounts == 0 && !dir.lower.empty();
    if (first) overlay.mount(dir);
    out.tree.reset(::open_tree(overlay.fd(), (dir.id + "/" + part).c_str(),
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!out.tree) {
        const int error = errno;
        if (first) {
            const base::Fd closes = overlay.unmount(dir.id);
        }
        base::throw_errno(error, fmt::format("open_tree {}", out.path));
    }
    ++layer->mounts;
    ++layer->mounted_times;
    layer->size.reset();
    return out;
}

void Layers::unmount_rw(const std::string& container_id) {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    const base::Lock lock(layer->mutex);
    if (layer->mounts > 0 && --layer->mounts > 0) return;
    auto last = std::make_shared<base::Fd>(impl_->overlay.unmount(layer->mount_id));
    impl_->reaper.post([last] { last->reset(); });
}

std::vector<LayerInfo> Layers::remove_rw(const std::string& container_id) {
    Impl& self = *impl_;
    const RwLayerPtr layer = self.require_rw(container_id);
    const base::Lock lock(layer->mutex);
    {
        const base::Lock map_lock(self.mutex);
        if (self.rw_layers.erase(container_id) == 0) no_such_mount();
    }
    if (layer->mounts > 0 || self.overlay.is_mounted(layer->mount_id)) {
        auto last = std::make_shared<base::Fd>(self.overlay.unmount(layer->mount_id));
        self.reaper.post([last] { last->reset(); });
    }
    layer->mounts = 0;
    self.take_down(layer);
    if (layer->parent.empty()) return {};
    return release(layer->parent);
}

void Layers::clean_mounts(const std::function<bool(const std::string& container_id)>& in_use) {
    for (const std::string& id : list_rw()) {
        const RwLayerPtr layer = impl_->require_rw(id);
        const base::Lock lock(layer->mutex);
        if (layer->mounts > 0 || in_use(id) || !impl_->overlay.is_mounted(layer->mount_id))
            continue;
        auto last = std::make_shared<base::Fd>(impl_->overlay.unmount(layer->mount_id));
        impl_->reaper.post([last] { last->reset(); });
    }
}

std::int64_t Layers::rw_size(const std::string& container_id) const {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    std::uint64_t times = 0;
    {
        const base::Lock lock(layer->mutex);
        if (layer->size) return *layer->size;
        times = layer->mounted_times;
    }
    const std::int64_t size = archive::tree_size(impl_->overlay.open_diff(layer->mount_id).get());
    const base::Lock lock(layer->mutex);
    // Only what nobody could write to meanwhile, nor can before the next mount, is remembered.
    // A mount may also be one that an earlier daemon left.
    if (layer->mounts == 0 && layer->mounted_times == times &&
        !impl_->overlay.is_mounted(layer->mount_id)) {
        layer->size = size;
    }
    return size;
}

std::map<std::string, std::string> Layers::rw_metadata(const std::string& container_id) const {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    const OverlayDir dir = impl_->overlay.open(layer->mount_id);
    std::map<std::string, std::string> out{
        {"ID", container_id},
        {"MergedDir", impl_->overlay.path(dir.id, "merged")},
        {"UpperDir", impl_->overlay.path(dir.id, "diff")},
        {"WorkDir", impl_->overlay.path(dir.id, "work")},
    };
    if (!dir.lower.empty()) out["LowerDir"] = impl_->overlay.lower_paths(dir);
    return out;
}

}  // namespace dockerd::store

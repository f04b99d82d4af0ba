#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "layers_impl.hpp"

namespace dockerd::store {
namespace {

/// Source: moby/go-archive changes.go, sameFsTime: tars keep whole seconds only.
bool same_time(const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

/// Source: moby/go-archive changes_unix.go, statDifferent.
bool differs(const struct stat& before, const struct stat& after) {
    if (before.st_mode != after.st_mode || before.st_uid != after.st_uid ||
        before.st_gid != after.st_gid || before.st_rdev != after.st_rdev) {
        return true;
    }
    if (S_ISDIR(before.st_mode)) return false;
    return !same_time(before.st_mtim, after.st_mtim) || before.st_size != after.st_size;
}

std::string capability_of(int fd) {
    std::array<char, 64> buffer{};
    const ssize_t n = ::getxattr(archive::fd_path(fd).c_str(), "security.capability", buffer.data(),
                                 buffer.size());
    return n <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(n));
}

/// The upper directory alone does not tell what the container shows.
struct MergedViewNeeded {};

void need_no_merged_view(int fd) {
    if (is_redirected(fd)) throw MergedViewNeeded{};
}

/// Compares the upper directory with what lies below it. Everything that changed is in the upper
/// directory by itself, so the merged trees need not be walked as Docker does. Where that is not
/// so, MergedViewNeeded is thrown, and the mounted tree has to be compared.
class Differ {
public:
    enum class Tree { upper, merged };
    Differ(const LowerStack& lower, Tree tree) : lower_(lower), tree_(tree) {}

    std::vector<LayerChange> run(int root) {
        children(root, lower_.root(), "", /*complete=*/tree_ == Tree::merged);
        return std::move(changes_);
    }

private:
    using Kind = LayerChange::Kind;

    void add(const std::string& path, Kind kind) { changes_.push_back({"/" + path, kind}); }

    /// `complete`: what is not in this directory is not in the container.
    void children(int directory, const LowerNode& below, const std::string& path, bool complete);
    void one(int directory, const LowerNode& parent, const std::string& parent_path,
             const std::string& name, bool parent_complete);
    void directory(int fd, const LowerNode& old, const std::string& path, bool complete,
                   bool listed);
    void remove_hidden(const LowerNode& below, const std::string& path,
                       const std::vector<std::string>& kept);

    const LowerStack& lower_;
    const Tree tree_;
    std::vector<LayerChange> changes_;
};

void Differ::children(int directory, const LowerNode& below, const std::string& path,
                      bool complete) {
    const std::vector<std::string> names = archive::sorted_names(directory);
    for (const std::string& name : names) one(directory, below, path, name, complete);
    if (complete) remove_hidden(below, path, names);
}

/// In a complete directory all of the image is gone but what the container has made again.
void Differ::remove_hidden(const LowerNode& below, const std::string& path,
                           const std::vector<std::string>& kept) {
    for (const std::string& name : lower_.names(below, path)) {
        if (std::ranges::binary_search(kept, name)) continue;
        add(path.empty() ? name : path + "/" + name, Kind::remove);
    }
}

void Differ::one(int directory, const LowerNode& parent, const std::string& parent_path,
                 const std::string& name, bool parent_complete) {
    const base::Fd fd{::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return;  // gone meanwhile
    const std::string path = parent_path.empty() ? name : parent_path + "/" + name;
    const LowerNode old = lower_.child(parent, parent_path, name);
    const bool existed = old.kind != LowerNode::Kind::none;
    if (is_whiteout(info)) {
        if (existed) add(path, Kind::remove);
        return;
    }
    if (tree_ == Tree::upper && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) &&
        ::listxattr(archive::fd_path(fd.get()).c_str(), nullptr, 0) != 0) {
        need_no_merged_view(fd.get());
    }
    bool listed = true;
    if (!existed) {
        add(path, Kind::add);
    } else if (differs(old.info, info) ||
               (S_ISREG(info.st_mode) && old.capability != capability_of(fd.get()))) {
        add(path, Kind::modify);
    } else {
        listed = false;
    }
    if (!S_ISDIR(info.st_mode)) return;
    const base::Fd below{
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    // All that is below an opaque directory is the container's own, whatever its marks.
    const bool complete = parent_complete || (below && is_opaque(below.get()));
    if (below) this->directory(below.get(), old, path, complete, listed);
}

/// A directory counts as modified when something in it changed; its line comes first.
void Differ::directory(int fd, const LowerNode& old, const std::string& path, bool complete,
                       bool listed) {
    const std::size_t before = changes_.size();
    const bool was_directory = old.kind == LowerNode::Kind::directory;
    children(fd, was_directory ? old : LowerNode{}, path, complete);
    if (listed || changes_.size() == before) return;
    changes_.insert(changes_.begin() + static_cast<std::ptrdiff_t>(before),
                    {"/" + path, Kind::modify});
}

/// Throws MergedViewNeeded when the upper directory is not all there is to it.
void pack_upper(int upper, const archive::ByteSink& sink) {
    archive::PackOptions options;
    options.overlay_whiteouts = true;
    options.on_attributes = need_no_merged_view;
    archive::pack(upper, options, sink);
}

/// Packs what differs between the mounted tree and the layers below, as Docker does where it
/// cannot trust the upper directory. Source: moby daemon/graphdriver/fsdiff.go, Diff.
void pack_merged(const LowerStack& lower, int root, const archive::ByteSink& sink) {
    std::vector<archive::PackedChange> changes;
    for (const LayerChange& change : Differ(lower, Differ::Tree::merged).run(root)) {
        changes.push_back({change.path.substr(1), change.kind == LayerChange::Kind::remove});
    }
    std::ranges::sort(changes, {}, &archive::PackedChange::path);
    archive::pack_changes(root, changes, sink);
}

/// A mount for as long as this lives.
class RwMount {
public:
    RwMount(Layers& layers, const std::string& container_id)
        : layers_(layers), container_id_(container_id), mount_(layers.mount_rw(container_id)) {}
    RwMount(const RwMount&) = delete;
    RwMount& operator=(const RwMount&) = delete;
    ~RwMount() {
        try {
            layers_.unmount_rw(container_id_);
        } catch (const base::Error& error) {
            base::log::warn("unmount {}, ignoring: {}", mount_.path, error.what());
        }
    }

    [[nodiscard]] int tree() const { return mount_.tree.get(); }

private:
    Layers& layers_;
    const std::string& container_id_;
    MountedLayer mount_;
};

}  // namespace

LowerStack Layers::Impl::lower_stack_of(const RwLayer& layer) const {
    std::vector<std::string> ids;
    {
        const base::Lock lock(mutex);
        if (!layer.parent.empty()) ids = stack_of(layer.parent);
    }
    if (!layer.init_id.empty()) ids.insert(ids.begin(), layer.init_id);
    return LowerStack(overlay, std::move(ids));
}

std::vector<LayerChange> Layers::rw_changes(const std::string& container_id) {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    const std::shared_ptr<void> reading = impl_->hold_files(layer);
    const LowerStack lower = impl_->lower_stack_of(*layer);
    try {
        const base::Fd upper = impl_->overlay.open_diff(layer->mount_id);
        return Differ(lower, Differ::Tree::upper).run(upper.get());
    } catch (const MergedViewNeeded&) {
        const RwMount mount(*this, container_id);
        return Differ(lower, Differ::Tree::merged).run(mount.tree());
    }
}

StagedLayer Layers::stage_rw(const std::string& container_id) {
    const RwLayerPtr layer = impl_->require_rw(container_id);
    const std::shared_ptr<void> reading = impl_->hold_files(layer);
    try {
        const base::Fd upper = impl_->overlay.open_diff(layer->mount_id);
        return stage(archive::produce(
            [&](const archive::ByteSink& sink) { pack_upper(upper.get(), sink); }));
    } catch (const MergedViewNeeded&) {
        const LowerStack lower = impl_->lower_stack_of(*layer);
        const RwMount mount(*this, container_id);
        return stage(archive::produce(
            [&](const archive::ByteSink& sink) { pack_merged(lower, mount.tree(), sink); }));
    }
}

}  // namespace dockerd::store

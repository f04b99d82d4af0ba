// How staged layers enter the database.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/model/reference.hpp>

#include "layers_impl.hpp"

namespace dockerd::store {
namespace {

base::Fd open_folder(int at, const std::string& name) {
    base::Fd fd{::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd) base::throw_errno(errno, fmt::format("open {}", name));
    return fd;
}

/// Staged layers on their way into the database, from the bottom up.
class Entering {
public:
    explicit Entering(Layers::Impl& layers) : self_(layers) {}
    Entering(const Entering&) = delete;
    Entering& operator=(const Entering&) = delete;
    /// Undoes what publish() did not finish.
    ~Entering() {
        if (done_) return;
        for (; renamed_ > 0; --renamed_) {
            // Beside the other unfinished ones, whose owner deletes it. If even this fails, the
            // next start finds a layer that nobody holds.
            const Item& item = items_[renamed_ - 1];
            (void)::renameat(self_.chains_fd.get(), model::hex_of(item.layer.info.chain_id).c_str(),
                             self_.tmp_fd.get(), item.staged->transaction.c_str());
        }
        for (const std::string& chain_id : held_) {
            const base::Lock lock(self_.mutex);
            (void)self_.release_locked(chain_id);
        }
    }

    /// The layer that `staged` is on top of what came before it. Pre: the store's mutex is held.
    void add(StagedLayer::State& staged);
    /// The first one's parent, or empty.
    void begin(const std::string& parent_chain) { top_ = parent_chain; }
    /// Everything to the disk, then the names.
    void publish(Flush flush);
    /// What the callers get: each layer, held once. Pre: the store's mutex is held.
    std::vector<LayerInfo> take();

private:
    struct Item {
        StagedLayer::State* staged = nullptr;
        RoLayer layer;
        std::optional<OverlayDir> parent;
    };
    void write(Item& item, Batch& batch);

    Layers::Impl& self_;
    std::string top_;
    std::vector<Item> items_;
    std::vector<std::string> held_;
    std::vector<LayerInfo> infos_;
    std::size_t renamed_ = 0;
    bool done_ = false;
};

void Entering::add(StagedLayer::State& staged) {
    const std::string chain_id = chain_id_of(top_, staged.diff_id);
    Item item;
    item.staged = &staged;
    item.layer.info = {chain_id, staged.diff_id, top_, staged.size};
    item.layer.cache_id = staged.overlay.id;
    item.layer.tar_size = staged.tar_size;
    item.layer.holds = 1;
    item.layer.claimed = false;
    if (!items_.empty()) {
        item.layer.depth = items_.back().layer.depth + 1;
    } else if (!top_.empty()) {
        RoLayer& below = self_.require(top_);
        item.layer.depth = below.depth + 1;
        item.parent = self_.overlay_of(below);
    }
    if (item.layer.depth > max_layers) {
        base::fail(base::ErrorKind::internal, "max depth exceeded");
    }
    infos_.push_back(item.layer.info);
    if (const auto found = self_.layers.find(chain_id); found != self_.layers.end()) {
        held_.push_back(chain_id);
        ++found->second.holds;
        infos_.back() = found->second.info;
    } else {
        if (items_.empty() && !top_.empty()) {
            held_.push_back(top_);
            ++self_.require(top_).holds;
        }
        items_.push_back(std::move(item));
    }
    top_ = chain_id;
}

void Entering::write(Item& item, Batch& batch) {
    StagedLayer::State& staged = *item.staged;
    const base::Fd folder = open_folder(self_.tmp_fd.get(), staged.transaction);
    if (item.parent) {
        self_.overlay.add_parent(staged.overlay, *item.parent);
        self_.overlay.mark_committed(item.parent->id);
    }
    batch.write_new(folder.get(), "diff", staged.diff_id);
    batch.write_new(folder.get(), "size", std::to_string(staged.size));
    const std::string& parent = item.layer.info.parent;
    if (!parent.empty()) batch.write_new(folder.get(), "parent", parent);
    batch.write_new(folder.get(), unclaimed_file, "");
}

/// The layers' files are on the disk before their names are: a layer that survives a power cut is
/// whole, and one that does not is unpacked again.
void Entering::publish(Flush flush) {
    if (items_.empty()) return;
    Batch batch;
    std::vector<base::Fd> folders;
    std::vector<int> trees;
    for (std::size_t i = 0; i < items_.size(); ++i) {
        Item& item = items_[i];
        if (i > 0) item.parent = items_[i - 1].staged->overlay;
        write(item, batch);
        item.layer.overlay = item.staged->overlay;
        folders.push_back(open_folder(self_.tmp_fd.get(), item.staged->transaction));
        folders.push_back(open_folder(self_.overlay.fd(), item.staged->overlay.id));
    }
    for (const base::Fd& folder : folders) trees.push_back(folder.get());
    flush_trees(trees);
    for (const Item& item : items_) {
        const std::string& chain_id = item.layer.info.chain_id;
        if (::renameat(self_.tmp_fd.get(), item.staged->transaction.c_str(), self_.chains_fd.get(),
                       model::hex_of(chain_id).c_str()) != 0) {
            base::throw_errno(errno, fmt::format("store layer {}", chain_id));
        }
        ++renamed_;
    }
    batch.finish(self_.chains_fd.get(), flush);
}

std::vector<LayerInfo> Entering::take() {
    for (std::size_t i = 0; i < items_.size(); ++i) {
        Item& item = items_[i];
        item.staged->committed = true;
        // The one above it holds it as well.
        if (i + 1 < items_.size()) ++item.layer.holds;
        const std::string chain_id = item.layer.info.chain_id;
        self_.layers.emplace(chain_id, std::move(item.layer));
    }
    done_ = true;
    return std::move(infos_);
}

}  // namespace

LayerInfo Layers::commit(StagedLayer staged, const std::string& parent_chain, Flush flush) {
    std::vector<StagedLayer> one;
    one.push_back(std::move(staged));
    return commit(std::move(one), parent_chain, flush).front();
}

std::vector<LayerInfo> Layers::commit(std::vector<StagedLayer> staged,
                                      const std::string& parent_chain, Flush flush) {
    Impl& self = *impl_;
    const base::Lock commit_lock(self.commit_mutex);
    Entering entering(self);
    {
        const base::Lock lock(self.mutex);
        entering.begin(parent_chain);
        for (const StagedLayer& layer : staged) entering.add(*layer.state_);
    }
    entering.publish(flush);
    const base::Lock lock(self.mutex);
    return entering.take();
}

LayerInfo Layers::apply(const std::string& parent_chain, archive::ByteSource tar) {
    return commit(stage(std::move(tar)), parent_chain);
}

}  // namespace dockerd::store

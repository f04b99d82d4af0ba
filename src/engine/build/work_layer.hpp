#pragma once

#include <string>

#include <dockerd/base/fd.hpp>
#include <dockerd/store/layers.hpp>

#include "build/large_files.hpp"
#include "build/source_tree.hpp"

namespace dockerd::engine::builds {

/// A writable layer of the build's own, gone with this.
class WorkLayer {
public:
    WorkLayer(store::Layers& layers, const std::string& parent_chain);
    WorkLayer(const WorkLayer&) = delete;
    WorkLayer& operator=(const WorkLayer&) = delete;
    ~WorkLayer();

    /// Its files; a mount that knows no devices.
    [[nodiscard]] int root() const { return tree_.get(); }
    /// What was changed, with the files that were left out, as a layer. This is of no use afterwards.
    [[nodiscard]] store::StagedLayer stage(const LargeFiles& left_out = {});

private:
    void unmount() noexcept;

    store::Layers& layers_;
    std::string id_;
    base::Fd tree_;
    bool mounted_ = false;
};

/// The files of an image, to be copied from.
struct ImageFiles {
    ImageFiles(store::Layers& layers, const std::string& chain)
        : layer(layers, chain), tree(layer.root()) {}
    WorkLayer layer;
    SourceTree tree;
};

}  // namespace dockerd::engine::builds

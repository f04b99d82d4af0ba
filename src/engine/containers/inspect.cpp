#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "containers.hpp"
#include "sizes.hpp"

namespace dockerd::engine {

ContainerSizes measure_container(const store::Layers& layers, const std::string& id) {
    ContainerSizes out;
    try {
        const std::string parent = layers.rw_parent(id);
        if (!parent.empty()) out.root_fs = layers.chain_size(parent);
        out.rw = layers.rw_size(id);
        out.root_fs += out.rw;
    } catch (const base::Error& error) {
        base::log::error("failed to compute size of container {}: {}", id, error.what());
        if (error.kind() != base::ErrorKind::not_found) out.rw = -1;
    }
    return out;
}

ContainerPtr Containers::inspect(std::string_view reference, bool size) {
    const auto container = index_.get(reference);
    auto out = std::make_shared<ContainerSnapshot>(*container->snapshot());
    out->host_config.links = shown_links(container->id);
    try {
        out->graph_driver.data = parts_.layers.rw_metadata(container->id);
        if (size) {
            const auto [rw, root_fs] = measure_container(parts_.layers, container->id);
            out->size_rw = rw;
            out->size_root_fs = root_fs;
        }
    } catch (const base::Error& error) {
        // A container being removed has no layer any more; everything else is still true.
        if (!out->state.removing && !out->state.dead) throw;
    }
    return out;
}

}  // namespace dockerd::engine

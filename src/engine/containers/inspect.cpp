#include "containers.hpp"

namespace dockerd::engine {

ContainerPtr Containers::inspect(std::string_view reference, bool size) {
    const auto container = index_.get(reference);
    auto out = std::make_shared<ContainerSnapshot>(*container->snapshot());
    try {
        out->graph_driver.data = parts_.layers.rw_metadata(container->id);
        if (size) {
            out->size_rw = parts_.layers.rw_size(container->id);
            const auto parent = parts_.layers.rw_parent(container->id);
            out->size_root_fs =
                *out->size_rw + (parent.empty() ? 0 : parts_.layers.chain_size(parent));
        }
    } catch (const base::Error& error) {
        // A container being removed has no layer any more; everything else is still true.
        if (!out->state.removing && !out->state.dead) throw;
    }
    return out;
}

}  // namespace dockerd::engine

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

/// Who has seen an exec's end must not find it here any more; the snapshot is made anew a moment
/// later.
void Containers::leave_out_ended(std::vector<std::string>& exec_ids) const {
    if (exec_ids.empty()) return;
    const base::Lock lock(execs_mutex_);
    std::erase_if(exec_ids, [this](const std::string& id) DOCKERD_REQUIRES(execs_mutex_) {
        const auto found = execs_.find(id);
        if (found == execs_.end()) return true;
        const base::Lock exec_lock(found->second->mutex);
        return found->second->exit_code.has_value();
    });
}

ContainerPtr Containers::inspect(std::string_view reference, bool size) {
    const auto container = index_.get(reference);
    auto out = std::make_shared<ContainerSnapshot>(*container->snapshot());
    if (auto links = shown_links(container->id); links != out->host_config->links) {
        auto host_config = std::make_shared<model::HostConfig>(*out->host_config);
        host_config->links = std::move(links);
        out->host_config = std::move(host_config);
    }
    leave_out_ended(out->exec_ids);
    try {
        out->graph_driver.data = parts_.layers.rw_metadata(container->id);
        if (size) {
            const auto [rw, root_fs] = measure_container(parts_.layers, container->id);
            out->size_rw = rw;
            out->size_root_fs = root_fs;
        }
    } catch (const base::Error& error) {
        // A container being removed has no layer any more, one of a damaged data root an unreadable
        // one; everything else is still true.
        base::log::debug("container {}: its layer: {}", container->id, error.what());
    }
    return out;
}

}  // namespace dockerd::engine

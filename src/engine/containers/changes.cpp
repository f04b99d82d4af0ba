#include "containers.hpp"
#include "metrics/metrics.hpp"

namespace dockerd::engine {

// Source: moby daemon/changes.go, ContainerChanges.
std::vector<FileChange> Containers::changes(std::string_view reference) {
    const base::ScopeTimer timer(metrics().container_actions["changes"]);
    const auto container = index_.get(reference);
    std::vector<FileChange> out;
    for (auto& change : parts_.layers.rw_changes(container->id)) {
        out.push_back({std::move(change.path), static_cast<ChangeKind>(change.kind)});
    }
    return out;
}

}  // namespace dockerd::engine

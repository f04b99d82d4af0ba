#include "index.hpp"

#include <mutex>

#include "errors.hpp"

namespace dockerd::engine {

// Source: moby daemon/container.go, GetContainer.
ContainerRef ContainerIndex::get(std::string_view reference) const {
    if (reference.empty()) throw errors::no_name();
    const std::shared_lock lock(mutex_);
    if (const auto exact = by_id_.find(reference); exact != by_id_.end()) return exact->second;
    std::string_view name = reference;
    if (name.starts_with('/')) name.remove_prefix(1);
    if (const auto named = id_by_name_.find(name); named != id_by_name_.end()) {
        if (const auto found = by_id_.find(named->second); found != by_id_.end()) {
            return found->second;
        }
    }
    const auto first = by_id_.lower_bound(reference);
    if (first == by_id_.end() || !first->first.starts_with(reference)) {
        throw errors::no_such_container(reference);
    }
    const auto second = std::next(first);
    if (second != by_id_.end() && second->first.starts_with(reference)) {
        throw errors::ambiguous_prefix(reference);
    }
    return first->second;
}

ContainerRef ContainerIndex::find_id(const std::string& id) const {
    const std::shared_lock lock(mutex_);
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

std::vector<ContainerRef> ContainerIndex::all() const {
    const std::shared_lock lock(mutex_);
    std::vector<ContainerRef> out;
    out.reserve(by_id_.size());
    for (const auto& [id, container] : by_id_) out.push_back(container);
    return out;
}

void ContainerIndex::reserve_name(const std::string& name, const std::string& id) {
    const std::unique_lock lock(mutex_);
    const auto [place, inserted] = id_by_name_.try_emplace(name, id);
    if (!inserted && place->second != id) throw errors::name_in_use("/" + name, place->second);
}

void ContainerIndex::release_name(const std::string& name, const std::string& id) {
    const std::unique_lock lock(mutex_);
    const auto found = id_by_name_.find(name);
    if (found != id_by_name_.end() && found->second == id) id_by_name_.erase(found);
}

void ContainerIndex::add(const ContainerRef& container) {
    const std::unique_lock lock(mutex_);
    by_id_.emplace(container->id, container);
}

void ContainerIndex::remove(const std::string& id) {
    const std::unique_lock lock(mutex_);
    by_id_.erase(id);
}

}  // namespace dockerd::engine

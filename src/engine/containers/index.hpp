#pragma once

#include <map>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "container.hpp"

namespace dockerd::engine {

/// All containers by id and by name. Names are reserved before a container exists.
/// Thread: safe.
class ContainerIndex {
public:
    /// By exact id, exact name (with or without slash), or unambiguous start of an id.
    /// Throws: not_found "No such container: x"; invalid_argument for an ambiguous start.
    [[nodiscard]] ContainerRef get(std::string_view reference) const;
    /// The container of this id, or null.
    [[nodiscard]] ContainerRef find_id(const std::string& id) const;
    [[nodiscard]] std::vector<ContainerRef> all() const;

    /// Gives the name (without slash) to `id`. Throws: conflict, "Conflict. The container name
    /// ...".
    void reserve_name(const std::string& name, const std::string& id);
    /// Takes a name back if `id` has it.
    void release_name(const std::string& name, const std::string& id);
    void add(const ContainerRef& container);
    void remove(const std::string& id);

private:
    mutable std::shared_mutex mutex_;
    std::map<std::string, ContainerRef, std::less<>> by_id_;
    std::map<std::string, std::string, std::less<>> id_by_name_;
};

}  // namespace dockerd::engine

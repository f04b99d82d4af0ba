#include <dockerd/base/undo.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "names.hpp"

namespace dockerd::engine {

// Source: moby daemon/rename.go, ContainerRename.
void Containers::rename(std::string_view reference, const std::string& name) {
    if (reference.empty() || name.empty()) {
        base::fail(base::ErrorKind::invalid_argument, "Neither old nor new names may be empty");
    }
    const auto container = index_.get(reference);
    const std::string wanted = checked_name(name);
    const base::Lock lock(container->operation);
    auto& record = container->record;
    const std::string old = record.name.substr(1);
    if (old == wanted) {
        base::fail(base::ErrorKind::invalid_argument,
                   "Renaming a container with the same name as its current name");
    }
    index_.reserve_name(wanted, container->id);
    base::Undo give_back([&] {
        index_.release_name(wanted, container->id);
        record.name = "/" + old;
    });
    record.name = "/" + wanted;
    parts_.files.save(record);
    give_back.dismiss();
    index_.release_name(old, container->id);
    publish(*container);
    log_event(record, "rename", {{"oldName", "/" + old}});
}

}  // namespace dockerd::engine

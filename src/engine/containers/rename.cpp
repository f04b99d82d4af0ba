#include <map>
#include <string>
#include <vector>

#include <dockerd/base/undo.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "names.hpp"
#include "plan_input.hpp"

namespace dockerd::engine {

// Source: moby daemon/rename.go, ContainerRename.
void Containers::rename(std::string_view reference, const std::string& name) {
    if (reference.empty() || name.empty()) {
        base::fail(base::ErrorKind::invalid_argument, "Neither old nor new names may be empty");
    }
    const auto container = index_.get(reference);
    constexpr std::string_view context = "Error when allocating new name";
    const std::string wanted = base::in_context(
        context, [&] { return checked_name(name.front() == '/' ? name : "/" + name); });
    const base::Lock lock(container->operation);
    if (container->removed) throw errors::no_such_container(reference);
    auto& record = container->record;
    const std::string old = record.name.substr(1);
    if (old == wanted) {
        base::fail(base::ErrorKind::invalid_argument,
                   "Renaming a container with the same name as its current name");
    }
    base::in_context(context, [&] { index_.reserve_name(wanted, container->id); });
    base::Undo give_back([&] {
        index_.release_name(wanted, container->id);
        record.name = "/" + old;
    });
    record.name = "/" + wanted;
    std::map<std::string, std::vector<std::string>> names;
    for (auto& [network, endpoint] : record.network.networks) {
        if (endpoint.settings.endpoint_id.empty()) continue;
        endpoint.settings.dns_names = dns_names(record, endpoint);
        names[endpoint.settings.network_id] = endpoint.settings.dns_names;
    }
    parts_.files.save(record);
    give_back.dismiss();
    rename_links(container->id, wanted);
    // Before the old name is free: its next owner may start at once.
    if (container->sandbox) {
        parts_.networks.rename(*container->sandbox, wanted, names);
        save_network_state(*container);
    }
    index_.release_name(old, container->id);
    publish(*container);
    log_event(record, "rename", {{"oldName", "/" + old}});
}

}  // namespace dockerd::engine

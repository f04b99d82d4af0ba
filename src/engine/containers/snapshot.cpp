#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/net/ports.hpp>

#include "containers.hpp"

namespace dockerd::engine {
namespace {

Health health_of(const store::HealthRecord& record) {
    Health health;
    health.status = record.status;
    health.failing_streak = record.failing_streak;
    health.log.reserve(record.log.size());
    for (const auto& entry : record.log) {
        health.log.push_back({entry.start, entry.end, entry.exit_code, entry.output});
    }
    return health;
}

ContainerState state_of(const store::StateRecord& record, bool removing) {
    ContainerState state;
    state.running = record.running;
    state.paused = record.paused;
    state.restarting = record.restarting;
    state.removing = removing;
    state.oom_killed = record.oom_killed;
    state.dead = record.dead;
    state.pid = record.pid;
    state.exit_code = record.exit_code;
    state.error = record.error;
    state.started_at = record.started_at;
    state.finished_at = record.finished_at;
    if (record.health) state.health = health_of(*record.health);
    // Source: moby container/state.go, StateString.
    if (record.running) {
        state.status = record.paused       ? ContainerStatus::paused
                       : record.restarting ? ContainerStatus::restarting
                                           : ContainerStatus::running;
    } else if (removing) {
        state.status = ContainerStatus::removing;
    } else if (record.dead) {
        state.status = ContainerStatus::dead;
    } else {
        state.status =
            record.started_at.is_zero() ? ContainerStatus::created : ContainerStatus::exited;
    }
    return state;
}

/// Source: moby daemon/inspect.go, addMountPoints.
std::vector<MountPoint> mounts_of(const store::ContainerRecord& record) {
    std::vector<MountPoint> out;
    for (const auto& [destination, point] : record.mount_points) {
        out.push_back({.type = point.type,
                       .name = point.name,
                       .source = point.source,
                       .destination = point.destination,
                       .driver = point.driver,
                       .mode = point.mode,
                       .rw = point.rw,
                       .propagation = point.propagation});
    }
    return out;
}

/// Rows of `docker ps`: published ports with their host side, the rest as exposed.
std::vector<PublishedPort> ports_of(const store::ContainerRecord& record) {
    std::vector<PublishedPort> out;
    for (const auto& [port, bindings] : record.network.ports) {
        const auto [number, protocol] = net::parse_container_port(port);
        const std::string name(net::protocol_name(protocol));
        for (const auto& binding : bindings) {
            const auto host = static_cast<std::uint16_t>(std::stoul("0" + binding.host_port));
            out.push_back({binding.host_ip, number, host, name});
        }
        if (bindings.empty()) out.push_back({"", number, 0, name});
    }
    return out;
}

/// The address asked for on the network the container is created in; older clients look for it in
/// the container's configuration. Source: moby daemon/inspect.go, getInspectData.
std::string main_mac_address(const store::ContainerRecord& record) {
    const std::string& mode = record.host_config.network_mode;
    if (mode != "bridge" && net::is_predefined_network(mode)) return {};
    for (const auto& [name, endpoint] : record.network.networks) {
        // The mode may be the start of the network's id.
        if (name == mode || endpoint.settings.network_id.starts_with(mode)) {
            return endpoint.desired_mac_address;
        }
    }
    return {};
}

}  // namespace

const char* status_name(ContainerStatus status) {
    switch (status) {
        case ContainerStatus::created:
            return "created";
        case ContainerStatus::restarting:
            return "restarting";
        case ContainerStatus::running:
            return "running";
        case ContainerStatus::removing:
            return "removing";
        case ContainerStatus::paused:
            return "paused";
        case ContainerStatus::exited:
            return "exited";
        case ContainerStatus::dead:
            return "dead";
    }
    return "exited";
}

/// Makes what readers see equal to what is.
void Containers::publish(Container& container, Changed changed) {
    const auto& record = container.record;
    auto out = std::make_shared<ContainerSnapshot>();
    out->id = record.id;
    out->name = record.name;
    out->created = record.created;
    out->path = record.path;
    out->args = record.args;
    const auto before = container.snapshot();
    if (changed == Changed::state && before) {
        out->config = before->config;
        out->host_config = before->host_config;
    } else {
        auto config = std::make_shared<model::ContainerConfig>(record.config);
        if (config->mac_address.empty()) config->mac_address = main_mac_address(record);
        out->config = std::move(config);
        out->host_config = std::make_shared<model::HostConfig>(record.host_config);
    }
    out->state = state_of(record.state, container.removing);
    out->image_id = record.image_id;
    out->resolv_conf_path = record.resolv_conf_path;
    out->hostname_path = record.hostname_path;
    out->hosts_path = record.hosts_path;
    out->log_path = record.log_path;
    out->restart_count = record.restart_count;
    out->driver = record.driver;
    out->platform = record.os;
    out->mount_label = record.mount_label;
    out->process_label = record.process_label;
    out->app_armor_profile = record.app_armor_profile;
    for (const auto& exec : container.execs) {
        const base::Lock lock(exec->mutex);
        if (exec->running || !exec->started) out->exec_ids.push_back(exec->id);
    }
    out->graph_driver.name = record.driver;
    out->mounts = mounts_of(record);
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type == "image") out->mounted_images.push_back(point.spec.source);
    }
    out->ports = ports_of(record);
    out->network.sandbox_id = record.network.sandbox_id;
    out->network.sandbox_key = record.network.sandbox_key;
    out->network.ports = record.network.ports;
    out->network.networks.given = true;
    for (const auto& [name, endpoint] : record.network.networks) {
        out->network.networks[name] = endpoint.settings;
    }
    container.set_snapshot(std::move(out), [this](auto& next) { name_by_links(next); });
}

/// The same after a health check, of which nothing else shows.
void Containers::publish_health(Container& container) {
    const auto& health = container.record.state.health;
    if (!health || !container.set_health(health_of(*health))) publish(container, Changed::state);
}

std::string Containers::state_directory(const std::string& id) const {
    return options_.exec_root + "/containers/" + id;
}

std::string Containers::cgroup_parent_of(const store::ContainerRecord& record) const {
    return runtime::cgroup_parent(record.host_config.resources.cgroup_parent,
                                  options_.cgroup_parent, parts_.cgroups.driver());
}

// Source: moby daemon/events.go, LogContainerEventWithAttributes.
void Containers::log_event(const store::ContainerRecord& record, const std::string& action,
                           const std::map<std::string, std::string>& extra) {
    parts_.events.container(action, record.id, record.name, record.config.image,
                            record.config.labels, extra);
}

void Containers::log_network_event(const store::ContainerRecord& record, const std::string& action,
                                   const std::string& network_id, const std::string& network_name,
                                   const std::string& driver) {
    Event event;
    event.type = "network";
    event.action = action;
    event.actor_id = network_id;
    event.attributes = {{"container", record.id}, {"name", network_name}, {"type", driver}};
    event.time = base::WallTime::now();
    parts_.events.publish(std::move(event));
}

/// Begins to make `state` durable. With auto-remove, or in a build, it is only written down, for the next
/// daemon should this one die: a power cut ends the container, and what is left of it is removed at the next
/// start, whatever its state says.
StateWriter::Pending Containers::begin_save_state(const store::ContainerRecord& record,
                                                  store::RunState state) {
    if (record.host_config.auto_remove || record.of_step) {
        try {
            parts_.files.save_state(record.id, state, store::Flush::later);
        } catch (const std::exception& error) {
            base::log::error("container {}: saving state, ignoring: {}", record.id, error.what());
        }
        return {};
    }
    return states_.begin(record.id, std::move(state));
}

StateWriter::Pending Containers::begin_save_state(const store::ContainerRecord& record) {
    return begin_save_state(record, store::run_state_of(record));
}

/// Brings config.v2.json up to date, for other engines and the next daemon. What must survive a
/// power cut is in the RunState, saved before. Trouble is only logged.
void Containers::save_relaxed(const store::ContainerRecord& record) noexcept {
    try {
        parts_.files.save_relaxed(record);
    } catch (const std::exception& error) {
        base::log::error("container {}: saving state, ignoring: {}", record.id, error.what());
    }
}

/// The same, and a power cut does not take it back. With auto-remove, or in a build, there is no need.
void Containers::save_durable(const store::ContainerRecord& record) noexcept {
    if (record.host_config.auto_remove || record.of_step) return save_relaxed(record);
    try {
        parts_.files.save(record);
    } catch (const std::exception& error) {
        base::log::error("container {}: saving state, ignoring: {}", record.id, error.what());
    }
}

std::vector<ContainerPtr> Containers::snapshots() const {
    std::vector<ContainerPtr> out;
    for (const auto& container : index_.all()) out.push_back(container->snapshot());
    return out;
}

}  // namespace dockerd::engine

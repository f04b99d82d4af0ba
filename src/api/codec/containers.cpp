#include "containers.hpp"

#include <algorithm>
#include <utility>

#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>

#include "documents.hpp"
#include "network_mode.hpp"

namespace dockerd::api::codec {
namespace {

constexpr ApiVersion annotations_listed{1, 46};
constexpr ApiVersion aliases_as_given{1, 45};

/// Source: moby api/types/container/state.go.
const char* state_text(engine::ContainerStatus status) {
    switch (status) {
        case engine::ContainerStatus::created:
            return "created";
        case engine::ContainerStatus::restarting:
            return "restarting";
        case engine::ContainerStatus::running:
            return "running";
        case engine::ContainerStatus::removing:
            return "removing";
        case engine::ContainerStatus::paused:
            return "paused";
        case engine::ContainerStatus::exited:
            return "exited";
        case engine::ContainerStatus::dead:
            return "dead";
    }
    return "";
}

}  // namespace

static void put(Text& out, const engine::FileChange& change) {
    Object{out}("Path", change.path)("Kind", static_cast<std::int64_t>(change.kind));
}

static void put(Text& out, const engine::HealthResult& result) {
    Object{out}("Start", result.start)("End", result.end)("ExitCode", result.exit_code)(
        "Output", result.output);
}

static void put(Text& out, const engine::Health& health) {
    Object{out}("Status", health.status)("FailingStreak", health.failing_streak)("Log", health.log);
}

static void put(Text& out, const engine::ContainerState& state) {
    Object object(out);
    object("Status", state_text(state.status));
    object("Running", state.running);
    object("Paused", state.paused);
    object("Restarting", state.restarting);
    object("OOMKilled", state.oom_killed);
    object("Dead", state.dead);
    object("Pid", state.pid);
    object("ExitCode", state.exit_code);
    object("Error", state.error);
    object("StartedAt", state.started_at);
    object("FinishedAt", state.finished_at);
    object.some("Health", state.health);
}

static void put(Text& out, const engine::MountPoint& mount) {
    Object object(out);
    object.some("Type", mount.type);
    object.some("Name", mount.name);
    object("Source", mount.source);
    object("Destination", mount.destination);
    object.some("Driver", mount.driver);
    object("Mode", mount.mode);
    object("RW", mount.rw);
    object("Propagation", mount.propagation);
}

static void put(Text& out, const engine::PublishedPort& port) {
    Object{out}
        .some("IP", port.host_ip)("PrivatePort", port.private_port)
        .some("PublicPort", port.public_port)("Type", port.protocol);
}

namespace {

/// Older clients find a container's own names among the aliases.
/// Source: moby api/server/router/container/inspect.go.
void add_own_aliases(model::EndpointSettings& endpoint,
                     const engine::ContainerSnapshot& container) {
    const auto add = [&](std::string name) {
        if (std::ranges::find(endpoint.aliases, name) == endpoint.aliases.end()) {
            endpoint.aliases.push_back(std::move(name));
        }
    };
    add(std::string(base::short_id(container.id)));
    add(container.config->hostname);
}

void put_networks(Text& out, const engine::ContainerSnapshot& container, ApiVersion version) {
    if (version >= aliases_as_given) {
        put_map(out, container.network.networks);
        return;
    }
    auto networks = container.network.networks;
    for (auto& [name, endpoint] : networks) {
        if (is_user_defined(name)) add_own_aliases(endpoint, container);
    }
    put_map(out, networks);
}

/// The fields of the default bridge, repeated at the top for old clients.
/// Source: moby daemon/inspect.go, getDefaultNetworkSettings.
void put_default_network(Object& object, const engine::NetworkState& network) {
    const auto found = network.networks.find("bridge");
    const model::EndpointSettings none;
    const auto& bridge = found == network.networks.end() ? none : found->second;
    object("EndpointID", bridge.endpoint_id);
    object("Gateway", bridge.gateway);
    object("GlobalIPv6Address", bridge.global_ipv6_address);
    object("GlobalIPv6PrefixLen", bridge.global_ipv6_prefix_len);
    object("IPAddress", bridge.ip_address);
    object("IPPrefixLen", bridge.ip_prefix_len);
    object("IPv6Gateway", bridge.ipv6_gateway);
    object("MacAddress", bridge.mac_address);
}

void put_network_settings(Text& out, const engine::ContainerSnapshot& container,
                          ApiVersion version) {
    const engine::NetworkState& network = container.network;
    Object object(out);
    object("Bridge", "");
    object("SandboxID", network.sandbox_id);
    object("SandboxKey", network.sandbox_key);
    put_map(object.key("Ports"), network.ports);
    object("HairpinMode", false);
    object("LinkLocalIPv6Address", "");
    object("LinkLocalIPv6PrefixLen", 0);
    object("SecondaryIPAddresses", nullptr);
    object("SecondaryIPv6Addresses", nullptr);
    put_default_network(object, network);
    put_networks(object.key("Networks"), container, version);
}

void put_graph_driver(Text& out, const engine::GraphDriver& driver) {
    Object object(out);
    Text& data = object.key("Data");
    if (driver.data.empty()) {
        put(data, nullptr);
    } else {
        put_map(data, driver.data);
    }
    object("Name", driver.name);
}

void put_paths(Object& object, const engine::ContainerSnapshot& container) {
    object("Image", container.image_id);
    object("ResolvConfPath", container.resolv_conf_path);
    object("HostnamePath", container.hostname_path);
    object("HostsPath", container.hosts_path);
    object("LogPath", container.log_path);
    object("Name", container.name);
    object("RestartCount", container.restart_count);
    object("Driver", container.driver);
    object("Platform", container.platform);
    object("MountLabel", container.mount_label);
    object("ProcessLabel", container.process_label);
    object("AppArmorProfile", container.app_armor_profile);
    object("ExecIDs", NullWhenEmpty{container.exec_ids});
}

}  // namespace

std::string encode_inspect(const engine::ContainerSnapshot& container, ApiVersion version) {
    Text out;
    out.reserve(8192);
    {
        Object object(out);
        object("Id", container.id);
        object("Created", container.created);
        object("Path", container.path);
        object("Args", container.args);
        object("State", container.state);
        put_paths(object, container);
        object("HostConfig", *container.host_config);
        put_graph_driver(object.key("GraphDriver"), container.graph_driver);
        object.some("SizeRw", container.size_rw);
        object.some("SizeRootFs", container.size_root_fs);
        object("Mounts", container.mounts);
        object("Config", *container.config);
        put_network_settings(object.key("NetworkSettings"), container, version);
    }
    return out.take_line();
}

namespace {

/// A list shows an endpoint's addresses, not what was asked for.
/// Source: moby container/view.go, transform.
void put_listed_endpoint(Text& out, const model::EndpointSettings& endpoint) {
    Object object(out);
    Text& ipam = object.key("IPAMConfig");
    if (endpoint.ipam_config) {
        Object{ipam}
            .some("IPv4Address", endpoint.ipam_config->ipv4_address)
            .some("IPv6Address", endpoint.ipam_config->ipv6_address);
    } else {
        put(ipam, nullptr);
    }
    object("Links", nullptr);
    object("Aliases", nullptr);
    object("MacAddress", endpoint.mac_address);
    object("DriverOpts", nullptr);
    object("GwPriority", endpoint.gw_priority);
    object("NetworkID", endpoint.network_id);
    object("EndpointID", endpoint.endpoint_id);
    object("Gateway", endpoint.gateway);
    object("IPAddress", endpoint.ip_address);
    object("IPPrefixLen", endpoint.ip_prefix_len);
    object("IPv6Gateway", endpoint.ipv6_gateway);
    object("GlobalIPv6Address", endpoint.global_ipv6_address);
    object("GlobalIPv6PrefixLen", endpoint.global_ipv6_prefix_len);
    object("DNSNames", nullptr);
}

void put_listed_networks(Text& out, const engine::NetworkState& network) {
    Object settings(out);
    Object networks(settings.key("Networks"));
    for (const auto& [name, endpoint] : network.networks) {
        Text key;
        key.string(name);
        const std::string quoted = key.take();
        put_listed_endpoint(networks.key(std::string_view(quoted).substr(1, quoted.size() - 2)),
                            endpoint);
    }
}

/// Arguments with spaces stand in single quotes. Source: moby container/view.go, transform.
std::string command_line(const engine::ContainerSnapshot& container) {
    std::string line = container.path;
    for (const auto& arg : container.args) {
        line += arg.find(' ') == std::string::npos ? " " + arg : " '" + arg + "'";
    }
    return line;
}

/// What stands between the values that differ from list to list.
enum Piece : std::size_t { before_image, before_sizes, before_status, host_old, host, to_end };

std::vector<std::string> list_pieces(const engine::ContainerSnapshot& container) {
    std::vector<std::string> pieces;
    Text out;
    const auto cut = [&] { pieces.push_back(std::exchange(out, Text()).take()); };
    const auto field = [&](std::string_view name, const auto& value) {
        out.key(',', name);
        put(out, value);
    };
    out.key('{', "Id");
    put(out, container.id);
    auto names = container.link_names;
    names.push_back(container.name);
    std::ranges::sort(names);
    field("Names", names);
    out.key(',', "Image");
    cut();
    field("ImageID", container.image_id);
    field("Command", command_line(container));
    field("Created", container.created.seconds());
    field("Ports", container.ports);
    cut();
    field("Labels", container.config->labels);
    field("State", state_text(container.state.status));
    out.key(',', "Status");
    cut();
    for (const bool with_annotations : {false, true}) {
        out.key(',', "HostConfig");
        {
            Object host_config(out);
            host_config.some("NetworkMode", container.host_config->network_mode);
            if (with_annotations) {
                host_config.some("Annotations", container.host_config->annotations);
            }
        }
        cut();
    }
    out.key(',', "NetworkSettings");
    put_listed_networks(out, container.network);
    field("Mounts", container.mounts);
    out.raw('}');
    cut();
    return pieces;
}

void put_summary(Text& out, const engine::ContainerSummary& summary, ApiVersion version) {
    const engine::ContainerSnapshot& container = *summary.container;
    const auto& pieces = container.list_pieces.get([&] { return list_pieces(container); });
    out.raw(pieces[before_image]);
    put(out, summary.image);
    out.raw(pieces[before_sizes]);
    for (const auto& [name, size] : {std::pair("SizeRw", summary.size_rw.value_or(0)),
                                     std::pair("SizeRootFs", summary.size_root_fs.value_or(0))}) {
        if (size == 0) continue;
        out.key(',', name);
        put(out, size);
    }
    out.raw(pieces[before_status]);
    put(out, summary.status_text);
    out.raw(pieces[version >= annotations_listed ? host : host_old]);
    out.raw(pieces[to_end]);
}

}  // namespace

void put_list(Text& out, const std::vector<engine::ContainerSummary>& containers,
              ApiVersion version) {
    out.raw('[');
    bool first = true;
    for (const auto& summary : containers) {
        if (!first) out.raw(',');
        first = false;
        put_summary(out, summary, version);
    }
    out.raw(']');
}

std::string encode_list(const std::vector<engine::ContainerSummary>& containers,
                        ApiVersion version) {
    Text out;
    out.reserve(64 + containers.size() * 1536);
    put_list(out, containers, version);
    return out.take_line();
}

std::string encode_created(const std::string& id, const std::vector<std::string>& warnings) {
    Text out;
    Object{out}("Id", id)("Warnings", warnings);
    return out.take_line();
}

std::string encode_update(const std::vector<std::string>& warnings) {
    Text out;
    Object{out}("Warnings", NullWhenEmpty{warnings});
    return out.take_line();
}

std::string encode_changes(const std::vector<engine::FileChange>& changes) {
    Text out;
    put(out, NullWhenEmpty{changes});
    return out.take_line();
}

std::string encode_top(const engine::TopResult& top) {
    Text out;
    Object{out}("Processes", NullWhenEmpty{top.processes})("Titles", top.titles);
    return out.take_line();
}

// Source: moby api/types/container/wait_response.go; its encoder escapes HTML.
std::string encode_wait(const engine::WaitResult& result) {
    Text out(Text::Escape::html);
    {
        Object object(out);
        if (!result.error.empty()) Object{object.key("Error")}("Message", result.error);
        object("StatusCode", result.exit_code);
    }
    return out.take_line();
}

std::string encode_prune(const engine::ContainerService::PruneResult& result) {
    Text out;
    Object{out}("ContainersDeleted", NullWhenEmpty{result.deleted})("SpaceReclaimed",
                                                                    result.space_reclaimed);
    return out.take_line();
}

std::string encode_id(const std::string& id) {
    Text out;
    Object{out}("Id", id);
    return out.take_line();
}

std::string encode_exec(const engine::ExecSnapshot& exec) {
    Text out;
    {
        Object object(out);
        object("ID", exec.id);
        object("Running", exec.running);
        object("ExitCode", exec.exit_code);
        Object{object.key("ProcessConfig")}("tty", exec.tty)("entrypoint", exec.entrypoint)(
            "arguments", exec.arguments)("privileged", exec.privileged)
            .some("user", exec.user);
        object("OpenStdin", exec.open_stdin);
        object("OpenStderr", exec.open_stderr);
        object("OpenStdout", exec.open_stdout);
        object("CanRemove", exec.can_remove);
        object("ContainerID", exec.container_id);
        object("DetachKeys", base::base64_encode(exec.detach_keys));
        object("Pid", exec.pid);
    }
    return out.take_line();
}

}  // namespace dockerd::api::codec

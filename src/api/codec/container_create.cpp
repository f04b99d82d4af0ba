#include "container_create.hpp"

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/json.hpp>

#include "../params.hpp"
#include "network_mode.hpp"

namespace dockerd::api::codec {
namespace {

using base::ErrorKind;
using base::fail;
using http::ApiVersion;
using model::ContainerCreate;
using model::HostConfig;

/// Source: moby libnetwork/netlabel/labels.go, EndpointSysctls.
constexpr const char* endpoint_sysctls = "com.docker.network.endpoint.sysctls";

[[noreturn]] void bad(const std::string& message) { fail(ErrorKind::invalid_argument, message); }

/// A container in another's network namespace cannot have network settings of its own.
/// Source: moby runconfig/hostconfig.go, validateNetContainerMode.
void check_container_network(const ContainerCreate& body, const HostConfig& host) {
    if (host.network_mode != "container" && !is_container_mode(host.network_mode)) return;
    if (host.network_mode == "container" || host.network_mode == "container:") {
        bad("invalid network mode: invalid container format container:<name|id>");
    }
    if (!body.config.hostname.empty()) bad("conflicting options: hostname and the network mode");
    if (!host.links.empty()) {
        bad("conflicting options: container type network can't be used with links. "
            "This would result in undefined behavior");
    }
    if (!host.dns.empty()) bad("conflicting options: dns and the network mode");
    if (!host.extra_hosts.empty()) {
        bad("conflicting options: custom host-to-IP mapping and the network mode");
    }
    if (!host.port_bindings.empty() || host.publish_all_ports) {
        bad("conflicting options: port publishing and the container type network mode");
    }
    if (!body.config.exposed_ports.empty()) {
        bad("conflicting options: port exposing and the container type network mode");
    }
}

/// What can be refused by looking at the request alone.
/// Source: moby runconfig/config.go, decodeContainerConfig, and hostconfig_unix.go.
void check_host_config(const ContainerCreate& body, const HostConfig& host) {
    check_container_network(body, host);
    if (host.uts_mode == "host" && !body.config.hostname.empty()) {
        bad("conflicting options: hostname and the UTS mode");
    }
    if (host.network_mode == "host" && !host.links.empty()) {
        bad("conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior");
    }
    if (!host.isolation.empty() && !base::iequals(host.isolation, "default")) {
        bad(fmt::format("invalid isolation ({}): linux only supports 'default'", host.isolation));
    }
    const model::Resources& limits = host.resources;
    if (limits.io_maximum_bandwidth != 0) {
        bad("invalid option: QoS maximum bandwidth configuration is not supported on linux");
    }
    if (limits.io_maximum_iops != 0) {
        bad("invalid option: QoS maximum IOPs configuration is not supported on linux");
    }
    if (limits.cpu_realtime_period != 0 && limits.cpu_realtime_runtime != 0 &&
        limits.cpu_realtime_runtime > limits.cpu_realtime_period) {
        bad("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    if (limits.cpu_shares < 0) {
        bad(fmt::format("invalid CPU shares ({}): value must be a positive integer",
                        limits.cpu_shares));
    }
}

/// "default" and nothing both mean the bridge, also as the key of an endpoint.
void resolve_default_network(HostConfig& host, model::NetworkingConfig& networking) {
    if (!host.network_mode.empty() && host.network_mode != "default") return;
    host.network_mode = "bridge";
    auto node = networking.endpoints_config.extract("default");
    if (!node.empty()) networking.endpoints_config["bridge"] = std::move(node.mapped());
}

void apply_before_1_40(HostConfig& host) {
    for (model::Mount& mount : host.mounts) {
        if (mount.bind_options) mount.bind_options->non_recursive = false;
    }
    host.resources.kernel_memory_tcp = 0;
    if (host.ipc_mode.empty()) host.ipc_mode = "shareable";
}

/// These combinations were not refused yet; what made no sense was ignored.
void apply_before_1_42(HostConfig& host) {
    for (model::Mount& mount : host.mounts) {
        if (mount.bind_options) mount.bind_options->create_mountpoint = false;
        if (mount.type != "volume") mount.volume_options.reset();
        if (mount.type != "tmpfs") mount.tmpfs_options.reset();
    }
    host.console_size = {0, 0};
}

void check_from_1_42(HostConfig& host) {
    host.resources.kernel_memory = 0;
    const auto refuse = [](const char* option, const model::Mount& mount) {
        bad(fmt::format("{} must not be specified on mount type {}", option,
                        base::quote(mount.type)));
    };
    for (const model::Mount& mount : host.mounts) {
        if (mount.volume_options && mount.type != "volume") refuse("VolumeOptions", mount);
        if (mount.bind_options && mount.type != "bind") refuse("BindOptions", mount);
        if (mount.tmpfs_options && mount.type != "tmpfs") refuse("TmpfsOptions", mount);
    }
}

void apply_before_1_44(ContainerCreate& body, HostConfig& host,
                       const model::NetworkingConfig& networking) {
    if (body.config.healthcheck) body.config.healthcheck->start_interval = 0;
    body.default_read_only_non_recursive = true;
    for (const model::Mount& mount : host.mounts) {
        if (mount.type == "bind" && mount.bind_options &&
            mount.bind_options->read_only_force_recursive) {
            bad("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
        }
    }
    if (networking.endpoints_config.size() > 1) {
        std::vector<std::string> names;
        for (const auto& [name, endpoint] : networking.endpoints_config) names.push_back(name);
        bad("Container cannot be created with multiple network endpoints: " +
            base::join(names, ", "));
    }
}

void apply_before_1_48(HostConfig& host, model::NetworkingConfig& networking) {
    for (auto& [name, endpoint] : networking.endpoints_config) endpoint.gw_priority = 0;
    for (const model::Mount& mount : host.mounts) {
        if (mount.type == "image") bad("Mount type \"Image\" needs API v1.48 or newer");
    }
}

void check_subpaths(const HostConfig& host) {
    for (const model::Mount& mount : host.mounts) {
        if (mount.volume_options && !mount.volume_options->subpath.empty()) {
            bad("VolumeOptions.Subpath needs API v1.45 or newer");
        }
    }
}

/// Brings a request of `version` to the form of the newest.
/// Source: moby api/server/router/container/container_routes.go, postContainersCreate.
void apply_version(ContainerCreate& body, ApiVersion version, bool unified_cgroups) {
    HostConfig& host = *body.host_config;
    model::NetworkingConfig& networking = *body.networking_config;
    if (version < ApiVersion{1, 25}) host.auto_remove = false;
    if (version < ApiVersion{1, 40}) apply_before_1_40(host);
    if (version < ApiVersion{1, 41} && !unified_cgroups && host.cgroupns_mode.empty()) {
        host.cgroupns_mode = "host";
    }
    if (version < ApiVersion{1, 42}) {
        apply_before_1_42(host);
    } else {
        check_from_1_42(host);
    }
    if (version < ApiVersion{1, 43}) host.annotations = {};
    if (version < ApiVersion{1, 44}) apply_before_1_44(body, host, networking);
    if (version < ApiVersion{1, 45}) check_subpaths(host);
    if (version < ApiVersion{1, 48}) apply_before_1_48(host, networking);
}

/// Source: container_routes.go, handleVolumeDriverBC.
void warn_volume_driver(CreateCall& call, ApiVersion version) {
    const HostConfig& host = *call.body.host_config;
    if (host.volume_driver.empty() || version < ApiVersion{1, 48}) return;
    for (const model::Mount& mount : host.mounts) {
        if (mount.type != "volume") continue;
        const bool own_driver = mount.volume_options && mount.volume_options->driver_config &&
                                !mount.volume_options->driver_config->name.empty();
        if (own_driver) continue;
        call.warnings.emplace_back(
            "WARNING: the container-wide volume-driver configuration is ignored for volumes "
            "specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead");
        return;
    }
}

/// The endpoint of the container's main network, made when there is no endpoint at all.
/// Source: container_routes.go, epConfigForNetMode.
model::EndpointSettings& main_endpoint(ContainerCreate& body, ApiVersion version) {
    auto& endpoints = body.networking_config->endpoints_config;
    const std::string& mode = body.host_config->network_mode;
    if (endpoints.empty()) return endpoints[mode];
    if (version < ApiVersion{1, 44}) return endpoints.begin()->second;
    const auto found = endpoints.find(mode);
    if (found == endpoints.end()) {
        bad("HostConfig.NetworkMode must match the identity of a network in "
            "NetworkSettings.Networks");
    }
    return found->second;
}

bool has_own_network(const std::string& mode) { return mode == "bridge" || is_user_defined(mode); }

void migrate_mac_before_1_44(ContainerCreate& body, ApiVersion version) {
    const std::string& address = body.config.mac_address;
    if (address.empty()) {
        for (auto& [name, endpoint] : body.networking_config->endpoints_config) {
            endpoint.mac_address.clear();
        }
        return;
    }
    if (!has_own_network(body.host_config->network_mode)) {
        bad("conflicting options: mac-address and the network mode");
    }
    main_endpoint(body, version).mac_address = address;
}

/// The container's MAC address became the endpoint's in 1.44.
/// Source: container_routes.go, handleMACAddressBC.
void migrate_mac(CreateCall& call, ApiVersion version) {
    ContainerCreate& body = call.body;
    if (version < ApiVersion{1, 44}) return migrate_mac_before_1_44(body, version);
    std::string& address = body.config.mac_address;
    if (address.empty()) return;
    if (has_own_network(body.host_config->network_mode)) {
        model::EndpointSettings& endpoint = base::in_context(
            "unable to migrate container-wide MAC address to a specific network",
            [&]() -> model::EndpointSettings& { return main_endpoint(body, version); });
        if (endpoint.mac_address.empty()) {
            endpoint.mac_address = address;
        } else if (endpoint.mac_address != address) {
            bad("the container-wide MAC address must match the endpoint-specific MAC address for "
                "the main network, or be left empty");
        }
    }
    address.clear();
    call.warnings.emplace_back(
        "The container-wide MacAddress field is now deprecated. "
        "It should be specified in EndpointsConfig instead.");
}

struct InterfaceSysctl {
    std::string name;       ///< "net.ipv6.conf.eth0.forwarding"
    std::string interface;  ///< "eth0"
    std::string moved;      ///< "net.ipv6.conf.IFNAME.forwarding=1"
};

std::vector<InterfaceSysctl> interface_sysctls(const model::StringMap& sysctls) {
    std::vector<InterfaceSysctl> found;
    for (const auto& [name, value] : sysctls) {
        const auto parts = base::split(name, '.');
        if (parts.size() < 5 || parts[0] != "net" || !parts[3].starts_with("eth")) continue;
        const std::string head = "net." + parts[1] + "." + parts[2] + ".";
        const std::string rest = name.substr(head.size() + parts[3].size());
        found.push_back({name, parts[3], head + "IFNAME" + rest + "=" + value});
    }
    return found;
}

/// Sysctls of an interface moved to driver options of its endpoint in 1.46.
/// Source: container_routes.go, handleSysctlBC.
void migrate_sysctls(CreateCall& call, ApiVersion version) {
    HostConfig& host = *call.body.host_config;
    if (!is_private(host.network_mode)) return;
    const auto sysctls = interface_sysctls(host.sysctls);
    if (sysctls.empty()) return;
    if (version > ApiVersion{1, 47}) {
        fail(ErrorKind::internal,
             fmt::format("interface specific sysctl setting {} must be supplied using driver "
                         "option '{}'",
                         base::quote(sysctls.front().name), endpoint_sysctls));
    }
    auto& options = base::in_context(
        "unable to find a network for sysctl " + sysctls.front().name, [&]() -> auto& {
            return main_endpoint(call.body, version).driver_opts;
        });
    std::vector<std::string> names;
    std::vector<std::string> moved;
    for (const InterfaceSysctl& sysctl : sysctls) {
        if (sysctl.interface != "eth0") {
            fail(ErrorKind::internal,
                 fmt::format("unable to determine network endpoint for sysctl {}, use driver "
                             "option '{}' to set per-interface sysctls",
                             sysctl.name, endpoint_sysctls));
        }
        names.push_back(sysctl.name);
        moved.push_back(sysctl.moved);
        host.sysctls.erase(sysctl.name);
    }
    std::string value = base::join(moved, ",");
    call.warnings.push_back(fmt::format("Migrated sysctl {} to DriverOpts{{{}:{}}}.",
                                        base::quote(base::join(names, ",")),
                                        base::quote(endpoint_sysctls), base::quote(value)));
    if (const auto old = options.find(endpoint_sysctls); old != options.end()) {
        value += "," + old->second;
    }
    options[endpoint_sysctls] = value;
}

}  // namespace

CreateCall decode_create(const http::Request& request, bool unified_cgroups) {
    check_json(request);
    CreateCall call;
    call.name = request.param("name", "");
    call.body = model::decode_body<ContainerCreate>(request.body);
    ContainerCreate& body = call.body;
    if (body.host_config) {
        if (body.host_config->network_mode.empty()) body.host_config->network_mode = "default";
        check_host_config(body, *body.host_config);
    }
    if (!body.has_config) bad("config cannot be empty in order to create a container");
    if (!body.host_config) body.host_config.emplace();
    if (!body.networking_config) body.networking_config.emplace();

    const ApiVersion version = request.version;
    resolve_default_network(*body.host_config, *body.networking_config);
    apply_version(body, version, unified_cgroups);
    if (version >= ApiVersion{1, 41}) call.platform = request.param("platform", "");
    warn_volume_driver(call, version);
    migrate_mac(call, version);
    migrate_sysctls(call, version);
    auto& pids_limit = body.host_config->resources.pids_limit;
    if (pids_limit && *pids_limit <= 0) pids_limit.reset();
    return call;
}

// Source: moby api/server/router/container/container_routes.go, postCommit.
engine::CommitOptions decode_commit(const http::Request& request) {
    check_json(request);
    engine::CommitOptions options;
    if (!base::trim(request.body).empty()) {
        auto body = model::decode_body<ContainerCreate>(request.body);
        if (body.host_config) {
            check_host_config(body, *body.host_config);
            body.config.volumes.given = true;
        }
        if (body.has_config) options.config = std::move(body.config);
    }
    options.repository = request.param("repo", "");
    options.tag = request.param("tag", "");
    options.author = request.param("author", "");
    options.comment = request.param("comment", "");
    options.pause = bool_param_or(request, "pause", true);
    options.changes = request.params("changes");
    return options;
}

}  // namespace dockerd::api::codec

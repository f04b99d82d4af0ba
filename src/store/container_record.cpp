#include <array>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/model/json.hpp>
#include <dockerd/store/container_files.hpp>

#include "json_read.hpp"

namespace dockerd::store {
namespace {

using base::Json;

/// Keys this struct has a place for. Others, also of later versions, are kept as text.
constexpr std::array<std::string_view, 31> known_keys{
    "StreamConfig",
    "State",
    "ID",
    "Created",
    "Managed",
    "Path",
    "Args",
    "Config",
    "Image",
    "NetworkSettings",
    "LogPath",
    "Name",
    "Driver",
    "OS",
    "ImagePlatform",
    "RestartCount",
    "MountPoints",
    "HasBeenStartedBefore",
    "HasBeenManuallyStopped",
    "MountLabel",
    "ProcessLabel",
    "AppArmorProfile",
    "SeccompProfile",
    "NoNewPrivileges",
    "WritableCgroups",
    "HostnamePath",
    "HostsPath",
    "ShmPath",
    "ResolvConfPath",
    "LocalLogCacheMeta",
    "Platform",
};

std::string time_text(base::WallTime time) { return base::format_rfc3339_nano(time); }

base::WallTime time_or_zero(const Json& json, const char* key) {
    return time_of(json, key).value_or(base::WallTime{});
}

Json encode_health(const HealthRecord& health) {
    Json log = Json::array();
    for (const HealthResult& result : health.log) {
        log.push_back({{"Start", time_text(result.start)},
                       {"End", time_text(result.end)},
                       {"ExitCode", result.exit_code},
                       {"Output", result.output}});
    }
    return {{"Status", health.status}, {"FailingStreak", health.failing_streak}, {"Log", log}};
}

HealthRecord decode_health(const Json& json) {
    HealthRecord out;
    out.status = text_of(json, "Status");
    out.failing_streak = number_of(json, "FailingStreak");
    if (const Json* const log = part_of(json, "Log"); log != nullptr) {
        for (const Json& item : *log) {
            out.log.push_back({time_or_zero(item, "Start"), time_or_zero(item, "End"),
                               number_of(item, "ExitCode"), text_of(item, "Output")});
        }
    }
    return out;
}

Json encode_state(const StateRecord& state) {
    return {{"Running", state.running},
            {"Paused", state.paused},
            {"Restarting", state.restarting},
            {"OOMKilled", state.oom_killed},
            {"Dead", state.dead},
            {"Pid", state.pid},
            {"ExitCode", state.exit_code},
            {"Error", state.error},
            {"StartedAt", time_text(state.started_at)},
            {"FinishedAt", time_text(state.finished_at)},
            {"Health", state.health ? encode_health(*state.health) : Json(nullptr)}};
}

StateRecord decode_state(const Json& json) {
    StateRecord out;
    out.running = flag_of(json, "Running");
    out.paused = flag_of(json, "Paused");
    out.restarting = flag_of(json, "Restarting");
    out.oom_killed = flag_of(json, "OOMKilled");
    out.dead = flag_of(json, "Dead");
    out.pid = number_of(json, "Pid");
    out.exit_code = number_of(json, "ExitCode");
    out.error = text_of(json, "Error");
    out.started_at = time_or_zero(json, "StartedAt");
    out.finished_at = time_or_zero(json, "FinishedAt");
    if (const Json* const health = part_of(json, "Health"); health != nullptr) {
        out.health = decode_health(*health);
    }
    return out;
}

/// Source: moby volume/mounts/mounts.go, MountPoint.
Json encode_mount(const MountPointRecord& mount) {
    Json json{{"Source", mount.source},
              {"Destination", mount.destination},
              {"RW", mount.rw},
              {"Name", mount.name},
              {"Driver", mount.driver}};
    if (!mount.type.empty()) json["Type"] = mount.type;
    if (!mount.mode.empty()) json["Relabel"] = mount.mode;
    if (!mount.propagation.empty()) json["Propagation"] = mount.propagation;
    if (!mount.id.empty()) json["ID"] = mount.id;
    json["Spec"] = model::encode(mount.spec);
    json["SkipMountpointCreation"] = mount.skip_mountpoint_creation;
    return json;
}

MountPointRecord decode_mount(const Json& json) {
    MountPointRecord out;
    out.source = text_of(json, "Source");
    out.destination = text_of(json, "Destination");
    out.rw = flag_of(json, "RW");
    out.name = text_of(json, "Name");
    out.driver = text_of(json, "Driver");
    out.type = text_of(json, "Type");
    out.mode = text_of(json, "Relabel");
    out.propagation = text_of(json, "Propagation");
    out.id = text_of(json, "ID");
    if (const Json* const spec = part_of(json, "Spec"); spec != nullptr) {
        model::decode(*spec, out.spec);
    }
    out.skip_mountpoint_creation = flag_of(json, "SkipMountpointCreation");
    return out;
}

/// Source: moby daemon/network/settings.go, Settings and EndpointSettings.
Json encode_network(const NetworkRecord& network) {
    Json networks = Json::object();
    for (const auto& [name, endpoint] : network.networks) {
        Json item = model::encode(endpoint.settings);
        item["IPAMOperational"] = endpoint.ipam_operational;
        item["DesiredMacAddress"] = endpoint.desired_mac_address;
        networks[name] = std::move(item);
    }
    return {{"Bridge", network.bridge},
            {"SandboxID", network.sandbox_id},
            {"SandboxKey", network.sandbox_key},
            {"HairpinMode", network.hairpin_mode},
            {"LinkLocalIPv6Address", ""},
            {"LinkLocalIPv6PrefixLen", 0},
            {"Networks", networks},
            {"Service", nullptr},
            {"Ports", model::encode(network.ports)},
            {"SecondaryIPAddresses", nullptr},
            {"SecondaryIPv6Addresses", nullptr},
            {"HasSwarmEndpoint", network.has_swarm_endpoint}};
}

NetworkRecord decode_network(const Json& json) {
    NetworkRecord out;
    out.bridge = text_of(json, "Bridge");
    out.sandbox_id = text_of(json, "SandboxID");
    out.sandbox_key = text_of(json, "SandboxKey");
    out.hairpin_mode = flag_of(json, "HairpinMode");
    out.has_swarm_endpoint = flag_of(json, "HasSwarmEndpoint");
    if (const Json* const ports = part_of(json, "Ports"); ports != nullptr) {
        model::decode(*ports, out.ports);
    }
    if (const Json* const networks = part_of(json, "Networks"); networks != nullptr) {
        for (const auto& [name, item] : networks->items()) {
            EndpointRecord& endpoint = out.networks[name];
            if (!item.is_object()) continue;
            model::decode(item, endpoint.settings);
            endpoint.ipam_operational = flag_of(item, "IPAMOperational");
            endpoint.desired_mac_address = text_of(item, "DesiredMacAddress");
        }
    }
    return out;
}

std::string unknown_part(const Json& json) {
    Json unknown = Json::object();
    for (const auto& [key, value] : json.items()) {
        bool known = false;
        for (const std::string_view name : known_keys) known = known || name == key;
        if (!known && !value.is_null()) unknown[key] = value;
    }
    return unknown.empty() ? std::string() : unknown.dump();
}

void decode_paths(const Json& json, ContainerRecord& out) {
    out.log_path = text_of(json, "LogPath");
    out.hostname_path = text_of(json, "HostnamePath");
    out.hosts_path = text_of(json, "HostsPath");
    out.shm_path = text_of(json, "ShmPath");
    out.resolv_conf_path = text_of(json, "ResolvConfPath");
}

void decode_security(const Json& json, ContainerRecord& out) {
    out.mount_label = text_of(json, "MountLabel");
    out.process_label = text_of(json, "ProcessLabel");
    out.app_armor_profile = text_of(json, "AppArmorProfile");
    out.seccomp_profile = text_of(json, "SeccompProfile");
    out.no_new_privileges = flag_of(json, "NoNewPrivileges");
    const auto cgroups = json.find("WritableCgroups");
    if (cgroups != json.end() && cgroups->is_boolean()) out.writable_cgroups = cgroups->get<bool>();
}

void decode_parts(const Json& json, ContainerRecord& out) {
    if (const Json* const state = part_of(json, "State"); state != nullptr) {
        out.state = decode_state(*state);
    }
    if (const Json* const config = part_of(json, "Config"); config != nullptr) {
        model::decode(*config, out.config);
    }
    if (const Json* const network = part_of(json, "NetworkSettings"); network != nullptr) {
        out.network = decode_network(*network);
    }
    if (const Json* const mounts = part_of(json, "MountPoints"); mounts != nullptr) {
        for (const auto& [key, item] : mounts->items()) out.mount_points[key] = decode_mount(item);
    }
    if (const Json* const platform = part_of(json, "ImagePlatform"); platform != nullptr) {
        out.platform_architecture = text_of(*platform, "architecture");
        out.platform_variant = text_of(*platform, "variant");
    }
    if (const Json* const meta = part_of(json, "LocalLogCacheMeta"); meta != nullptr) {
        out.log_cache_has_notify = flag_of(*meta, "HaveNotifyEnabled");
    }
}

Json encode_platform(const ContainerRecord& record) {
    Json json{{"architecture", record.platform_architecture}, {"os", record.os}};
    if (!record.platform_variant.empty()) json["variant"] = record.platform_variant;
    return json;
}

void encode_tail(const ContainerRecord& record, Json& json) {
    json["SecretReferences"] = nullptr;
    json["ConfigReferences"] = nullptr;
    json["MountLabel"] = record.mount_label;
    json["ProcessLabel"] = record.process_label;
    json["AppArmorProfile"] = record.app_armor_profile;
    json["SeccompProfile"] = record.seccomp_profile;
    json["NoNewPrivileges"] = record.no_new_privileges;
    json["WritableCgroups"] =
        record.writable_cgroups ? Json(*record.writable_cgroups) : Json(nullptr);
    json["HostnamePath"] = record.hostname_path;
    json["HostsPath"] = record.hosts_path;
    json["ShmPath"] = record.shm_path;
    json["ResolvConfPath"] = record.resolv_conf_path;
    json["LocalLogCacheMeta"] = {{"HaveNotifyEnabled", record.log_cache_has_notify}};
}

}  // namespace

std::string encode_container_record(const ContainerRecord& record) {
    Json mounts = Json::object();
    for (const auto& [key, mount] : record.mount_points) mounts[key] = encode_mount(mount);
    Json json{{"StreamConfig", Json::object()},
              {"State", encode_state(record.state)},
              {"ID", record.id},
              {"Created", time_text(record.created)},
              {"Managed", record.managed},
              {"Path", record.path},
              {"Args", record.args},
              {"Config", model::encode(record.config)},
              {"Image", record.image_id},
              {"ImageManifest", nullptr},
              {"NetworkSettings", encode_network(record.network)},
              {"LogPath", record.log_path},
              {"Name", record.name},
              {"Driver", record.driver},
              {"OS", record.os},
              {"ImagePlatform", encode_platform(record)},
              {"RestartCount", record.restart_count},
              {"HasBeenStartedBefore", record.has_been_started_before},
              {"HasBeenManuallyStopped", record.has_been_manually_stopped},
              {"MountPoints", mounts}};
    encode_tail(record, json);
    if (!record.unknown_json.empty()) {
        const Json unknown = parse_json(record.unknown_json);
        for (const auto& [key, value] : unknown.items()) json[key] = value;
    }
    return model::to_html_safe_text(json) + "\n";
}

std::string encode_host_config(const ContainerRecord& record) {
    return model::to_html_safe_text(model::encode(record.host_config)) + "\n";
}

ContainerRecord decode_container_record(std::string_view config, std::string_view host_config) {
    try {
        const Json json = parse_json(config);
        if (!json.is_object()) base::fail(base::ErrorKind::internal, "not a container");
        ContainerRecord out;
        out.id = text_of(json, "ID");
        out.created = time_or_zero(json, "Created");
        out.managed = flag_of(json, "Managed");
        out.path = text_of(json, "Path");
        out.args = texts_of(json, "Args");
        out.image_id = text_of(json, "Image");
        out.name = text_of(json, "Name");
        out.driver = text_of(json, "Driver");
        // "OS" came with 17.06 and was "Platform" for a while; before it there was only Linux.
        out.os = text_of(json, json.contains("OS") ? "OS" : "Platform");
        if (out.os.empty()) out.os = "linux";
        out.restart_count = number_of(json, "RestartCount");
        out.has_been_started_before = flag_of(json, "HasBeenStartedBefore");
        out.has_been_manually_stopped = flag_of(json, "HasBeenManuallyStopped");
        decode_parts(json, out);
        decode_paths(json, out);
        decode_security(json, out);
        out.unknown_json = unknown_part(json);
        if (!host_config.empty()) model::decode(parse_json(host_config), out.host_config);
        return out;
    } catch (const base::Error& error) {
        throw base::Error(base::ErrorKind::internal, error.what(), error.errno_value());
    }
}

}  // namespace dockerd::store

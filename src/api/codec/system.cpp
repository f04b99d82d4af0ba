#include "system.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/model/json.hpp>

#include "../params.hpp"
#include "build.hpp"
#include "containers.hpp"
#include "images.hpp"
#include "timestamp.hpp"
#include "volumes.hpp"

namespace dockerd::api::codec {

using base::ErrorKind;

namespace {

constexpr const char* index_server = "https://index.docker.io/v1/";

std::string version_text(ApiVersion version) {
    return fmt::format("{}.{}", version.major, version.minor);
}

void put_engine_component(Text& out, const engine::VersionInfo& info, ApiVersion oldest,
                          bool experimental) {
    Object object(out);
    object("Name", "Engine");
    object("Version", info.version);
    Object{object.key("Details")}("ApiVersion", version_text(ApiVersion{}))("Arch", info.arch)(
        "BuildTime", info.build_time)("Experimental", experimental ? "true" : "false")(
        "GitCommit", info.git_commit)("GoVersion", info.go_version)(
        "KernelVersion", info.kernel_version)("MinAPIVersion", version_text(oldest))("Os", info.os);
}

}  // namespace

std::string encode_version(const engine::VersionInfo& version, ApiVersion oldest,
                           bool experimental) {
    Text out;
    {
        Object object(out);
        Object{object.key("Platform")}("Name", "Docker Engine - Community");
        Text& components = object.key("Components");
        components.raw('[');
        put_engine_component(components, version, oldest, experimental);
        components.raw(']');
        object("Version", version.version);
        object("ApiVersion", version_text(ApiVersion{}));
        object("MinAPIVersion", version_text(oldest));
        object("GitCommit", version.git_commit);
        object("GoVersion", version.go_version);
        object("Os", version.os);
        object("Arch", version.arch);
        object.some("KernelVersion", version.kernel_version);
        object.some("Experimental", experimental);
        object.some("BuildTime", version.build_time);
    }
    return out.take_line();
}

namespace {

void put_pairs(Text& out, const std::vector<std::pair<std::string, std::string>>& pairs) {
    out.raw('[');
    bool first = true;
    for (const auto& [key, value] : pairs) {
        if (!first) out.raw(',');
        first = false;
        put_array(out, std::array<std::string_view, 2>{key, value});
    }
    out.raw(']');
}

/// "name=seccomp,profile=builtin" was "seccomp" before 1.25.
std::vector<std::string> security_options(const engine::SystemInfo& info, ApiVersion version) {
    if (version >= ApiVersion{1, 25}) return info.security_options;
    std::vector<std::string> names;
    for (const std::string& option : info.security_options) {
        const std::string name = option.substr(0, option.find(','));
        names.push_back(name.starts_with("name=") ? name.substr(5) : name);
    }
    return names;
}

void put_index(Object& indexes, std::string_view name, const std::vector<std::string>& mirrors,
               bool official) {
    Object{indexes.key(name)}("Mirrors", mirrors)("Name", name)("Official", official)("Secure",
                                                                                      official);
}

/// Source: moby api/types/registry, ServiceConfig.MarshalJSON, which sorts the keys.
void put_registry(Text& out, const engine::SystemInfo& info, ApiVersion version) {
    Object object(out);
    if (version < ApiVersion{1, 47}) {
        object("AllowNondistributableArtifactsCIDRs", nullptr);
        object("AllowNondistributableArtifactsHostnames", nullptr);
    }
    {
        Object indexes(object.key("IndexConfigs"));
        put_index(indexes, "docker.io", info.registry_mirrors, /*official=*/true);
        for (const std::string& registry : info.insecure_registries) {
            put_index(indexes, registry, {}, /*official=*/false);
        }
    }
    object("InsecureRegistryCIDRs", info.insecure_registry_cidrs);
    object("Mirrors", NullWhenEmpty{info.registry_mirrors});
}

void put_counts(Object& object, const engine::SystemInfo& info) {
    object("ID", info.id);
    object("Containers", info.containers);
    object("ContainersRunning", info.running);
    object("ContainersPaused", info.paused);
    object("ContainersStopped", info.stopped);
    object("Images", info.images);
    object("Driver", info.driver);
    put_pairs(object.key("DriverStatus"), info.driver_status);
    Object{object.key("Plugins")}("Volume", info.volume_plugins)("Network", info.network_plugins)(
        "Authorization", NullWhenEmpty{info.authorization_plugins})("Log", info.log_plugins);
}

void put_limits(Object& object, const engine::SystemInfo& info, ApiVersion version) {
    object("MemoryLimit", info.memory_limit);
    object("SwapLimit", info.swap_limit);
    if (info.kernel_memory && version < ApiVersion{1, 42}) object("KernelMemory", true);
    if (info.kernel_memory_tcp) object("KernelMemoryTCP", true);
    object("CpuCfsPeriod", info.cpu_cfs_period);
    object("CpuCfsQuota", info.cpu_cfs_quota);
    object("CPUShares", info.cpu_shares);
    object("CPUSet", info.cpu_set);
    object("PidsLimit", info.pids_limit);
    object("IPv4Forwarding", info.ipv4_forwarding);
    object("Debug", info.debug);
    object("NFd", info.fds);
    object("OomKillDisable", info.oom_kill_disable);
    object("NGoroutines", info.goroutines);
    object("SystemTime", info.system_time);
    object("LoggingDriver", info.logging_driver);
    object("CgroupDriver", info.cgroup_driver);
    object.some("CgroupVersion", info.cgroup_version);
    object("NEventsListener", info.event_listeners);
}

void put_host(Object& object, const engine::SystemInfo& info, ApiVersion version,
              bool experimental) {
    object("KernelVersion", info.kernel_version);
    object("OperatingSystem", info.operating_system);
    object("OSVersion", info.os_version);
    object("OSType", info.os_type);
    object("Architecture", info.architecture);
    object("IndexServerAddress", index_server);
    put_registry(object.key("RegistryConfig"), info, version);
    object("NCPU", info.ncpu);
    object("MemTotal", info.mem_total);
    object("GenericResources", nullptr);
    object("DockerRootDir", info.docker_root_dir);
    object("HttpProxy", info.http_proxy);
    object("HttpsProxy", info.https_proxy);
    object("NoProxy", info.no_proxy);
    object("Name", info.name);
    object("Labels", info.labels);
    object("ExperimentalBuild", experimental);
    object("ServerVersion", info.server_version);
}

/// Clients look for "runc", the built-in one.
void put_runtimes(Object& object, const engine::SystemInfo& info) {
    auto runtimes = info.runtimes;
    for (const char* name : {"io.containerd.runc.v2", "runc"}) {
        runtimes[name] = {.path = "runc", .args = {}, .type = {}, .options = {}};
    }
    {
        Text& all = object.key("Runtimes");
        char separator = '{';
        for (const auto& [name, runtime] : runtimes) {
            all.raw(separator);
            separator = ',';
            all.string(name);
            all.raw(':');
            Object one{all};
            if (!runtime.path.empty()) one("path", runtime.path);
            if (!runtime.args.empty()) one("runtimeArgs", runtime.args);
            if (!runtime.type.empty()) one("runtimeType", runtime.type);
            if (!runtime.options.empty()) one("options", Raw{runtime.options});
        }
        all.raw('}');
    }
    object("DefaultRuntime", info.default_runtime);
    object("Swarm", Raw{R"({"NodeID":"","NodeAddr":"","LocalNodeState":"inactive",)"
                        R"("ControlAvailable":false,"Error":"","RemoteManagers":null})"});
}

void put_commit(Text& out, std::string_view id, ApiVersion version) {
    Object object(out);
    object("ID", id);
    if (version < ApiVersion{1, 49}) object("Expected", id);
}

void put_security(Object& object, const engine::SystemInfo& info, ApiVersion version) {
    object("LiveRestoreEnabled", info.live_restore);
    object("Isolation", "");
    object("InitBinary", info.init_binary);
    // Source: moby daemon/info_unix.go: what is not there is "N/A".
    for (const char* part : {"ContainerdCommit", "RuncCommit", "InitCommit"}) {
        put_commit(object.key(part), "N/A", version);
    }
    object("SecurityOptions", NullWhenEmpty{security_options(info, version)});
    if (!info.default_address_pools.empty()) {
        Text& pools = object.key("DefaultAddressPools");
        char separator = '[';
        for (const auto& [base, size] : info.default_address_pools) {
            pools.raw(separator);
            separator = ',';
            Object{pools}("Base", base)("Size", size);
        }
        pools.raw(']');
    }
    if (version >= ApiVersion{1, 49} && !info.firewall_driver.empty()) {
        Object{object.key("FirewallBackend")}("Driver", info.firewall_driver);
    }
    object("CDISpecDirs", info.cdi_spec_dirs);
    if (version >= ApiVersion{1, 50} && !info.cdi_devices.empty()) {
        Text& devices = object.key("DiscoveredDevices");
        char separator = '[';
        for (const auto& id : info.cdi_devices) {
            devices.raw(separator);
            separator = ',';
            Object{devices}("Source", "cdi")("ID", id);
        }
        devices.raw(']');
    }
    object("Warnings", NullWhenEmpty{info.warnings});
}

/// Before 1.50 Docker adds fields by way of a map, which sorts every key and escapes HTML.
/// Source: moby api/server/router/system/info_response.go.
std::string sorted_info(std::string_view text) {
    auto json = nlohmann::json::parse(text);
    json["BridgeNfIptables"] = false;
    json["BridgeNfIp6tables"] = false;
    std::string sorted = json.dump();
    std::string out;
    for (const char c : sorted) {
        switch (c) {
            case '<':
                out += "\\u003c";
                break;
            case '>':
                out += "\\u003e";
                break;
            case '&':
                out += "\\u0026";
                break;
            default:
                out += c;
                break;
        }
    }
    return out + "\n";
}

}  // namespace

std::string encode_info(const engine::SystemInfo& info, ApiVersion version, bool experimental) {
    Text out;
    {
        Object object(out);
        put_counts(object, info);
        put_limits(object, info, version);
        put_host(object, info, version, experimental);
        put_runtimes(object, info);
        put_security(object, info, version);
    }
    if (version < ApiVersion{1, 50}) return sorted_info(out.text());
    return out.take_line();
}

DiskUsageCall decode_disk_usage(const http::Request& request) {
    if (request.version < ApiVersion{1, 42} || !request.has_param("type")) return {};
    DiskUsageCall call{false, false, false, false};
    for (const std::string& type : request.params("type")) {
        if (type == "container") {
            call.containers = true;
        } else if (type == "image") {
            call.images = true;
        } else if (type == "volume") {
            call.volumes = true;
        } else if (type == "build-cache") {
            call.build_cache = true;
        } else {
            base::fail(ErrorKind::invalid_argument, "unknown object type: " + type);
        }
    }
    return call;
}

std::string encode_disk_usage(const engine::DiskUsage& usage,
                              const std::vector<engine::BuildCacheEntry>& caches,
                              const DiskUsageCall& call, ApiVersion version) {
    Text out;
    {
        Object object(out);
        object("LayersSize", call.images ? usage.layers_size : 0);
        if (call.images) {
            put_image_usage(object.key("Images"), usage.images, version);
        } else {
            object("Images", nullptr);
        }
        if (call.containers) {
            // Fields of later versions stay: this list is not trimmed.
            put_list(object.key("Containers"), usage.containers, ApiVersion{});
        } else {
            object("Containers", nullptr);
        }
        if (call.volumes) {
            put_volume_usage(object.key("Volumes"), usage.volumes);
        } else {
            object("Volumes", nullptr);
        }
        if (call.build_cache) {
            put_build_caches(object.key("BuildCache"), caches);
        } else {
            object("BuildCache", nullptr);
        }
    }
    return out.take_line();
}

EventsCall decode_events(const http::Request& request) {
    EventsCall call;
    const std::string since = request.param("since", "");
    const std::string until = request.param("until", "");
    call.query.since = parse_timestamp(since, ErrorKind::internal);
    call.query.until = parse_timestamp(until, ErrorKind::internal);
    if (call.query.until && call.query.since && *call.query.until < *call.query.since) {
        base::fail(
            ErrorKind::invalid_argument,
            fmt::format("`since` time ({}) cannot be after `until` time ({})", since, until));
    }
    call.query.filters = filters_param(request);
    call.image_create = request.version >= ApiVersion{1, 46};
    return call;
}

void put_event(Text& out, const engine::Event& event) {
    {
        Object object(out);
        if (event.type == "container" || event.type == "image") {
            object.some("status", event.action);
            object.some("id", event.actor_id);
            const auto image = event.attributes.find("image");
            if (event.type == "container" && image != event.attributes.end()) {
                object.some("from", image->second);
            }
        }
        object("Type", event.type);
        object("Action", event.action);
        Object{object.key("Actor")}("ID", event.actor_id)("Attributes", event.attributes);
        object.some("scope", event.scope);
        object.some("time", event.time.seconds());
        object.some("timeNano", event.time.unix_nano());
    }
    out.raw('\n');
}

bool is_wanted(const engine::Event& event, const EventsCall& call) {
    return call.image_create || event.type != "image" || event.action != "create";
}

}  // namespace dockerd::api::codec

#include "build.hpp"

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/model/go_syntax.hpp>
#include <dockerd/model/json.hpp>

#include "../params.hpp"
#include "registries.hpp"

namespace dockerd::api::codec {
namespace {

using base::ErrorKind;
using base::fail;
using Json = nlohmann::ordered_json;

std::string type_name(const Json& json) {
    if (json.is_number()) return "number";
    if (json.is_boolean()) return "bool";
    return json.type_name();
}

[[noreturn]] void wrong_type(const Json& json, const std::string& wanted) {
    fail(ErrorKind::invalid_argument,
         "json: cannot unmarshal " + type_name(json) + " into Go value of type " + wanted);
}

/// A parameter that is JSON; null when it is not there.
Json json_param(const http::Request& request, std::string_view name) {
    const std::string text = request.param(name, "");
    if (text.empty()) return nullptr;
    const auto syntax = model::scan_go_json(text);
    if (!syntax.error.empty()) {
        // Go's Unmarshal words it otherwise than its decoder of streams.
        fail(ErrorKind::invalid_argument, syntax.error == "unexpected EOF"
                                              ? "unexpected end of JSON input"
                                              : syntax.error);
    }
    const auto rest = base::trim(std::string_view(text).substr(syntax.end));
    if (!rest.empty()) {
        fail(ErrorKind::invalid_argument, std::string("invalid character '") + rest.front() +
                                              "' after top-level value");
    }
    return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

template <typename Body>
void reading(const char* what, Body&& body) {
    base::in_context(what, std::forward<Body>(body));
}

void read_arguments(const http::Request& request, engine::BuildOptions& out) {
    reading("error reading build args", [&] {
        const Json json = json_param(request, "buildargs");
        if (json.is_null()) return;
        if (!json.is_object()) wrong_type(json, "map[string]*string");
        for (const auto& [key, value] : json.items()) {
            if (!value.is_null() && !value.is_string()) wrong_type(value, "string");
            out.arguments[key] =
                value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
        }
    });
}

void read_labels(const http::Request& request, engine::BuildOptions& out) {
    reading("error reading labels", [&] {
        const Json json = json_param(request, "labels");
        if (json.is_null()) return;
        if (!json.is_object()) wrong_type(json, "map[string]string");
        for (const auto& [key, value] : json.items()) {
            if (!value.is_null() && !value.is_string()) wrong_type(value, "string");
            out.labels[key] = value.is_null() ? "" : value.get<std::string>();
        }
    });
}

void read_cache_sources(const http::Request& request, engine::BuildOptions& out) {
    reading("error reading cache-from", [&] {
        const Json json = json_param(request, "cachefrom");
        if (json.is_null()) return;
        if (!json.is_array()) wrong_type(json, "[]string");
        for (const auto& value : json) {
            if (!value.is_null() && !value.is_string()) wrong_type(value, "string");
            out.cache_from.push_back(value.is_null() ? "" : value.get<std::string>());
        }
    });
}

void read_ulimits(const http::Request& request, engine::BuildOptions& out) {
    reading("error reading ulimit settings", [&] {
        const Json json = json_param(request, "ulimits");
        if (json.is_null()) return;
        if (!json.is_array()) wrong_type(json, "[]*container.Ulimit");
        Json resources;
        resources["Ulimits"] = json;
        model::HostConfig decoded;
        model::decode(resources, decoded);
        out.host.resources.ulimits = decoded.resources.ulimits;
    });
}

void read_limits(const http::Request& request, engine::BuildOptions& out) {
    auto& limits = out.host.resources;
    limits.memory_swap = int_param_or_zero(request, "memswap");
    limits.memory = int_param_or_zero(request, "memory");
    limits.cpu_shares = int_param_or_zero(request, "cpushares");
    limits.cpu_period = int_param_or_zero(request, "cpuperiod");
    limits.cpu_quota = int_param_or_zero(request, "cpuquota");
    limits.cpuset_cpus = request.param("cpusetcpus", "");
    limits.cpuset_mems = request.param("cpusetmems", "");
    limits.cgroup_parent = request.param("cgroupparent", "");
}

/// What only the other builder has, or only on other systems.
void check_unsupported(const http::Request& request) {
    if (request.has_param("securityopt")) {
        fail(ErrorKind::invalid_argument, "security options are not supported on linux");
    }
    const std::string isolation = request.param("isolation", "");
    if (!isolation.empty() && !base::iequals(isolation, "default")) {
        fail(ErrorKind::invalid_argument, "unsupported isolation: " + base::quote(isolation));
    }
}

void check_version(const http::Request& request) {
    const std::string version = request.param("version", "");
    if (version == "2") {
        fail(ErrorKind::not_implemented,
             "building with BuildKit is not supported by this daemon yet");
    }
    if (!version.empty() && version != "1") {
        fail(ErrorKind::invalid_argument, "invalid version " + base::quote(version));
    }
}

}  // namespace

engine::BuildOptions decode_build(const http::Request& request, int connection) {
    engine::BuildOptions out;
    check_unsupported(request);
    out.dockerfile = request.param("dockerfile", "");
    out.remote = request.param("remote", "");
    out.target = request.param("target", "");
    out.tags = request.params("t");
    out.no_cache = bool_param(request, "nocache");
    out.pull = bool_param(request, "pull");
    out.force_remove = bool_param(request, "forcerm");
    out.remove = out.force_remove || request.param("rm", "").empty() || bool_param(request, "rm");
    if (request.version >= http::ApiVersion{1, 32}) out.platform = request.param("platform", "");
    read_limits(request, out);
    out.host.network_mode = request.param("networkmode", "");
    out.host.isolation = request.param("isolation", "");
    for (const std::string& host : request.params("extrahosts")) {
        out.host.extra_hosts.push_back(host);
        out.host.extra_hosts.given = true;
    }
    out.host.shm_size = int_param(request, "shmsize", 0, "ParseInt");
    read_ulimits(request, out);
    read_arguments(request, out);
    read_labels(request, out);
    read_cache_sources(request, out);
    check_version(request);
    out.credentials = decode_registry_config(request);
    out.caller = decode_caller(request, connection);
    if (bool_param(request, "squash")) {
        fail(ErrorKind::invalid_argument, "squash is only supported with experimental mode");
    }
    return out;
}

namespace {

std::int64_t bytes_param(const http::Request& request, const char* name) {
    try {
        return int_param(request, name, 0);
    } catch (const base::Error& error) {
        fail(ErrorKind::invalid_argument,
             std::string(name) + " is in bytes and expects an integer, got " +
                 request.param(name, "") + ": " + error.what());
    }
}

std::chrono::nanoseconds duration_of(const std::string& text) {
    const auto duration = base::parse_duration(text);
    if (!duration) {
        fail(ErrorKind::internal, "failed to parse duration: time: invalid duration " +
                                      base::quote(text));
    }
    return *duration;
}

}  // namespace

engine::BuildPrune decode_build_prune(const http::Request& request) {
    const auto filters = filters_param(request);
    engine::BuildPrune out;
    if (request.version >= http::ApiVersion{1, 48}) {
        out.reserved = bytes_param(request, "reserved-space");
        if (out.reserved == 0) out.reserved = bytes_param(request, "keep-storage");
        (void)bytes_param(request, "max-used-space");
        (void)bytes_param(request, "min-free-space");
    } else {
        out.reserved = bytes_param(request, "keep-storage");
    }
    base::in_context("failed to prune build cache", [&] {
        filters.validate({"unused-for", "until", "label", "label!", "id", "parent", "type",
                          "description", "inuse", "shared", "private"});
        for (const char* name : {"until", "unused-for"}) {
            for (const std::string& text : filters.get(name)) out.unused_for = duration_of(text);
        }
    });
    for (const std::string& id : filters.get("id")) out.ids.push_back(id);
    // What is not a folder of a cache mount is not there, and nobody asks for these by the rest.
    bool none = false;
    for (const std::string& type : filters.get("type")) none = none || type != "exec.cachemount";
    for (const char* name : {"label", "parent", "description", "inuse", "shared", "private"}) {
        none = none || filters.contains(name);
    }
    if (none) out.ids = {"none"};
    return out;
}

std::string encode_build_prune(const std::vector<engine::BuildCacheEntry>& gone) {
    std::vector<std::string> ids;
    std::int64_t reclaimed = 0;
    for (const auto& entry : gone) {
        ids.push_back(entry.id);
        reclaimed += entry.size;
    }
    Text out;
    Object{out}("CachesDeleted", NullWhenEmpty{ids})("SpaceReclaimed", reclaimed);
    return out.take_line();
}

void put_build_caches(Text& out, const std::vector<engine::BuildCacheEntry>& caches) {
    out.raw('[');
    for (const auto& entry : caches) {
        if (&entry != &caches.front()) out.raw(',');
        Object object(out);
        object("ID", entry.id)("Type", "exec.cachemount")("Description", entry.description);
        object("InUse", entry.in_use)("Shared", false)("Size", entry.size);
        object("CreatedAt", entry.created)("LastUsedAt", entry.last_used)("UsageCount", 1);
    }
    out.raw(']');
}

}  // namespace dockerd::api::codec

#include "absent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/reference.hpp>

#include "../codec/absent.hpp"
#include "../params.hpp"

namespace dockerd::api {
namespace {

using base::ErrorKind;
using base::fail;
using http::Request;
using http::Response;

// Source: moby daemon/cluster/errors.go, errNoSwarm.
[[noreturn]] void no_swarm() {
    fail(ErrorKind::unavailable,
         "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" "
         "to connect this node to swarm and try again.");
}

/// The `version` an update of a swarm object must carry.
/// Source: moby api/server/router/swarm/cluster_routes.go.
void check_object_version(const Request& request, std::string_view what) {
    const std::string text = request.param("version", "");
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size() && !text.empty()) return;
    if (what == "secret" || what == "config") {
        fail(ErrorKind::invalid_argument, fmt::format("invalid {} version", what));
    }
    const bool too_large = error == std::errc::result_out_of_range;
    fail(ErrorKind::invalid_argument,
         fmt::format("invalid {} version '{}': strconv.ParseUint: parsing {}: {}", what, text,
                     base::quote(text), too_large ? "value out of range" : "invalid syntax"));
}

/// Source: moby api/server/router/plugin/plugin_routes.go, parseRemoteRef.
void check_remote(const Request& request) {
    try {
        (void)model::Reference::parse(request.param("remote", ""));
    } catch (const base::Error& error) {
        throw base::Error(ErrorKind::internal, error.what());
    }
}

[[noreturn]] void not_supported(const std::string& what) {
    fail(ErrorKind::not_implemented, what + " is not supported by this daemon yet");
}

}  // namespace

// GET /swarm, /nodes, /services, /tasks, /secrets, /configs and all below them
Response AbsentHandlers::swarm(const Request& request) {
    (void)filters_param(request);
    no_swarm();
}

// GET /services
Response AbsentHandlers::services(const Request& request) {
    (void)filters_param(request);
    if (request.version >= http::ApiVersion{1, 41}) check_bool_param(request, "status");
    no_swarm();
}

// GET /services/{id}
Response AbsentHandlers::service(const Request& request) {
    check_bool_param(request, "insertDefaults");
    no_swarm();
}

// POST /services/create, /secrets/create, /configs/create, /swarm/unlock
Response AbsentHandlers::swarm_create(const Request& request) {
    check_json(request);
    codec::check_document(request.body);
    no_swarm();
}

// POST /swarm/init, /swarm/join
Response AbsentHandlers::swarm_join(const Request& request) {
    check_json(request);
    if (codec::decode_listen_address(request.body).empty()) {
        fail(ErrorKind::invalid_argument, "invalid ListenAddr \"\": invalid empty address");
    }
    not_supported("swarm mode");
}

// POST /swarm/leave
Response AbsentHandlers::swarm_leave(const Request& /*request*/) {
    fail(ErrorKind::unavailable, "This node is not part of a swarm");
}

// POST /swarm/update
Response AbsentHandlers::swarm_update(const Request& request) {
    check_object_version(request, "swarm");
    no_swarm();
}

// POST /services/{id}/update
Response AbsentHandlers::service_update(const Request& request) {
    check_object_version(request, "service");
    no_swarm();
}

// POST /nodes/{id}/update
Response AbsentHandlers::node_update(const Request& request) {
    check_object_version(request, "node");
    no_swarm();
}

// POST /secrets/{id}/update
Response AbsentHandlers::secret_update(const Request& request) {
    check_object_version(request, "secret");
    no_swarm();
}

// POST /configs/{id}/update
Response AbsentHandlers::config_update(const Request& request) {
    check_object_version(request, "config");
    no_swarm();
}

// GET /services/{id}/logs, /tasks/{id}/logs
Response AbsentHandlers::service_logs(const Request& request) {
    if (!bool_param(request, "stdout") && !bool_param(request, "stderr")) {
        fail(ErrorKind::internal, "Bad parameters: you must choose at least one stream");
    }
    no_swarm();
}

// GET /plugins
Response AbsentHandlers::plugins(const Request& request) {
    const auto filters = filters_param(request);
    // Source: moby plugin/backend_linux.go, acceptedPluginFilterTags.
    filters.validate({"enabled", "capability"});
    (void)filters.get_bool("enabled", false);
    return Response::json(200, "[]");
}

// GET, POST, DELETE /plugins/{name} and below
Response AbsentHandlers::plugin(const Request& request) {
    // Source: moby plugin/errors.go, errNotFound.
    fail(ErrorKind::not_found,
         fmt::format("plugin {} not found", base::quote(request.path_param("name"))));
}

// POST /plugins/{name}/enable
Response AbsentHandlers::plugin_enable(const Request& request) {
    if (request.param("timeout", "").empty()) {
        fail(ErrorKind::internal, "strconv.Atoi: parsing \"\": invalid syntax");
    }
    (void)int_param(request, "timeout", 0);
    return plugin(request);
}

// POST /plugins/{name}/set
Response AbsentHandlers::plugin_set(const Request& request) {
    check_json(request);
    codec::check_document(request.body);
    return plugin(request);
}

// POST /plugins/{name}/upgrade
Response AbsentHandlers::plugin_upgrade(const Request& request) {
    check_json(request);
    codec::check_document(request.body);
    check_remote(request);
    return plugin(request);
}

// POST /plugins/pull, GET /plugins/privileges
Response AbsentHandlers::plugin_install(const Request& request) {
    check_remote(request);
    not_supported("installing managed plugins");
}

// POST /plugins/create
Response AbsentHandlers::plugin_create(const Request& /*request*/) {
    not_supported("installing managed plugins");
}

// GET, POST, DELETE /containers/{name}/checkpoints
Response AbsentHandlers::checkpoints(const Request& /*request*/) {
    // Source: moby api/server/router/experimental.go.
    fail(ErrorKind::not_implemented,
         "This experimental feature is disabled by default. Start the Docker daemon in "
         "experimental mode in order to enable it.");
}

// POST /session
Response AbsentHandlers::session(const Request& request) {
    const std::string_view protocol = request.headers.get("Upgrade");
    if (protocol.empty()) fail(ErrorKind::invalid_argument, "no upgrade proto in request");
    if (protocol != "h2c") {
        fail(ErrorKind::invalid_argument, fmt::format("protocol {} not supported", protocol));
    }
    not_supported("BuildKit's session protocol");
}

// POST /grpc
Response AbsentHandlers::grpc(const Request& request) {
    const std::string_view protocol = request.headers.get("Upgrade");
    if (protocol.empty()) fail(ErrorKind::internal, "no upgrade proto in request");
    if (protocol != "h2c") {
        fail(ErrorKind::internal, fmt::format("protocol {} not supported", protocol));
    }
    not_supported("BuildKit's gRPC service");
}

// POST /build/cancel
Response AbsentHandlers::build_cancel(const Request& request) {
    if (request.param("id", "").empty()) {
        fail(ErrorKind::invalid_argument, "build ID not provided");
    }
    Response response;
    response.headers.add("Content-Type", "application/json");
    return response;
}

}  // namespace dockerd::api

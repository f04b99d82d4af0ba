#include "containers.hpp"

#include <cstdlib>

#include <dockerd/base/error.hpp>

#include "../codec/container_create.hpp"
#include "../codec/container_requests.hpp"
#include "../codec/containers.hpp"
#include "../params.hpp"

namespace dockerd::api {

using http::Request;
using http::Response;

// GET /containers/json
Response ContainerHandlers::list(const Request& request) {
    const auto containers = containers_.list(codec::decode_list(request));
    return Response::json(200, codec::encode_list(containers, request.version));
}

// POST /containers/create
Response ContainerHandlers::create(const Request& request) {
    auto call = codec::decode_create(request, system_.unified_cgroups());
    auto result = containers_.create(std::move(call.name), call.platform, std::move(call.body));
    for (auto& warning : call.warnings) result.warnings.push_back(std::move(warning));
    return Response::json(201, codec::encode_created(result.id, result.warnings));
}

// GET /containers/{name}/json
Response ContainerHandlers::inspect(const Request& request) {
    const auto container =
        containers_.inspect(request.path_param("name"), bool_param(request, "size"));
    return Response::json(200, codec::encode_inspect(*container, request.version));
}

// GET /containers/{name}/changes
Response ContainerHandlers::changes(const Request& request) {
    return Response::json(200,
                          codec::encode_changes(containers_.changes(request.path_param("name"))));
}

// POST /commit
Response ContainerHandlers::commit(const Request& request) {
    const auto options = codec::decode_commit(request);
    return Response::json(
        201, codec::encode_id(containers_.commit(request.param("container", ""), options)));
}

// GET /containers/{name}/top
Response ContainerHandlers::top(const Request& request) {
    const auto top = containers_.top(request.path_param("name"), request.param("ps_args", ""));
    return Response::json(200, codec::encode_top(top));
}

// POST /containers/{name}/start
Response ContainerHandlers::start(const Request& request) {
    codec::check_start(request);
    switch (containers_.start(request.path_param("name"), request.param("detachKeys", ""))) {
        case engine::StartOutcome::started:
            return Response::empty(204);
        case engine::StartOutcome::already_running:
            return Response::empty(304);
    }
    std::abort();  // not reached: the switch names every outcome
}

// POST /containers/{name}/stop
Response ContainerHandlers::stop(const Request& request) {
    switch (containers_.stop(request.path_param("name"), codec::decode_stop(request))) {
        case engine::StopOutcome::stopped:
            return Response::empty(204);
        case engine::StopOutcome::already_stopped:
            return Response::empty(304);
    }
    std::abort();  // not reached: the switch names every outcome
}

// POST /containers/{name}/restart
Response ContainerHandlers::restart(const Request& request) {
    containers_.restart(request.path_param("name"), codec::decode_stop(request));
    return Response::empty(204);
}

// POST /containers/{name}/kill
Response ContainerHandlers::kill(const Request& request) {
    const std::string& name = request.path_param("name");
    // Source: moby api/server/router/container, postContainersKill.
    base::in_context("cannot kill container: " + name,
                     [&] { containers_.kill(name, request.param("signal", "")); });
    return Response::empty(204);
}

// POST /containers/{name}/update
Response ContainerHandlers::update(const Request& request) {
    const auto warnings =
        containers_.update(request.path_param("name"), codec::decode_update(request));
    return Response::json(200, codec::encode_update(warnings));
}

// POST /containers/{name}/rename
Response ContainerHandlers::rename(const Request& request) {
    containers_.rename(request.path_param("name"), request.param("name", ""));
    return Response::empty(204);
}

// POST /containers/{name}/pause
Response ContainerHandlers::pause(const Request& request) {
    containers_.pause(request.path_param("name"));
    return Response::empty(204);
}

// POST /containers/{name}/unpause
Response ContainerHandlers::unpause(const Request& request) {
    containers_.unpause(request.path_param("name"));
    return Response::empty(204);
}

// POST /containers/{name}/resize
Response ContainerHandlers::resize(const Request& request) {
    const auto size = codec::decode_resize(request);
    containers_.resize(request.path_param("name"), size.height, size.width);
    return Response{};
}

// DELETE /containers/{name}
Response ContainerHandlers::remove(const Request& request) {
    containers_.remove(request.path_param("name"), codec::decode_remove(request));
    return Response::empty(204);
}

// POST /containers/prune
Response ContainerHandlers::prune(const Request& request) {
    return Response::json(200, codec::encode_prune(containers_.prune(filters_param(request))));
}

// POST /containers/{name}/exec
Response ContainerHandlers::exec_create(const Request& request) {
    const auto exec = codec::decode_exec_create(request);
    return Response::json(
        201, codec::encode_id(containers_.exec_create(request.path_param("name"), exec)));
}

// GET /exec/{id}/json
Response ContainerHandlers::exec_inspect(const Request& request) {
    return Response::json(200,
                          codec::encode_exec(containers_.exec_inspect(request.path_param("id"))));
}

// POST /exec/{id}/resize
Response ContainerHandlers::exec_resize(const Request& request) {
    const auto size = codec::decode_resize(request);
    containers_.exec_resize(request.path_param("id"), size.height, size.width);
    return Response{};
}

}  // namespace dockerd::api

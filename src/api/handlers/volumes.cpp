#include "volumes.hpp"

#include <dockerd/base/error.hpp>

#include "../codec/volumes.hpp"
#include "../params.hpp"

namespace dockerd::api {

using http::Request;
using http::Response;

// GET /volumes
Response VolumeHandlers::list(const Request& request) {
    const auto filters =
        base::in_context("error reading volume filters", [&] { return filters_param(request); });
    return Response::json(200, codec::encode_volumes(volumes_.list(filters)));
}

// GET /volumes/{name}
Response VolumeHandlers::inspect(const Request& request) {
    return Response::json(200, codec::encode_volume(volumes_.inspect(request.path_param("name"))));
}

// POST /volumes/create
Response VolumeHandlers::create(const Request& request) {
    const auto call = read_json<model::VolumeCreate>(request).value_or(model::VolumeCreate{});
    if (call.cluster_volume_spec && request.version >= http::ApiVersion{1, 42}) {
        // Source: moby daemon/cluster/errors.go, errNoSwarm.
        base::fail(base::ErrorKind::unavailable,
                   "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm "
                   "join\" to connect this node to swarm and try again.");
    }
    return Response::json(201, codec::encode_volume(volumes_.create(call)));
}

// PUT /volumes/{name}
Response VolumeHandlers::update(const Request& /*request*/) {
    base::fail(base::ErrorKind::unavailable,
               "volume update only valid for cluster volumes, but swarm is unavailable");
}

// DELETE /volumes/{name}
Response VolumeHandlers::remove(const Request& request) {
    volumes_.remove(request.path_param("name"), bool_param(request, "force"));
    return Response::empty(204);
}

// POST /volumes/prune
Response VolumeHandlers::prune(const Request& request) {
    const auto result = volumes_.prune(codec::decode_volume_prune(request));
    return Response::json(200, codec::encode_volume_prune(result));
}

}  // namespace dockerd::api

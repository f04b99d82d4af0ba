#include "networks.hpp"

#include "../codec/networks.hpp"
#include "../params.hpp"

namespace dockerd::api {

using http::Request;
using http::Response;

// GET /networks
Response NetworkHandlers::list(const Request& request) {
    const auto networks = networks_.list(codec::decode_network_filters(request));
    return Response::json(200, codec::encode_networks(networks, request.version));
}

// GET /networks/{id}
Response NetworkHandlers::inspect(const Request& request) {
    codec::check_network_inspect(request);
    const auto network = networks_.inspect(request.path_param("id"), request.param("scope", ""));
    return Response::json(200, codec::encode_network(network));
}

// POST /networks/create
Response NetworkHandlers::create(const Request& request) {
    const auto result = networks_.create(codec::decode_network_create(request));
    return Response::json(201, codec::encode_network_created(result));
}

// DELETE /networks/{id}
Response NetworkHandlers::remove(const Request& request) {
    networks_.remove(request.path_param("id"));
    return Response::empty(204);
}

// POST /networks/{id}/connect
Response NetworkHandlers::connect(const Request& request) {
    const auto call = read_json<model::NetworkConnect>(request);
    networks_.connect(request.path_param("id"), call.value_or(model::NetworkConnect{}));
    return Response{};
}

// POST /networks/{id}/disconnect
Response NetworkHandlers::disconnect(const Request& request) {
    const auto call = read_json<model::NetworkDisconnect>(request);
    networks_.disconnect(request.path_param("id"), call.value_or(model::NetworkDisconnect{}));
    return Response{};
}

// POST /networks/prune
Response NetworkHandlers::prune(const Request& request) {
    return Response::json(200,
                          codec::encode_network_prune(networks_.prune(filters_param(request))));
}

}  // namespace dockerd::api

#include "registries.hpp"

#include "../codec/registries.hpp"

namespace dockerd::api {

using http::Request;
using http::Response;

// POST /auth
Response RegistryHandlers::login(const Request& request) {
    return Response::json(200, codec::encode_login(registries_.login(codec::decode_login(request))));
}

// GET /distribution/{name}/json
Response RegistryHandlers::distribution(const Request& request) {
    const auto caller = codec::decode_caller(request, -1);
    return Response::json(
        200, codec::encode_distribution(registries_.distribution(request.path_param("name"), caller)));
}

// GET /images/search
Response RegistryHandlers::search(const Request& request) {
    const auto options = codec::decode_search(request);
    const auto caller = codec::decode_caller(request, -1);
    return Response::json(200, codec::encode_search(registries_.search(options, caller)));
}

}  // namespace dockerd::api

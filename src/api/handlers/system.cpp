#include "system.hpp"

#include <dockerd/base/error.hpp>

#include "../codec/system.hpp"
#include "../params.hpp"

namespace dockerd::api {

using http::Request;
using http::Response;

// GET, HEAD /_ping
Response SystemHandlers::ping(const Request& request) {
    Response response;
    response.headers = {{"Cache-Control", "no-cache, no-store, must-revalidate"},
                        {"Pragma", "no-cache"}};
    if (!options_.builder_version.empty()) {
        response.headers.add("Builder-Version", options_.builder_version);
    }
    response.headers.add("Swarm", "inactive");
    response.headers.add("Content-Type", "text/plain; charset=utf-8");
    if (request.method == http::Method::head) {
        response.headers.add("Content-Length", "0");
    } else {
        response.body = "OK";
    }
    return response;
}

// GET /version
Response SystemHandlers::version(const Request& /*request*/) {
    std::call_once(version_made_, [this] {
        version_text_ =
            codec::encode_version(system_.version(), options_.min_version, options_.experimental);
    });
    return Response::json(200, version_text_);
}

// GET /info
Response SystemHandlers::info(const Request& request) {
    return Response::json(
        200, codec::encode_info(system_.info(), request.version, options_.experimental));
}

// GET /system/df
Response SystemHandlers::disk_usage(const Request& request) {
    const auto call = codec::decode_disk_usage(request);
    const bool any = call.containers || call.images || call.volumes;
    const auto usage = any ? system_.disk_usage() : engine::DiskUsage{};
    const auto caches =
        call.build_cache ? builds_.caches() : std::vector<engine::BuildCacheEntry>{};
    return Response::json(200, codec::encode_disk_usage(usage, caches, call, request.version));
}

}  // namespace dockerd::api

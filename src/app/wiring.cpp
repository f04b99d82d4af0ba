#include "wiring.hpp"

#include <sys/utsname.h>

#include <fmt/format.h>

#include <memory>
#include <string>

#include "api/router.hpp"

namespace dockerd::app {
namespace {

using http::Method;
using http::Request;
using http::Response;

/// What the daemon says about itself before the engine is wired in.
class Introduction {
public:
    Introduction() {
        utsname host{};
        (void)::uname(&host);
        version_ = fmt::format(
            "{{\"Platform\":{{\"Name\":\"\"}},\"Version\":\"28.2.2\",\"ApiVersion\":\"1.50\","
            "\"MinAPIVersion\":\"1.24\",\"Os\":\"linux\",\"Arch\":\"amd64\","
            "\"KernelVersion\":\"{}\"}}",
            host.release);
    }

    // HEAD, GET /_ping
    Response ping(const Request& request) {
        Response response = request.method == Method::head ? Response::empty(200)
                                                           : Response::text(200, "OK");
        if (request.method == Method::head) response.headers.add("Content-Length", "0");
        response.headers.add("Builder-Version", "1");
        response.headers.add("Cache-Control", "no-cache, no-store, must-revalidate");
        response.headers.add("Pragma", "no-cache");
        response.headers.add("Swarm", "inactive");
        return response;
    }

    // GET /version
    Response version(const Request&) { return Response::json(200, version_); }

    // GET /info
    Response info(const Request&) {
        return Response::json(200, "{\"ServerVersion\":\"28.2.2\",\"OSType\":\"linux\"}");
    }

private:
    std::string version_;
};

class MinimalWiring final : public Wiring {
public:
    explicit MinimalWiring(const Config& config)
        : router_({.min_version = config.min_api_version, .experimental = config.experimental}) {
        router_.add(Method::get, "/_ping", {1, 24}, api::inline_call(self_, &Introduction::ping));
        router_.add(Method::head, "/_ping", {1, 24}, api::inline_call(self_, &Introduction::ping));
        router_.add(Method::get, "/version", {1, 24}, api::inline_call(self_, &Introduction::version));
        router_.add(Method::get, "/info", {1, 24}, api::call(self_, &Introduction::info));
    }

    http::Application& application() override { return router_; }
    void reload(const Config&) override {}
    void shutdown() override {}

private:
    Introduction self_;
    api::Router router_;
};

}  // namespace

std::unique_ptr<Wiring> make_wiring(const Config& config) {
    return std::make_unique<MinimalWiring>(config);
}

}  // namespace dockerd::app

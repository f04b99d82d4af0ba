#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

class NetworkHandlers {
public:
    explicit NetworkHandlers(const engine::Services& services) : networks_(services.networks) {}

    http::Response list(const http::Request& request);
    http::Response inspect(const http::Request& request);
    http::Response create(const http::Request& request);
    http::Response remove(const http::Request& request);
    http::Response connect(const http::Request& request);
    http::Response disconnect(const http::Request& request);
    http::Response prune(const http::Request& request);

private:
    engine::NetworkService& networks_;
};

}  // namespace dockerd::api

#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// Short answers about registries; pull and push are transfers of images.
class RegistryHandlers {
public:
    explicit RegistryHandlers(const engine::Services& services)
        : registries_(services.registries) {}

    http::Response login(const http::Request& request);
    http::Response distribution(const http::Request& request);
    http::Response search(const http::Request& request);

private:
    engine::RegistryService& registries_;
};

}  // namespace dockerd::api

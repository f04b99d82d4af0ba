#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/body.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// Answers about builds.
class BuildHandlers {
public:
    explicit BuildHandlers(const engine::Services& services) : builds_(services.builds) {}

    void build(http::Request& request, http::BodyReader& in, http::ResponseWriter& out);
    http::Response prune(const http::Request& request);

private:
    engine::BuildService& builds_;
};

}  // namespace dockerd::api

#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

class VolumeHandlers {
public:
    explicit VolumeHandlers(const engine::Services& services) : volumes_(services.volumes) {}

    http::Response list(const http::Request& request);
    http::Response inspect(const http::Request& request);
    http::Response create(const http::Request& request);
    http::Response update(const http::Request& request);
    http::Response remove(const http::Request& request);
    http::Response prune(const http::Request& request);

private:
    engine::VolumeService& volumes_;
};

}  // namespace dockerd::api

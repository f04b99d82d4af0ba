#pragma once

#include <dockerd/engine/services.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// Ordinary answers about containers and execs: read the request, call the engine, write the
/// answer. Long answers are in streams/.
class ContainerHandlers {
public:
    explicit ContainerHandlers(const engine::Services& services)
        : containers_(services.containers), system_(services.system) {}

    http::Response list(const http::Request& request);
    http::Response create(const http::Request& request);
    http::Response inspect(const http::Request& request);
    http::Response changes(const http::Request& request);
    http::Response commit(const http::Request& request);
    http::Response top(const http::Request& request);
    http::Response start(const http::Request& request);
    http::Response stop(const http::Request& request);
    http::Response restart(const http::Request& request);
    http::Response kill(const http::Request& request);
    http::Response update(const http::Request& request);
    http::Response rename(const http::Request& request);
    http::Response pause(const http::Request& request);
    http::Response unpause(const http::Request& request);
    http::Response resize(const http::Request& request);
    http::Response remove(const http::Request& request);
    http::Response prune(const http::Request& request);

    http::Response exec_create(const http::Request& request);
    http::Response exec_inspect(const http::Request& request);
    http::Response exec_resize(const http::Request& request);

private:
    engine::ContainerService& containers_;
    engine::SystemService& system_;
};

}  // namespace dockerd::api

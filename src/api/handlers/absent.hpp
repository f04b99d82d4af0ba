#pragma once

#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// Routes that exist for clients to be told what this daemon does not do: swarm, managed
/// plugins, and what is still to come. docs/api-coverage.md lists them.
class AbsentHandlers {
public:
    /// The swarm family while swarm is inactive.
    http::Response swarm(const http::Request& request);
    http::Response services(const http::Request& request);
    http::Response service(const http::Request& request);
    http::Response swarm_create(const http::Request& request);
    http::Response swarm_join(const http::Request& request);
    http::Response swarm_leave(const http::Request& request);
    http::Response swarm_update(const http::Request& request);
    http::Response service_update(const http::Request& request);
    http::Response node_update(const http::Request& request);
    http::Response secret_update(const http::Request& request);
    http::Response config_update(const http::Request& request);
    http::Response service_logs(const http::Request& request);

    http::Response plugins(const http::Request& request);
    http::Response plugin(const http::Request& request);
    http::Response plugin_enable(const http::Request& request);
    http::Response plugin_set(const http::Request& request);
    http::Response plugin_upgrade(const http::Request& request);
    http::Response plugin_install(const http::Request& request);
    http::Response plugin_create(const http::Request& request);

    http::Response checkpoints(const http::Request& request);
    http::Response session(const http::Request& request);
    http::Response grpc(const http::Request& request);
    http::Response build_cancel(const http::Request& request);
};

}  // namespace dockerd::api

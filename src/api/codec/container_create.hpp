#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/containers.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/model/requests.hpp>

namespace dockerd::api::codec {

/// POST /containers/create as the engine sees it: every default that depends on the client's
/// version is filled in, and what moved to another field has moved.
struct CreateCall {
    std::string name;
    std::string platform;
    model::ContainerCreate body;  ///< host_config and networking_config are set
    /// For the client, after the engine's own.
    std::vector<std::string> warnings;
};

/// Reads the request. `unified_cgroups`: the host has cgroup v2.
/// Throws: invalid_argument, in the words of moby runconfig and container_routes.go.
CreateCall decode_create(const http::Request& request, bool unified_cgroups);

/// POST /commit: the body may hold a configuration, in the form of a create.
/// Throws: as decode_create, but a body that is empty or null is none.
engine::CommitOptions decode_commit(const http::Request& request);

}  // namespace dockerd::api::codec

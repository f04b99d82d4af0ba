#pragma once

#include <dockerd/engine/build.hpp>
#include <dockerd/http/message.hpp>

/// Requests to build.
namespace dockerd::api::codec {

/// The parameters of POST /build; `connection` is the client's.
/// Throws: invalid_argument, "error reading build args: ...", "security options are not supported
///         on linux" and kin.
/// Source: moby api/server/router/build/build_routes.go, newImageBuildOptions.
engine::BuildOptions decode_build(const http::Request& request, int connection);

}  // namespace dockerd::api::codec

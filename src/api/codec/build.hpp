#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/build.hpp>
#include <dockerd/http/message.hpp>

#include "text.hpp"

/// Requests to build.
namespace dockerd::api::codec {

/// The parameters of POST /build; `connection` is the client's.
/// Throws: invalid_argument, "error reading build args: ...", "security options are not supported
///         on linux" and kin.
/// Source: moby api/server/router/build/build_routes.go, newImageBuildOptions.
engine::BuildOptions decode_build(const http::Request& request, int connection);

/// The parameters of POST /build/prune.
/// Throws: invalid_argument, "keep-storage is in bytes and expects an integer, got x: ...".
/// Source: build_routes.go, postPrune; builder/builder-next/builder.go, toBuildkitPruneInfo.
engine::BuildPrune decode_build_prune(const http::Request& request);
/// Source: moby api/types/build, CachePruneReport.
std::string encode_build_prune(const std::vector<engine::BuildCacheEntry>& gone);
/// The list of /system/df. Source: moby api/types/build, CacheRecord.
void put_build_caches(Text& out, const std::vector<engine::BuildCacheEntry>& caches);

}  // namespace dockerd::api::codec

#pragma once

#include <map>
#include <string>
#include <vector>

#include <dockerd/engine/registries.hpp>
#include <dockerd/http/message.hpp>

/// Requests and answers about registries.
namespace dockerd::api::codec {

/// Who asks: X-Registry-Auth, User-Agent and X-Meta-. A header that cannot be read is as none.
/// Source: moby api/types/registry/authconfig.go, DecodeAuthConfig.
engine::RegistryCaller decode_caller(const http::Request& request, int connection);
/// The same for push, where old clients send credentials as the body.
/// Throws: internal, "bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth header:
///         EOF".
engine::RegistryCaller decode_push_caller(const http::Request& request, int connection);
/// The body of POST /auth. Throws: internal, "EOF" and what is wrong with its JSON.
engine::RegistryCaller decode_login(const http::Request& request);

/// X-Registry-Config: credentials by registry. What cannot be read is as none.
/// Source: moby api/server/router/build/build_routes.go, getAuthConfigs.
std::map<std::string, engine::RegistryCredentials> decode_registry_config(
    const http::Request& request);

engine::PullOptions decode_pull(const http::Request& request);
engine::PushOptions decode_push(const http::Request& request);
/// Throws: invalid_argument, "invalid limit specified: ...", "invalid filter".
engine::SearchOptions decode_search(const http::Request& request);

/// Source: moby api/types/registry/authenticate.go, AuthenticateOKBody.
std::string encode_login(const engine::LoginResult& result);
/// Source: moby api/types/registry/registry.go, DistributionInspect.
std::string encode_distribution(const engine::DistributionInfo& info);
/// Source: moby api/types/registry/search.go, SearchResult.
std::string encode_search(const std::vector<engine::SearchItem>& items);

}  // namespace dockerd::api::codec

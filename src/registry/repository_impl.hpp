#pragma once

#include <string>

#include <dockerd/registry/repository.hpp>

#include "authorizer.hpp"

namespace dockerd::registry {

struct Repository::Impl {
    Impl(const Service& service, const Endpoint& where, std::string name, Access access,
         const Caller& caller);

    /// <endpoint>/v2/<path>/<rest>
    [[nodiscard]] http::ClientRequest request(std::string method, const std::string& rest);
    /// Sends with authorization, redirects followed.
    [[nodiscard]] http::ClientResponse fetch(const http::ClientRequest& request);

    Endpoint endpoint;
    std::string path;
    http::Client client;
    Authorizer authorizer;
    http::Headers meta;
    std::optional<std::chrono::milliseconds> timeout;
};

/// Whether the client takes an answer for a success. Source: registry/client, SuccessStatus.
inline bool is_success(int status) { return status >= 200 && status <= 399; }

}  // namespace dockerd::registry

#pragma once

#include <map>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>

namespace dockerd::engine {

/// What authorization plugins are told: of a request, and later of the answer to it as well.
/// Source: moby pkg/authorization/api.go, Request.
struct AuthorizationCase {
    std::string user;         ///< the common name of the client's certificate
    std::string user_method;  ///< "TLS"
    std::string method;
    std::string uri;
    std::string request_body;
    std::map<std::string, std::string> request_headers;
    std::vector<std::string> certificates;  ///< PEM, the client's own first
    int status = 0;
    std::string response_body;
    std::map<std::string, std::string> response_headers;
};

/// A plugin forbids it (permission_denied), or cannot be asked (internal).
class NotAuthorized : public base::Error {
public:
    using base::Error::Error;
};

/// The chain of authorization plugins. Thread: any.
class AuthorizationService {
public:
    virtual ~AuthorizationService() = default;
    /// Whether there is a plugin to ask.
    [[nodiscard]] virtual bool active() const = 0;
    /// Asks all of them, in their order, up to the first that refuses. Blocks while they think.
    /// Throws: NotAuthorized, "authorization denied by plugin x: why", "plugin x failed with error:
    /// AuthZPlugin.AuthZReq: why".
    virtual void check_request(const AuthorizationCase& asked) = 0;
    virtual void check_response(const AuthorizationCase& asked) = 0;
};

}  // namespace dockerd::engine

#pragma once

#include <memory>
#include <unordered_map>

#include <dockerd/engine/authorization.hpp>
#include <dockerd/http/server.hpp>

namespace dockerd::api {

/// Stands before endpoints while authorization plugins are in use: they are asked before the handler
/// runs, and again when its answer is there and has not gone yet.
///
/// What streams is not held back: of an answer of which something was sent, only the connection can
/// be broken off. Source: moby pkg/authorization, authz.go, middleware.go, response.go.
class Gate {
public:
    /// Both must outlive the gate; `app` words the errors of handlers.
    Gate(engine::AuthorizationService& plugins, http::Application& app)
        : plugins_(plugins), app_(app) {}

    [[nodiscard]] bool active() const { return plugins_.active(); }
    /// The endpoint behind the gate. `endpoint` must outlive the gate. Thread: the io thread.
    const http::Endpoint& guard(const http::Endpoint& endpoint);

private:
    http::Response call(const http::Endpoint& endpoint, const http::Request& request);
    void transfer(const http::Endpoint& endpoint, http::Request& request, http::BodyReader& body,
                  http::ResponseWriter& writer);
    http::Task<void> session(const http::Endpoint& endpoint, http::Request request,
                             http::Stream& stream);
    void check_request(const engine::AuthorizationCase& asked);
    /// `failed`: the handler's own error is the answer, whatever plugins say.
    void check_response(const engine::AuthorizationCase& asked, bool failed);

    engine::AuthorizationService& plugins_;
    http::Application& app_;
    std::unordered_map<const http::Endpoint*, std::unique_ptr<http::Endpoint>> guarded_;
};

}  // namespace dockerd::api

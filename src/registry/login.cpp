#include <fmt/format.h>

#include <optional>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/registry/failure.hpp>
#include <dockerd/registry/service.hpp>

#include "authorizer.hpp"

namespace dockerd::registry {
namespace {

/// Source: moby registry/config.go, IndexHostname.
constexpr const char* hub = "index.docker.io";
/// Source: moby registry/auth.go, v2AuthHTTPClient.
constexpr std::chrono::seconds timeout{15};

std::string host_of(const std::string& server_address) {
    if (server_address.empty()) return hub;
    const bool has_scheme =
        server_address.starts_with("https://") || server_address.starts_with("http://");
    try {
        return http::Url::parse(has_scheme ? server_address : "https://" + server_address).host;
    } catch (const base::Error& error) {
        throw error.with_context("unable to parse server address");
    }
}

// Source: moby registry/auth.go, loginV2; errors.go, translateV2AuthError.
std::string login_at(const Service& service, const Endpoint& endpoint, const Caller& caller) {
    Authorizer authorizer(service, endpoint, caller, {.scope = {}, .offline_token = true});
    http::ClientRequest request;
    request.url = endpoint.root();
    request.url.path += "/";
    request.timeout = timeout;
    const std::string shown = request.url.text();
    const auto response =
        service.client(endpoint, caller).fetch(request, [&](http::ClientRequest& next) {
            endpoint.add_headers(next);
            try {
                authorizer.authorize(next);
            } catch (const base::Error& error) {
                const auto* const failure = dynamic_cast<const Failure*>(&error);
                const bool refused =
                    failure != nullptr && !failure->is_listed() && failure->code() == "UNAUTHORIZED";
                base::fail(refused ? base::ErrorKind::unauthenticated : base::ErrorKind::internal,
                           fmt::format("Get {}: {}", base::quote(next.url.text()), error.what()));
            }
        });
    if (response.status() != 200) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("login attempt to {} failed with status: {} {}", shown,
                               response.status(), http::status_text(response.status())));
    }
    const std::string token = authorizer.refresh_token();
    return token.empty() ? caller.credentials.identity_token : token;
}

}  // namespace

Service::Login Service::login(const Caller& caller) const {
    std::optional<base::Error> last;
    for (const Endpoint& endpoint : push_endpoints(host_of(caller.credentials.server_address), *caller.cancellation)) {
        if (endpoint.mirror) continue;  // the credentials are not for it
        try {
            return {login_at(*this, endpoint, caller)};
        } catch (const base::Error& error) {
            if (error.kind() != base::ErrorKind::internal) throw;
            base::log::info("Error logging in to endpoint {}, trying next endpoint: {}",
                            endpoint.url.text(), error.what());
            last.emplace(error);
        }
    }
    throw base::Error(*last);
}

}  // namespace dockerd::registry

#pragma once

#include <memory>
#include <string>

#include <dockerd/engine/authorization.hpp>
#include <dockerd/engine/services.hpp>
#include <dockerd/http/server.hpp>

namespace dockerd::api {

/// What the API says about itself.
struct ApiOptions {
    std::string server_version = "28.2.2";
    /// Oldest version that is served. Source: moby api/common.go, MinSupportedAPIVersion.
    http::ApiVersion min_version{1, 24};
    bool experimental = false;
    /// Builder-Version in /_ping: "2" prefers BuildKit, "1" the classic builder.
    std::string builder_version = "1";
    /// Who is asked before and after every request; null for nobody. Must outlive the API.
    engine::AuthorizationService* authorization = nullptr;
};

/// The Docker Engine API over `services`, ready to be served. `services` must outlive it.
std::unique_ptr<http::Application> make_api(const engine::Services& services,
                                            const ApiOptions& options);

}  // namespace dockerd::api

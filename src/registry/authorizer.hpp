#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/registry/failure.hpp>
#include <dockerd/registry/service.hpp>

#include "challenge.hpp"

namespace dockerd::registry {

/// Adds to requests what a registry asked for, and gets tokens where it sends us for them.
///
/// Credentials go to the registry itself and to the token server it names, to nobody else: a
/// request to another origin, as after a redirect, is left alone.
/// Source: docker/distribution registry/client/auth/session.go.
/// Thread: any.
class Authorizer {
public:
    struct Settings {
        std::string scope;           ///< "repository:library/busybox:pull"; may be empty
        bool offline_token = false;  ///< ask for a refresh token, as at login
    };

    /// Asks `endpoint` for its challenges. Throws: http::ClientError.
    Authorizer(const Service& service, const Endpoint& endpoint, const Caller& caller,
               Settings settings);

    /// Puts an Authorization header in place if the request's origin is the registry.
    /// Throws: Failure, "no basic auth credentials", and what a token server answers.
    void authorize(http::ClientRequest& request);

    /// A refresh token that came with an access token, or empty.
    [[nodiscard]] std::string refresh_token() const;

private:
    using Clock = std::chrono::system_clock;
    struct Token {
        std::string text;
        Clock::time_point expires;
    };
    [[nodiscard]] std::string token_for(const Challenge& challenge, const std::string& also_from);
    [[nodiscard]] Token fetch_token(const Challenge& challenge,
                                    const std::vector<std::string>& scopes);
    [[nodiscard]] http::ClientRequest token_request(const Challenge& challenge,
                                                    const std::vector<std::string>& scopes) const;
    [[nodiscard]] Token read_token(const std::string& text);

    const Caller caller_;
    const Settings settings_;
    const http::Client client_;
    const http::Url root_;
    http::Url origin_;  ///< of the answer that brought the challenges
    std::vector<Challenge> challenges_;

    mutable base::Mutex mutex_;
    std::string refresh_token_;
    std::optional<Token> cached_;
};

}  // namespace dockerd::registry

#include "authorizer.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>

namespace dockerd::registry {
namespace {

using Json = nlohmann::json;
using Reason = Failure::Reason;

/// Source: moby registry/auth.go, PingV2Registry; session.go, tokenHandler.client.
constexpr std::chrono::seconds small_request_timeout{15};
/// Source: session.go, minimumTokenLifetimeSeconds.
constexpr std::int64_t least_lifetime = 60;
constexpr std::size_t max_answer = 1U << 20U;
/// Source: moby registry/auth.go, AuthClientID.
constexpr std::string_view client_id = "docker";

[[noreturn]] void fail(const std::string& text) { throw Failure(Reason::other, text); }

std::string text_field(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string param(const Challenge& challenge, const std::string& name) {
    const auto found = challenge.params.find(name);
    return found == challenge.params.end() ? std::string() : found->second;
}

std::string basic(const Credentials& credentials) {
    return "Basic " + base::base64_encode(credentials.username + ":" + credentials.password);
}

/// The caller as this endpoint may know them.
Caller own_caller(const Endpoint& endpoint, const Caller& caller) {
    Caller out = caller;
    if (endpoint.is_foreign) out.credentials = {};
    return out;
}

}  // namespace

Authorizer::Authorizer(const Service& service, const Endpoint& endpoint, const Caller& caller,
                       Settings settings)
    : caller_(own_caller(endpoint, caller)),
      settings_(std::move(settings)),
      client_(service.client(endpoint, caller)),
      root_(endpoint.root()) {
    http::ClientRequest ping;
    ping.url = root_;
    ping.url.path += "/";
    ping.headers = caller.meta;
    ping.timeout = small_request_timeout;
    const http::ClientResponse answer = client_.fetch(
        ping, [&](http::ClientRequest& next) { endpoint.add_headers(next); });
    challenges_ = challenges_of(answer);
    origin_ = answer.url();
}

void Authorizer::authorize(http::ClientRequest& request) {
    const bool api = request.url.path.find("/v2/") != std::string::npos ||
                     request.url.path.find("/v1/") != std::string::npos ||
                     request.url.path.starts_with(root_.path + "/");
    if (!request.url.same_origin(origin_) || !api) return;
    const Credentials& own = caller_.credentials;
    for (const Challenge& challenge : challenges_) {
        if (challenge.scheme != "bearer") continue;
        std::string from;
        for (const auto& [name, value] : http::parse_form(request.url.query)) {
            if (name == "from") from = value;
        }
        const std::string token =
            own.registry_token.empty() ? token_for(challenge, from) : own.registry_token;
        request.headers.set("Authorization", "Bearer " + token);
    }
    if (!own.registry_token.empty()) return;
    for (const Challenge& challenge : challenges_) {
        if (challenge.scheme != "basic") continue;
        if (own.username.empty() || own.password.empty()) {
            // Source: session.go, ErrNoBasicAuthCredentials.
            throw Failure(Reason::no_credentials, "no basic auth credentials");
        }
        request.headers.set("Authorization", basic(own));
    }
}

std::string Authorizer::token_for(const Challenge& challenge, const std::string& also_from) {
    std::vector<std::string> scopes;
    if (!settings_.scope.empty()) scopes.push_back(settings_.scope);
    bool more = false;
    if (!also_from.empty()) {
        const std::string scope = fmt::format("repository:{}:pull", also_from);
        more = std::ranges::find(scopes, scope) == scopes.end();
        if (more) scopes.push_back(scope);
    }
    const base::Lock lock(mutex_);
    if (!more && cached_ && Clock::now() <= cached_->expires) return cached_->text;
    Token token = fetch_token(challenge, scopes);
    std::string text = token.text;
    // A token of wider scope is for this one request.
    if (!more) cached_ = std::move(token);
    return text;
}

http::ClientRequest Authorizer::token_request(const Challenge& challenge,
                                              const std::vector<std::string>& scopes) const {
    const std::string realm = param(challenge, "realm");
    if (realm.empty()) fail("no realm specified for token auth challenge");
    http::ClientRequest request;
    try {
        request.url = http::Url::parse(realm);
    } catch (const base::Error& error) {
        fail(fmt::format("invalid token auth challenge realm: {}", error.what()));
    }
    request.timeout = small_request_timeout;
    request.headers = caller_.meta;
    const Credentials& own = caller_.credentials;
    const std::string service = param(challenge, "service");
    const auto field = [](std::string& out, std::string_view name, std::string_view value) {
        out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, http::query_escape(value));
    };
    if (!own.identity_token.empty()) {
        request.method = "POST";
        request.headers.set("Content-Type", "application/x-www-form-urlencoded");
        field(request.body, "client_id", client_id);
        field(request.body, "grant_type", "refresh_token");
        field(request.body, "refresh_token", own.identity_token);
        field(request.body, "scope", base::join(scopes, " "));
        field(request.body, "service", service);
        return request;
    }
    std::string& query = request.url.query;
    const bool known = !own.username.empty() && !own.password.empty();
    if (known) {
        field(query, "account", own.username);
        request.headers.set("Authorization", basic(own));
    }
    if (settings_.offline_token) {
        field(query, "client_id", client_id);
        field(query, "offline_token", "true");
    }
    for (const std::string& scope : scopes) field(query, "scope", scope);
    if (!service.empty()) field(query, "service", service);
    return request;
}

Authorizer::Token Authorizer::fetch_token(const Challenge& challenge,
                                          const std::vector<std::string>& scopes) {
    const http::ClientRequest request = token_request(challenge, scopes);
    // What convinces the token server is not for those it sends us on to.
    const http::Url server = request.url;
    http::ClientResponse answer = client_.fetch(request, [&](http::ClientRequest& next) {
        if (next.url.same_origin(server)) return;
        if (!next.body.empty()) {
            fail(fmt::format("the token server {} sends the identity token on to {}", server.host,
                             next.url.host));
        }
        http::Headers kept;
        for (const auto& [name, value] : next.headers.all()) {
            if (!base::iequals(name, "Authorization")) kept.add(name, value);
        }
        next.headers = kept;
    });
    if (answer.status() < 200 || answer.status() > 399) throw_answer(answer);
    std::string text;
    try {
        text = answer.read_all(max_answer);
    } catch (const http::ClientError& error) {
        throw http::ClientError(error.kind(),
                                fmt::format("unable to decode token response: {}", error.what()),
                                error.errno_value());
    }
    return read_token(text);
}

Authorizer::Token Authorizer::read_token(const std::string& text) {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
        fail("unable to decode token response: " +
             std::string(text.empty() ? "EOF" : "invalid character in it"));
    }
    Token token;
    token.text = text_field(json, "access_token");
    if (token.text.empty()) token.text = text_field(json, "token");
    if (token.text.empty() && caller_.credentials.identity_token.empty()) {
        // Source: session.go, ErrNoToken.
        throw Failure(Reason::no_credentials,
                      "authorization server did not include a token in the response");
    }
    if (const std::string refresh = text_field(json, "refresh_token"); !refresh.empty()) {
        refresh_token_ = refresh;
    }
    std::int64_t seconds = least_lifetime;
    if (const auto found = json.find("expires_in"); found != json.end() && found->is_number_integer()) {
        seconds = std::clamp<std::int64_t>(found->get<std::int64_t>(), least_lifetime, 86'400);
    }
    auto issued = Clock::now();
    if (const auto given = base::parse_rfc3339(text_field(json, "issued_at"))) {
        issued = Clock::time_point(std::chrono::seconds(given->seconds()));
    }
    token.expires = issued + std::chrono::seconds(seconds);
    return token;
}

std::string Authorizer::refresh_token() const {
    const base::Lock lock(mutex_);
    return refresh_token_;
}

}  // namespace dockerd::registry

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <optional>

#include <dockerd/base/strings.hpp>
#include <dockerd/registry/failure.hpp>
#include <dockerd/registry/service.hpp>

#include "authorizer.hpp"

namespace dockerd::registry {
namespace {

using base::ErrorKind;
using Json = nlohmann::json;

constexpr std::size_t max_answer = 8U << 20U;
// Source: moby registry/search_session.go, defaultSearchLimit.
constexpr std::int64_t default_limit = 25;

/// Which registry a term is for, and what is left of it. Source: search.go, splitReposSearchTerm.
std::pair<std::string, std::string> split_term(const std::string& term) {
    const std::size_t slash = term.find('/');
    const std::string first = term.substr(0, slash);
    const bool names_host = first.find_first_of(".:") != std::string::npos || first == "localhost";
    if (slash == std::string::npos || !names_host) return {"docker.io", term};
    return {first == "index.docker.io" ? "docker.io" : first, term.substr(slash + 1)};
}

/// Finds out by https, and where that is not asked for by http, whether somebody is there.
/// Source: search_endpoint_v1.go, newV1Endpoint.
Endpoint find_endpoint(const Service& service, const std::string& host, const Caller& caller) {
    const auto endpoints = service.push_endpoints(host, *caller.cancellation);
    std::string first;
    for (const Endpoint& endpoint : endpoints) {
        http::ClientRequest ping;
        ping.url = endpoint.url;
        ping.url.path = "/v1/_ping";
        ping.timeout = caller.timeout;
        try {
            (void)service.client(endpoint, caller).fetch(ping);
            return endpoint;
        } catch (const http::ClientError& error) {
            const std::string shown = fmt::format("{}://{}/v1/", endpoint.url.scheme, host);
            if (endpoints.size() == 1) {
                base::fail(ErrorKind::invalid_argument,
                           fmt::format("invalid registry endpoint {}: {}. If this private registry "
                                       "supports only HTTP or HTTPS with an unknown CA certificate, "
                                       "please add `--insecure-registry {}` to the daemon's "
                                       "arguments. In the case of HTTPS, if you have access to the "
                                       "registry's CA certificate, no need for the flag; simply place "
                                       "the CA certificate at /etc/docker/certs.d/{}/ca.crt",
                                       shown, error.what(), host, host));
            }
            if (!first.empty()) {
                base::fail(ErrorKind::invalid_argument,
                           fmt::format("invalid registry endpoint {}. HTTPS attempt: {}. HTTP "
                                       "attempt: {}",
                                       base::quote(shown), first, error.what()));
            }
            first = error.what();
        }
    }
    base::fail(ErrorKind::internal, first);
}

FoundRepository read_item(const Json& item) {
    FoundRepository out;
    if (!item.is_object()) return out;
    const auto text = [&](const char* name) {
        const auto found = item.find(name);
        return found != item.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    out.name = text("name");
    out.description = text("description");
    const auto stars = item.find("star_count");
    if (stars != item.end() && stars->is_number_integer()) out.stars = stars->get<std::int64_t>();
    const auto official = item.find("is_official");
    out.official = official != item.end() && official->is_boolean() && official->get<bool>();
    return out;
}

}  // namespace

std::vector<FoundRepository> Service::search(const std::string& term, std::int64_t limit,
                                             const Caller& caller) const {
    if (term.find("://") != std::string::npos) {
        base::fail(ErrorKind::invalid_argument,
                   fmt::format("invalid repository name: repository name ({}) should not have a "
                               "scheme",
                               term));
    }
    auto [host, remote] = split_term(term);
    const bool official = host == "docker.io";
    Endpoint endpoint;
    if (official) {
        if (remote.starts_with("library/")) remote = remote.substr(8);
        // Source: moby registry/config.go, IndexServer.
        endpoint = {.url = http::Url::parse("https://index.docker.io"),
                    .tls = http::make_client_tls({})};
    } else {
        endpoint = find_endpoint(*this, host, caller);
    }
    if (limit == 0) limit = default_limit;
    if (limit < 1 || limit > 100) {
        base::fail(ErrorKind::invalid_argument,
                   fmt::format("limit {} is outside the range of [1, 100]", limit));
    }
    http::ClientRequest request;
    request.url = endpoint.url;
    request.url.path = "/v1/search";
    request.url.query = fmt::format("q={}&n={}", http::query_escape(remote), limit);
    request.headers = caller.meta;
    request.timeout = caller.timeout;
    request.headers.set("X-Docker-Token", "true");
    const http::Url asked = request.url;
    const Credentials& own = caller.credentials;
    std::optional<Authorizer> tokens;
    if (!own.identity_token.empty() && !own.username.empty()) {
        // Source: moby registry/search.go, searchUnfiltered.
        tokens.emplace(*this, endpoint, caller,
                       Authorizer::Settings{.scope = "registry:catalog:search",
                                            .offline_token = true});
    }
    auto answer = client(endpoint, caller).fetch(request, [&](http::ClientRequest& next) {
        if (tokens) {
            tokens->authorize(next);
        } else if (!own.username.empty() && next.url.same_origin(asked)) {
            next.headers.set("Authorization",
                             "Basic " + base::base64_encode(own.username + ":" + own.password));
        }
    });
    if (answer.status() != 200) {
        base::fail(ErrorKind::internal, fmt::format("Unexpected status code {}", answer.status()));
    }
    const Json json = Json::parse(answer.read_all(max_answer), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
        base::fail(ErrorKind::internal, "error decoding registry search results");
    }
    std::vector<FoundRepository> out;
    const auto results = json.find("results");
    if (results == json.end() || !results->is_array()) return out;
    for (const Json& item : *results) out.push_back(read_item(item));
    return out;
}

// Source: moby builder/remotecontext/remote.go, GetWithStatusError.
http::ClientResponse Service::get_url(const std::string& url, const Caller& caller) const {
    http::ClientRequest request;
    request.url = http::Url::parse(url.find("://") == std::string::npos ? "http://" + url : url);
    const std::string shown = request.url.text();
    auto answer = client({}, caller).fetch(request);
    const int status = answer.status();
    if (status < 400) return answer;
    const std::string body = answer.read_all(1U << 20U);
    ErrorKind kind = ErrorKind::internal;
    if (status == 404) kind = ErrorKind::not_found;
    if (status == 400) kind = ErrorKind::invalid_argument;
    if (status == 401) kind = ErrorKind::unauthenticated;
    if (status == 403) kind = ErrorKind::permission_denied;
    base::fail(kind, fmt::format("failed to GET {} with status {}: {}", shown,
                                 answer.status_line(), base::trim(body)));
}

}  // namespace dockerd::registry

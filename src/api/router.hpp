#pragma once

#include <cstddef>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/api/api.hpp>
#include <dockerd/http/server.hpp>

#include "authorization.hpp"

namespace dockerd::api {

using http::ApiVersion;
using http::Method;
using http::Request;
using http::Response;

/// One line of the route table.
///
/// `{name}` in a pattern is one path segment, `{name:.*}` any number of them up to the rest of
/// the pattern (the longest match wins). The path is matched decoded.
struct Route {
    Method method;
    std::string pattern;
    /// The version that introduced it. As in Docker, requests of older versions are served too.
    ApiVersion since;
    http::Endpoint endpoint;
};

/// Makes endpoints out of member functions: the right column of the route table.
/// `object` must outlive the router.
template <typename T>
http::Endpoint inline_call(T& object, Response (T::*function)(const Request&)) {
    return {
        http::InlineCall{[&object, function](const Request& r) { return (object.*function)(r); }},
        {}};
}
template <typename T>
http::Endpoint call(T& object, Response (T::*function)(const Request&)) {
    return {http::Call{[&object, function](const Request& r) { return (object.*function)(r); }},
            {}};
}
template <typename T>
http::Endpoint transfer(T& object,
                        void (T::*function)(Request&, http::BodyReader&, http::ResponseWriter&)) {
    return {http::Transfer{
                [&object, function](Request& r, http::BodyReader& in, http::ResponseWriter& out) {
                    (object.*function)(r, in, out);
                }},
            {}};
}
template <typename T>
http::Endpoint session(T& object, http::Task<void> (T::*function)(Request, http::Stream&),
                       bool bare_errors = false) {
    return {http::Session{[&object, function](Request r, http::Stream& s) {
                              return (object.*function)(std::move(r), s);
                          },
                          bare_errors},
            {}};
}

/// Finds the endpoint of a request, with and without a /v1.NN prefix.
///
/// Source: moby api/server/server.go, CreateMux, and middleware/version.go.
class Router : public http::Application {
public:
    explicit Router(const ApiOptions& options);

    /// Adds a route. Earlier routes win. Pre: before the first request.
    void add(Method method, std::string_view pattern, ApiVersion since, http::Endpoint endpoint);

    const http::Endpoint& route(Request& request) noexcept override;
    Response error(const Request& request, std::exception_ptr failure) noexcept override;

    /// The table, for tests and documentation.
    [[nodiscard]] const std::deque<Route>& routes() const { return routes_; }

private:
    const http::Endpoint& resolve(Request& request) const;
    /// Whether the endpoint belongs to the API: the others say that nothing is there.
    [[nodiscard]] bool is_of_api(const http::Endpoint& endpoint) const;
    const http::Endpoint* find(Method method, std::string_view path, Request& request) const;

    ApiOptions options_;
    std::string version_headers_;  ///< Api-Version, Ostype, Server
    std::string api_headers_;      ///< the same and Docker-Experimental
    std::deque<Route> routes_;
    http::Endpoint not_found_;
    http::Endpoint options_answer_;
    http::Endpoint version_refused_;
    http::Endpoint redirect_;
    http::Endpoint bad_path_;
    http::Endpoint web_page_refused_;
    std::string host_name_;
    std::unique_ptr<Gate> gate_;
    std::atomic<std::uint64_t> next_id_{1};
};

}  // namespace dockerd::api

#include "router.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "error_response.hpp"
#include "origin.hpp"
#include "version.hpp"

namespace dockerd::api {
namespace {

std::string version_text(ApiVersion version) {
    return fmt::format("{}.{}", version.major, version.minor);
}

/// The next parameter of a pattern.
struct Parameter {
    std::string_view name;
    bool greedy = false;  ///< `{name:.*}`
    std::size_t size = 0;
};

Parameter read_parameter(std::string_view pattern) {
    const auto end = pattern.find('}');
    const std::string_view inside = pattern.substr(1, end - 1);
    const auto colon = inside.find(':');
    return {inside.substr(0, colon), colon != std::string_view::npos, end + 1};
}

/// Matches all of `path`; fills `params` on success. A greedy parameter takes as much as it can,
/// another one at least one character up to the next slash.
/// Source: gorilla/mux, whose patterns these are.
bool match(std::string_view pattern, std::string_view path,
           std::map<std::string, std::string>& params) {
    const auto brace = pattern.find('{');
    if (brace == std::string_view::npos) return pattern == path;
    if (path.substr(0, brace) != pattern.substr(0, brace) || path.size() < brace) return false;
    pattern.remove_prefix(brace);
    path.remove_prefix(brace);

    const Parameter parameter = read_parameter(pattern);
    pattern.remove_prefix(parameter.size);
    const std::size_t slash = path.find('/');
    const std::size_t most =
        parameter.greedy || slash == std::string_view::npos ? path.size() : slash;
    const std::size_t least = parameter.greedy ? 0 : 1;
    for (std::size_t length = most + 1; length-- > least;) {
        if (!match(pattern, path.substr(length), params)) continue;
        params[std::string(parameter.name)] = path.substr(0, length);
        return true;
    }
    return false;
}

/// The path without "." and "..", and without doubled slashes; a slash at the end stays.
/// Source: gorilla/mux, cleanPath.
std::string clean_path(std::string_view path) {
    std::vector<std::string_view> parts;
    for (std::string_view rest = path; !rest.empty();) {
        const auto slash = rest.find('/');
        const std::string_view part = rest.substr(0, slash);
        rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
        if (part == "..") {
            if (!parts.empty()) parts.pop_back();
        } else if (!part.empty() && part != ".") {
            parts.push_back(part);
        }
    }
    std::string out;
    for (const std::string_view part : parts) {
        out += '/';
        out += part;
    }
    if (out.empty() || path.ends_with('/')) out += '/';
    return out;
}

bool needs_cleaning(std::string_view path) {
    return path.empty() || path.front() != '/' || path.find("//") != std::string_view::npos ||
           path.find("/.") != std::string_view::npos;
}

/// A path as it stands in a Location header. Source: Go net/url, EscapedPath.
std::string escape_path(std::string_view path) {
    constexpr std::string_view plain = "-_.~$&+,/:;=@!*'()";
    std::string out;
    for (const char c : path) {
        const bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || plain.find(c) != std::string_view::npos;
        if (keep) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
    }
    return out;
}

/// Splits "/v1.47/info" into the version and "/info". False without a version prefix.
bool split_version(std::string_view path, std::string_view& version, std::string_view& rest) {
    if (!path.starts_with("/v")) return false;
    const std::size_t end = path.find('/', 2);
    if (end == std::string_view::npos) return false;
    version = path.substr(2, end - 2);
    rest = path.substr(end);
    return !version.empty() && version.find_first_not_of("0123456789.") == std::string_view::npos;
}

/// Takes the path out of the target: "/p?q", "http://host/p?q" or "*".
std::string_view path_of(std::string_view target, std::string& query) {
    if (const auto mark = target.find('?'); mark != std::string_view::npos) {
        query = target.substr(mark + 1);
        target = target.substr(0, mark);
    }
    if (target.starts_with("http://") || target.starts_with("https://")) {
        const auto slash = target.find('/', target.find("//") + 2);
        target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    return target;
}

Response redirect(const Request& request) {
    std::string location = escape_path(clean_path(request.path));
    if (!request.query.empty()) location += "?" + request.query;
    Response response = Response::empty(301);
    response.headers.add("Location", std::move(location));
    return response;
}

/// Source: moby api/server/middleware/version.go, versionUnsupportedError; server.go,
/// makeHTTPHandler: plain text for versions that never knew JSON errors.
Response refuse_version(const Request& request, const std::string& oldest,
                        const std::string& newest) {
    const std::string& asked = request.version_text;
    const std::string text =
        compare_versions(asked, oldest) < 0
            ? fmt::format(
                  "client version {} is too old. Minimum supported API version is {}, "
                  "please upgrade your client to a newer version",
                  asked, oldest)
            : fmt::format("client version {} is too new. Maximum supported API version is {}",
                          asked, newest);
    if (compare_versions(asked, "1.24") >= 0) return error_json(400, text);
    Response response = Response::text(400, text + "\n");
    response.headers.add("X-Content-Type-Options", "nosniff");
    return response;
}

/// Source: moby api/server/middleware/debug.go; the id is this engine's own.
void log_request(const Request& request, std::string_view what,
                 std::initializer_list<base::log::Field> more) {
    const std::string id = std::to_string(request.id);
    std::vector<base::log::Field> fields{{"method", request.method_text},
                                         {"module", "api"},
                                         {"request-id", id},
                                         {"request-url", request.target}};
    fields.insert(fields.end(), more.begin(), more.end());
    base::log::write(base::log::Level::debug,
                     fmt::format("{} {} request", what, request.method_text), fields);
}

std::string own_host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

http::Endpoint answer(std::function<Response(const Request&)> run, std::string headers) {
    return {http::InlineCall{std::move(run)}, std::move(headers)};
}

}  // namespace

// Source: moby api/server/middleware/version.go and experimental.go.
Router::Router(const ApiOptions& options) : options_(options) {
    const std::string newest = version_text(newest_version);
    const std::string oldest = version_text(options.min_version);
    const std::string first = fmt::format("Api-Version: {}\r\n", newest);
    const std::string last =
        fmt::format("Ostype: linux\r\nServer: Docker/{} (linux)\r\n", options.server_version);
    version_headers_ = first + last;
    api_headers_ = first + fmt::format("Docker-Experimental: {}\r\n", options.experimental) + last;

    not_found_ = answer([](const Request&) { return error_json(404, "page not found"); }, {});
    options_answer_ = answer([](const Request&) { return Response::empty(200); }, api_headers_);
    version_refused_ =
        answer([oldest, newest](const Request& r) { return refuse_version(r, oldest, newest); },
               version_headers_);
    redirect_ = answer(&redirect, {});
    web_page_refused_ = answer(
        [](const Request&) {
            return error_json(403, "requests of web pages are not answered over the network");
        },
        {});
    host_name_ = own_host_name();
    if (options.authorization != nullptr) {
        gate_ = std::make_unique<Gate>(*options.authorization, *this);
    }
    // Source: Go net/http server.go, badRequestError.
    bad_path_ = answer(
        [](const Request&) {
            Response response = Response::text(400, "400 Bad Request");
            response.headers.add("Connection", "close");
            return response;
        },
        {});
}

void Router::add(Method method, std::string_view pattern, ApiVersion since,
                 http::Endpoint endpoint) {
    endpoint.headers = api_headers_;
    routes_.push_back({method, std::string(pattern), since, std::move(endpoint)});
}

const http::Endpoint* Router::find(Method method, std::string_view path, Request& request) const {
    for (const Route& route : routes_) {
        if (route.method != method) continue;
        request.path_params.clear();
        if (match(route.pattern, path, request.path_params)) return &route.endpoint;
    }
    request.path_params.clear();
    return nullptr;
}

const http::Endpoint& Router::resolve(Request& request) const {
    if (request.from_network && comes_from_a_web_page(request, host_name_)) {
        return web_page_refused_;
    }
    const std::string_view raw = path_of(request.target, request.query);
    try {
        request.path = http::percent_decode(raw, /*plus_is_space=*/false);
    } catch (const base::Error&) {
        return bad_path_;
    }
    request.version = newest_version;
    if (request.method == Method::options && request.path == "*") return options_answer_;
    if (needs_cleaning(request.path) && clean_path(request.path) != request.path) {
        return redirect_;
    }

    std::string_view version;
    std::string_view rest;
    const bool versioned = split_version(request.path, version, rest);
    const http::Endpoint* found = request.method == Method::options ? &options_answer_
                                  : versioned ? find(request.method, rest, request)
                                              : find(request.method, request.path, request);
    if (!found) return not_found_;
    if (!versioned) return *found;

    request.version_text = version;
    request.path = std::string(rest);
    if (compare_versions(request.version_text, version_text(options_.min_version)) < 0 ||
        compare_versions(request.version_text, version_text(newest_version)) > 0) {
        return version_refused_;
    }
    request.version = parse_version(request.version_text);
    return *found;
}

const http::Endpoint& Router::route(Request& request) noexcept {
    const http::Endpoint& endpoint = resolve(request);
    if (base::log::enabled(base::log::Level::debug)) {
        request.id = next_id_.fetch_add(1, std::memory_order_relaxed);
        log_request(request, "handling", {});
    }
    if (gate_ && is_of_api(endpoint) && gate_->active()) return gate_->guard(endpoint);
    return endpoint;
}

bool Router::is_of_api(const http::Endpoint& endpoint) const {
    const std::array others{&not_found_, &redirect_, &bad_path_, &web_page_refused_};
    return std::ranges::find(others, &endpoint) == others.end();
}

Response Router::error(const Request& request, std::exception_ptr failure) noexcept {
    bool plain = false;
    try {
        if (failure) std::rethrow_exception(failure);
    } catch (const engine::NotAuthorized&) {
        plain = true;  // said before the API had a word
    } catch (...) {
    }
    Response response = error_response(request, std::move(failure));
    response.plain = plain;
    if (request.id != 0) {
        const std::string status = std::to_string(response.status);
        log_request(request, "error response for",
                    {{"error-response", response.error_text}, {"status", status}});
    }
    return response;
}

}  // namespace dockerd::api

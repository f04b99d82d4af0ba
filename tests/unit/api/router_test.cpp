#include "api/router.hpp"

#include <gtest/gtest.h>

#include "api/error_response.hpp"
#include "api/version.hpp"

namespace dockerd::api {
namespace {

const std::string api_headers =
    "Api-Version: 1.50\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
    "Server: Docker/28.2.2 (linux)\r\n";
const std::string version_headers =
    "Api-Version: 1.50\r\nOstype: linux\r\nServer: Docker/28.2.2 (linux)\r\n";

/// Answers with the route's name and its parameters.
class RouterTest : public ::testing::Test {
protected:
    RouterTest() {
        add(Method::get, "/_ping", "ping");
        add(Method::get, "/containers/json", "list");
        add(Method::get, "/containers/{name:.*}/json", "inspect");
        add(Method::post, "/containers/{name:.*}/start", "start");
        add(Method::del, "/containers/{name:.*}", "remove");
        add(Method::get, "/images/{name:.*}/json", "image");
        add(Method::get, "/images/{name:.*}/get", "save");
        add(Method::del, "/containers/{name}/checkpoints/{checkpoint}", "checkpoint");
        add(Method::get, "/networks/{id:.*}", "network");
    }

    void add(Method method, std::string_view pattern, std::string name) {
        auto run = [name](const Request& request) {
            std::string text = name;
            for (const auto& [key, value] : request.path_params) text += " " + key + "=" + value;
            return Response::text(200, text);
        };
        router.add(method, pattern, {1, 24}, {http::InlineCall{run}, {}});
    }

    Response ask(Method method, std::string target) {
        request = {};
        request.method = method;
        request.method_text = method_name(method);
        request.target = std::move(target);
        const http::Endpoint& endpoint = router.route(request);
        headers = endpoint.headers;
        return std::get<http::InlineCall>(endpoint.kind).run(request);
    }
    std::string get(std::string target) { return ask(Method::get, std::move(target)).body; }

    Router router{ApiOptions{}};
    Request request;
    std::string headers;
};

TEST_F(RouterTest, MatchesWithAndWithoutVersion) {
    EXPECT_EQ(get("/containers/json"), "list");
    EXPECT_EQ(request.version, (ApiVersion{1, 50}));
    EXPECT_EQ(headers, api_headers);
    EXPECT_EQ(get("/v1.47/containers/json?all=1&x"), "list");
    EXPECT_EQ(request.version, (ApiVersion{1, 47}));
    EXPECT_EQ(request.path, "/containers/json");
    EXPECT_EQ(request.query, "all=1&x");
    EXPECT_EQ(get("http://docker/v1.24/containers/json"), "list");
    EXPECT_EQ(get("/v1.50/_ping"), "ping");
}

TEST_F(RouterTest, TakesGreedyNamesUpToTheSuffix) {
    EXPECT_EQ(get("/v1.40/images/library/x:tag@sha256:abc/json"),
              "image name=library/x:tag@sha256:abc");
    EXPECT_EQ(get("/images/a/json/json"), "image name=a/json");
    EXPECT_EQ(get("/images/localhost:5000/a/b/get"), "save name=localhost:5000/a/b");
    EXPECT_EQ(get("/networks/"), "network id=");
    EXPECT_EQ(ask(Method::del, "/containers/a/b").body, "remove name=a/b");
}

TEST_F(RouterTest, DecodesThePathBeforeMatching) {
    EXPECT_EQ(get("/images/library%2Fbusybox%3Alatest/json"), "image name=library/busybox:latest");
    EXPECT_EQ(get("/containers/a%20b+c/json"), "inspect name=a b+c");
}

TEST_F(RouterTest, PrefersTheEarlierRoute) {
    EXPECT_EQ(ask(Method::del, "/containers/x/checkpoints/y").body, "remove name=x/checkpoints/y");
}

TEST_F(RouterTest, AnswersNotFoundForUnknownPathsAndMethods) {
    const std::string expected = "{\"message\":\"page not found\"}\n";
    for (const char* target : {"/nope", "/v1.47/nope", "/v1.47", "/v/info", "/vx/containers/json",
                               "/containers/json/", "/v1.99/nope"}) {
        const Response response = ask(Method::get, target);
        EXPECT_EQ(response.status, 404) << target;
        EXPECT_EQ(response.body, expected) << target;
        EXPECT_EQ(response.headers.get("Content-Type"), "application/json");
        EXPECT_EQ(headers, "") << target;
    }
    EXPECT_EQ(ask(Method::post, "/containers/json").status, 404);
    EXPECT_EQ(ask(Method::head, "/containers/json").status, 404);
    EXPECT_EQ(ask(Method::other, "/containers/json").status, 404);
}

TEST_F(RouterTest, RefusesOldVersionsInPlainText) {
    const Response response = ask(Method::get, "/v1.10/containers/json");
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(response.body,
              "client version 1.10 is too old. Minimum supported API version is 1.24, please "
              "upgrade your client to a newer version\n");
    EXPECT_EQ(response.headers.get("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(response.headers.get("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(headers, version_headers);
}

TEST_F(RouterTest, RefusesNewVersionsAsJson) {
    for (const char* version : {"1.51", "2.0", "1.50.1", "99999999999999999999"}) {
        const Response response = ask(Method::get, "/v" + std::string(version) + "/_ping");
        EXPECT_EQ(response.status, 400);
        EXPECT_EQ(response.body, "{\"message\":\"client version " + std::string(version) +
                                     " is too new. Maximum supported API version is 1.50\"}\n");
        EXPECT_EQ(headers, version_headers);
    }
}

TEST_F(RouterTest, RefusesVersionsBelowAConfiguredMinimumAsJson) {
    Router strict{ApiOptions{.min_version = {1, 44}}};
    strict.add(Method::get, "/_ping", {1, 24},
               {http::InlineCall{[](const Request&) { return Response::text(200, "OK"); }}, {}});
    request.target = "/v1.43/_ping";
    const auto& endpoint = strict.route(request);
    const Response response = std::get<http::InlineCall>(endpoint.kind).run(request);
    EXPECT_EQ(response.body,
              "{\"message\":\"client version 1.43 is too old. Minimum supported API version is "
              "1.44, please upgrade your client to a newer version\"}\n");
}

TEST_F(RouterTest, AnswersOptionsOnAnything) {
    for (const char* target : {"/anything", "/v1.47/a/b", "*"}) {
        const Response response = ask(Method::options, target);
        EXPECT_EQ(response.status, 200) << target;
        EXPECT_EQ(response.body, "");
        EXPECT_EQ(headers, api_headers);
    }
}

TEST_F(RouterTest, RedirectsUncleanPaths) {
    const std::pair<const char*, const char*> cases[] = {
        {"//containers//json", "/containers/json"},
        {"/containers/../info?x=1", "/info?x=1"},
        {"/images/..%2f..%2fetc/json", "/etc/json"},
        {"/containers//json", "/containers/json"},
        {"/a%20b/./c/", "/a%20b/c/"},
    };
    for (const auto& [target, location] : cases) {
        const Response response = ask(Method::get, target);
        EXPECT_EQ(response.status, 301) << target;
        EXPECT_EQ(response.headers.get("Location"), location);
    }
}

TEST_F(RouterTest, RefusesBrokenEscapes) {
    const Response response = ask(Method::get, "/containers/%zz/json");
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(response.body, "400 Bad Request");
}

TEST(Versions, CompareNumberByNumber) {
    EXPECT_EQ(compare_versions("1.9", "1.10"), -1);
    EXPECT_EQ(compare_versions("1.24", "1.24.0"), 0);
    EXPECT_EQ(compare_versions("1.24.1", "1.24"), 1);
    EXPECT_EQ(compare_versions("..", "0"), 0);
    EXPECT_EQ(parse_version("1.47"), (ApiVersion{1, 47}));
}

TEST(ErrorResponse, MapsKindsToStatus) {
    using base::ErrorKind;
    const std::pair<ErrorKind, int> table[] = {
        {ErrorKind::invalid_argument, 400},  {ErrorKind::unauthenticated, 401},
        {ErrorKind::permission_denied, 403}, {ErrorKind::not_found, 404},
        {ErrorKind::conflict, 409},          {ErrorKind::internal, 500},
        {ErrorKind::not_implemented, 501},   {ErrorKind::unavailable, 503}};
    for (const auto& [kind, status] : table) EXPECT_EQ(status_of(kind), status);
}

TEST(ErrorResponse, EscapesAsGoDoes) {
    EXPECT_EQ(error_json(500, "a \"b\" <c> & \\ \n\t\x01\xff \u2028 \u00e4").body,
              "{\"message\":\"a \\\"b\\\" <c> & \\\\ \\n\\t\\u0001\\ufffd \\u2028 \u00e4\"}\n");
}

TEST(ErrorResponse, ShowsWhatWasThrown) {
    const Response response = error_response(
        {},
        std::make_exception_ptr(base::Error(base::ErrorKind::not_found, "No such container: x")));
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(response.body, "{\"message\":\"No such container: x\"}\n");
    EXPECT_EQ(response.error_text, "No such container: x");
}

}  // namespace
}  // namespace dockerd::api

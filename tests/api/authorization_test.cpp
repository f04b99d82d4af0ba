#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::ErrorKind;
using engine::AuthorizationCase;
using engine::NotAuthorized;

/// Allows all but what a test wants refused, and remembers what it heard.
class FakePlugins final : public engine::AuthorizationService {
public:
    bool active() const override { return on; }
    void check_request(const AuthorizationCase& asked) override { hear(requests, asked, refuse_request); }
    void check_response(const AuthorizationCase& asked) override { hear(responses, asked, refuse_response); }

    bool on = true;
    bool refuse_request = false;
    bool refuse_response = false;
    std::vector<AuthorizationCase> requests, responses;

private:
    void hear(std::vector<AuthorizationCase>& heard, const AuthorizationCase& asked, bool refuse) {
        const std::lock_guard lock(mutex_);
        heard.push_back(asked);
        if (refuse) throw NotAuthorized(ErrorKind::permission_denied, "authorization denied by plugin x: no");
    }
    std::mutex mutex_;
};

class Authorization : public testing::Test {
protected:
    static api::ApiOptions options(FakePlugins& plugins) {
        api::ApiOptions out;
        out.authorization = &plugins;
        return out;
    }
    FakePlugins plugins;
    ServedApi api{options(plugins)};
    FakeContainers& containers = api.fakes.containers;
};

TEST_F(Authorization, AsksAboutAnswersOfCalls) {
    containers.on_start = [](std::string_view) { return engine::StartOutcome::started; };
    EXPECT_EQ(api.ask("POST /v1.50/containers/web/start", "{}", "x-one: 1\r\nX-ONE: 2\r\nAuthorization: y\r\n").status, 204);
    ASSERT_EQ(plugins.requests.size(), 1U);
    const AuthorizationCase& asked = plugins.requests[0];
    EXPECT_EQ(asked.method, "POST");
    EXPECT_EQ(asked.uri, "/v1.50/containers/web/start");
    EXPECT_EQ(asked.request_body, "{}");
    // As in Go's Header without Host; of several the last.
    const std::map<std::string, std::string> headers{
        {"Content-Length", "2"}, {"Content-Type", "application/json"}, {"X-One", "2"}};
    EXPECT_EQ(asked.request_headers, headers);
    ASSERT_EQ(plugins.responses.size(), 1U);
    EXPECT_EQ(plugins.responses[0].status, 204);
    EXPECT_EQ(plugins.responses[0].response_headers.at("Api-Version"), "1.50");
}

TEST_F(Authorization, RefusedRequestsReachNoHandler) {
    plugins.refuse_request = true;
    containers.on_start = [](std::string_view) -> engine::StartOutcome {
        ADD_FAILURE() << "started";
        return engine::StartOutcome::started;
    };
    for (const char* line : {"POST /containers/web/start", "GET /containers/web/export", "GET /_ping",
                             "POST /containers/web/attach?stream=1", "GET /v1.10/info"}) {
        const Answer answer = api.ask(line);
        EXPECT_EQ(answer.status, 403) << line;
        EXPECT_EQ(answer.body, message("authorization denied by plugin x: no")) << line;
        EXPECT_FALSE(answer.headers.contains("api-version")) << line;
    }
    EXPECT_TRUE(plugins.responses.empty());
    EXPECT_EQ(api.ask("GET /nowhere").status, 404);
    EXPECT_EQ(plugins.requests.size(), 5U);
}

TEST_F(Authorization, BodiesTooLongToBeShownReachNoHandler) {
    std::vector<std::size_t> read;
    containers.on_extract_to_path = [&](std::string_view, const std::string&, const engine::ExtractPathOptions&,
                                        const engine::ByteReader& source) {
        std::vector<char> buffer(1U << 16U);
        read.push_back(0);
        while (const std::size_t count = source(buffer)) read.back() += count;
    };
    const char* const put = "PUT /containers/web/archive?path=/";
    const std::string longest = "{}" + std::string((1U << 20U) - 2, ' ');
    for (const char* line : {"POST /containers/web/start", put}) {
        (void)api.ask(line, longest);
        EXPECT_EQ(plugins.requests.back().request_body, longest) << line;
    }
    EXPECT_EQ(plugins.requests.size(), 2U);
    for (const char* line : {"POST /containers/web/start", put, "POST /containers/web/attach?stream=1"}) {
        const Answer answer = api.ask(line, longest + " ");
        EXPECT_EQ(answer.status, 500) << line;
        EXPECT_EQ(answer.body, message("request body too large for authorization plugin: size exceeds 1048576 bytes"));
        EXPECT_FALSE(answer.headers.contains("api-version")) << line;
    }
    EXPECT_EQ(plugins.requests.size(), 2U);
    EXPECT_EQ(read, std::vector{longest.size()});
}

TEST_F(Authorization, SecretsOfALoginAreNotShownHoweverItsPathIsWritten) {
    api.fakes.registries.on_login = [](const engine::RegistryCaller&) {
        return engine::LoginResult{.status = "Login Succeeded", .identity_token = "secret"};
    };
    for (const char* line : {"POST /auth", "POST /v1.41/auth", "POST /%61uth", "POST /v1.4%31/au%74h?x=1",
                             "POST /v1%2E41%2Fauth"}) {
        plugins.requests.clear();
        plugins.responses.clear();
        EXPECT_EQ(api.ask(line, R"({"password":"secret"})").status, 200) << line;
        ASSERT_EQ(plugins.requests.size(), 1U) << line;
        EXPECT_EQ(plugins.requests[0].request_body, "") << line;
        ASSERT_EQ(plugins.responses.size(), 1U) << line;
        EXPECT_EQ(plugins.responses[0].response_body, "") << line;
    }
}

TEST_F(Authorization, RefusedAnswersAreNotSent) {
    plugins.refuse_response = true;
    containers.on_start = [](std::string_view) { return engine::StartOutcome::started; };
    containers.on_export_files = [](std::string_view, const engine::ByteWriter& write) { write("tar"); };
    for (const char* line : {"POST /containers/web/start", "GET /containers/web/export", "GET /version"}) {
        EXPECT_EQ(api.ask(line).status, 403) << line;
    }
    // What a handler says itself stays said.
    containers.on_start = [](std::string_view) -> engine::StartOutcome {
        throw base::Error(ErrorKind::not_found, "No such container: web");
    };
    EXPECT_EQ(api.ask("POST /containers/web/start").status, 404);
    EXPECT_EQ(plugins.responses.back().status, 0);
}

TEST_F(Authorization, LongAnswersGoBeforeTheirEnd) {
    const std::string piece(40'000, 'x');
    containers.on_export_files = [piece](std::string_view, const engine::ByteWriter& write) {
        for (int i = 0; i < 4; ++i) write(piece);
    };
    const Answer answer = api.ask("GET /containers/web/export");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body.size(), 4 * piece.size());
    ASSERT_EQ(plugins.responses.size(), 1U);
    EXPECT_EQ(plugins.responses[0].status, 0);  // gone by then
    plugins.refuse_response = true;
    Connection connection = api.connect();
    connection.send(ServedApi::request("GET /containers/web/export"));
    (void)connection.read_head();
    EXPECT_FALSE(connection.read_all().ends_with("0\r\n\r\n"));  // broken off
}

TEST_F(Authorization, NobodyIsAskedWithoutPlugins) {
    plugins.on = false;
    plugins.refuse_request = true;
    EXPECT_EQ(api.ask("GET /_ping").status, 200);
    EXPECT_TRUE(plugins.requests.empty());
}

}  // namespace
}  // namespace dockerd::test

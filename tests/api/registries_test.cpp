#include <gtest/gtest.h>

#include <dockerd/base/strings.hpp>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;

class RegistryRoutes : public testing::Test {
protected:
    ServedApi api;
    FakeRegistries& registries = api.fakes.registries;
};

TEST_F(RegistryRoutes, PullTakesItsParametersAndTellsItsProgress) {
    engine::PullOptions seen;
    engine::RegistryCaller caller;
    registries.on_pull = [&](const engine::PullOptions& options, const engine::RegistryCaller& who,
                             const engine::ProgressSink& progress) {
        seen = options;
        caller = who;
        progress({.status = "Pulling from x", .id = "v1"});
        progress({.status = "Pulling fs layer", .id = "0123", .action = true});
        progress({.status = "Downloading", .id = "0123", .current = 50, .total = 100, .action = true});
    };
    const std::string auth = base::base64_encode(
        R"({"username":"u","password":"p","identitytoken":"i","registrytoken":"r"})", true);
    const Answer answer =
        api.ask("POST /v1.50/images/create?fromImage=x&tag=v1&platform=linux/arm64", "",
                "X-Registry-Auth: " + auth + "\r\nUser-Agent: me\r\nX-Meta-A: b\r\n");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body,
              "{\"status\":\"Pulling from x\",\"id\":\"v1\"}\r\n"
              "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"0123\"}\r\n"
              "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":50,\"total\":100},"
              "\"progress\":\"[=========================\\u003e                         ]      "
              "50B/100B\",\"id\":\"0123\"}\r\n");
    EXPECT_EQ(seen.image, "x");
    EXPECT_EQ(seen.tag, "v1");
    EXPECT_EQ(seen.platform, "linux/arm64");
    EXPECT_EQ(caller.credentials.username, "u");
    EXPECT_EQ(caller.credentials.password, "p");
    EXPECT_EQ(caller.credentials.identity_token, "i");
    EXPECT_EQ(caller.credentials.registry_token, "r");
    EXPECT_EQ(caller.user_agent, "me");
    ASSERT_EQ(caller.meta.size(), 1U);
    EXPECT_EQ(caller.meta[0].second, "b");
    EXPECT_GE(caller.connection, 0);
}

TEST_F(RegistryRoutes, PullFailsByStatusBeforeProgressAndInTheStreamAfterIt) {
    registries.on_pull = [&](const auto&, const auto&, const engine::ProgressSink&) {
        throw Error(ErrorKind::not_found, "no such thing");
    };
    EXPECT_EQ(api.ask("POST /images/create?fromImage=x").status, 404);
    registries.on_pull = [&](const auto&, const auto&, const engine::ProgressSink& progress) {
        progress({.status = "one"});
        throw Error(ErrorKind::not_found, "no such thing");
    };
    const Answer answer = api.ask("POST /images/create?fromImage=x");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body,
              "{\"status\":\"one\"}\r\n"
              "{\"errorDetail\":{\"message\":\"no such thing\"},\"error\":\"no such thing\"}\r\n");
}

TEST_F(RegistryRoutes, CredentialsOfAnySpellingAreRead) {
    engine::RegistryCaller caller;
    registries.on_pull = [&](const auto&, const engine::RegistryCaller& who, const auto&) {
        caller = who;
    };
    const std::string json = R"({"username":"u","password":">>>???"})";
    std::string bare = base::base64_encode(json, true);
    while (bare.ends_with('=')) bare.pop_back();
    for (const std::string& text : {base::base64_encode(json, true), base::base64_encode(json), bare}) {
        caller = {};
        (void)api.ask("POST /images/create?fromImage=x", "", "X-Registry-Auth: " + text + "\r\n");
        EXPECT_EQ(caller.credentials.password, ">>>???") << text;
    }
    // As clients keep it in their files.
    const std::string combined = base::base64_encode(R"({"auth":"dTpw"})", true);
    (void)api.ask("POST /images/create?fromImage=x", "", "X-Registry-Auth: " + combined + "\r\n");
    EXPECT_EQ(caller.credentials.username, "u");
    EXPECT_EQ(caller.credentials.password, "p");
    // What cannot be read is as if it were not there.
    for (const std::string& text : {std::string("{"), base::base64_encode("[]"), std::string("=")}) {
        const Answer answer =
            api.ask("POST /images/create?fromImage=x", "", "X-Registry-Auth: " + text + "\r\n");
        EXPECT_EQ(answer.status, 200) << text;
        EXPECT_EQ(caller.credentials.username, "") << text;
    }
}

TEST_F(RegistryRoutes, PushTellsTheDigestAsAux) {
    engine::PushOptions seen;
    engine::RegistryCaller caller;
    registries.on_push = [&](const engine::PushOptions& options, const engine::RegistryCaller& who,
                             const engine::ProgressSink& progress) {
        seen = options;
        caller = who;
        progress({.action = true, .aux_json = R"({"Tag":"v1"})"});
    };
    // Old clients send credentials as the body.
    const Answer answer = api.ask("POST /images/r:5000/x/push?tag=v1", R"({"username":"old"})");
    EXPECT_EQ(answer.body, "{\"progressDetail\":{},\"aux\":{\"Tag\":\"v1\"}}\r\n");
    EXPECT_EQ(seen.image, "r:5000/x");
    EXPECT_EQ(seen.tag, "v1");
    EXPECT_EQ(caller.credentials.username, "old");
    EXPECT_EQ(api.ask("POST /images/x/push").body,
              message("bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth header: "
                      "EOF"));
    EXPECT_EQ(api.ask("POST /images/x/push").status, 400);
}

TEST_F(RegistryRoutes, LoginAnswersStatusAndToken) {
    registries.on_login = [&](const engine::RegistryCaller& caller) {
        EXPECT_EQ(caller.credentials.server_address, "r:5000");
        return engine::LoginResult{.status = "Login Succeeded", .identity_token = "t"};
    };
    EXPECT_EQ(api.ask("POST /auth", R"({"username":"u","serveraddress":"r:5000"})").body,
              "{\"IdentityToken\":\"t\",\"Status\":\"Login Succeeded\"}\n");
    EXPECT_EQ(api.ask("POST /auth").body, message("EOF"));
    EXPECT_EQ(api.ask("POST /auth").status, 500);
}

TEST_F(RegistryRoutes, DistributionAndSearchAnswerDocuments) {
    registries.on_distribution = [&](std::string_view name, const auto&) {
        EXPECT_EQ(name, "r:5000/x:v1");
        return engine::DistributionInfo{.media_type = "m",
                                        .digest = "sha256:1",
                                        .size = 7,
                                        .platforms = {{.architecture = "arm",
                                                       .os = "linux",
                                                       .os_version = {},
                                                       .os_features = {},
                                                       .variant = "v7"}}};
    };
    EXPECT_EQ(api.ask("GET /distribution/r:5000/x:v1/json").body,
              R"({"Descriptor":{"mediaType":"m","digest":"sha256:1","size":7},)"
              R"("Platforms":[{"architecture":"arm","os":"linux","variant":"v7"}]})"
              "\n");
    registries.on_search = [&](const engine::SearchOptions& options, const auto&) {
        EXPECT_EQ(options.term, "x");
        EXPECT_EQ(options.limit, 3);
        return std::vector<engine::SearchItem>{
            {.stars = 5, .official = true, .name = "x", .automated = false, .description = "d"}};
    };
    EXPECT_EQ(api.ask("GET /images/search?term=x&limit=3").body,
              R"([{"star_count":5,"is_official":true,"name":"x","is_automated":false,)"
              R"("description":"d"}])"
              "\n");
    EXPECT_EQ(api.ask("GET /images/search?term=x&limit=z").body,
              message("invalid limit specified: strconv.Atoi: parsing \"z\": invalid syntax"));
}

}  // namespace
}  // namespace dockerd::test

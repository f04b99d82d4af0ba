#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/strings.hpp>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;
using testing::ElementsAre;

class BuildRoute : public testing::Test {
protected:
    BuildRoute() {
        api.fakes.builds.on_build = [&](const engine::BuildOptions& options,
                                        const engine::ByteReader& context,
                                        const engine::ProgressSink& progress) -> std::string {
            seen = options;
            std::array<char, 64> buffer{};
            while (const std::size_t n = context(buffer)) received.append(buffer.data(), n);
            progress({.stream = "Step 1/1 : FROM <x>"});
            progress({.aux_json = R"({"ID":"sha256:1"})"});
            if (failure) throw engine::BuildFailure("it ended with 7", 7);
            return "sha256:1";
        };
    }

    ServedApi api;
    engine::BuildOptions seen;
    std::string received;
    bool failure = false;
};

TEST_F(BuildRoute, TakesItsParameters) {
    const std::string config =
        base::base64_encode(R"({"r:5000":{"username":"u","password":"p"},"bad":1})", true);
    const Answer answer = api.ask(
        "POST /v1.50/build?t=a&t=b:c&dockerfile=d/f&target=s&platform=linux/arm64&nocache=1&pull=1"
        "&rm=0&memory=1024&memswap=x&cpushares=2&cpuperiod=3&cpuquota=4&cpusetcpus=0&cpusetmems=1"
        "&cgroupparent=/p&networkmode=host&extrahosts=a:1&extrahosts=b:2&shmsize=4096"
        "&buildargs=%7B%22a%22:%22b%22,%22n%22:null%7D&labels=%7B%22l%22:%22m%22%7D"
        "&cachefrom=%5B%22x%22%5D&ulimits=%5B%7B%22Name%22:%22nofile%22,%22Soft%22:1,%22Hard%22:2%7D%5D",
        "context", "X-Registry-Config: " + config + "\r\nUser-Agent: me\r\n");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "{\"stream\":\"Step 1/1 : FROM \\u003cx\\u003e\"}\r\n"
                           "{\"aux\":{\"ID\":\"sha256:1\"}}\r\n");
    EXPECT_EQ(received, "context");
    EXPECT_THAT(seen.tags, ElementsAre("a", "b:c"));
    EXPECT_EQ(seen.dockerfile, "d/f");
    EXPECT_EQ(seen.target, "s");
    EXPECT_EQ(seen.platform, "linux/arm64");
    EXPECT_TRUE(seen.no_cache);
    EXPECT_TRUE(seen.pull);
    EXPECT_FALSE(seen.remove);
    EXPECT_FALSE(seen.force_remove);
    const auto& limits = seen.host.resources;
    EXPECT_EQ(limits.memory, 1024);
    EXPECT_EQ(limits.memory_swap, 0);
    EXPECT_EQ(limits.cpu_shares, 2);
    EXPECT_EQ(limits.cpu_period, 3);
    EXPECT_EQ(limits.cpu_quota, 4);
    EXPECT_EQ(limits.cpuset_cpus, "0");
    EXPECT_EQ(limits.cpuset_mems, "1");
    EXPECT_EQ(limits.cgroup_parent, "/p");
    ASSERT_EQ(limits.ulimits.size(), 1U);
    EXPECT_EQ(limits.ulimits[0].hard, 2);
    EXPECT_EQ(seen.host.network_mode, "host");
    EXPECT_EQ(seen.host.shm_size, 4096);
    EXPECT_THAT(seen.host.extra_hosts, ElementsAre("a:1", "b:2"));
    EXPECT_EQ(seen.arguments.at("a"), "b");
    EXPECT_EQ(seen.arguments.at("n"), std::nullopt);
    EXPECT_EQ(seen.labels.at("l"), "m");
    EXPECT_THAT(seen.cache_from, ElementsAre("x"));
    ASSERT_EQ(seen.credentials.size(), 1U);
    EXPECT_EQ(seen.credentials.at("r:5000").username, "u");
    EXPECT_EQ(seen.caller.user_agent, "me");
    EXPECT_GE(seen.caller.connection, 0);
}

TEST_F(BuildRoute, OldVersionsHearNoIdsAndKnowNoPlatform) {
    const Answer answer = api.ask("POST /v1.29/build?platform=linux/arm64&forcerm=1&rm=0");
    EXPECT_EQ(answer.body, "{\"stream\":\"Step 1/1 : FROM \\u003cx\\u003e\"}\r\n");
    EXPECT_EQ(seen.platform, "");
    EXPECT_TRUE(seen.remove);
    EXPECT_TRUE(seen.force_remove);
}

TEST_F(BuildRoute, QuietOneTellsItsIdOrAllThatLedToItsFailure) {
    EXPECT_EQ(api.ask("POST /build?q=1").body, "{\"stream\":\"sha256:1\\n\"}\r\n");
    failure = true;
    EXPECT_EQ(api.ask("POST /build?q=1").body,
              "{\"stream\":\"Step 1/1 : FROM \\u003cx\\u003e\"}\r\n"
              "{\"aux\":{\"ID\":\"sha256:1\"}}\r\n"
              "{\"errorDetail\":{\"code\":7,\"message\":\"it ended with 7\"},"
              "\"error\":\"it ended with 7\"}\r\n");
}

TEST_F(BuildRoute, FailsByStatusBeforeItsLog) {
    api.fakes.builds.on_build = [](const auto&, const auto&, const auto&) -> std::string {
        throw Error(ErrorKind::invalid_argument, "no such instruction");
    };
    EXPECT_EQ(api.ask("POST /build").status, 400);
}

TEST_F(BuildRoute, RefusesWhatItCannotRead) {
    const auto expect = [&](const std::string& query, int status, const std::string& text) {
        const Answer answer = api.ask("POST /v1.50/build?" + query);
        EXPECT_EQ(answer.status, status) << query;
        EXPECT_EQ(answer.body, "{\"message\":\"" + text + "\"}\n") << query;
    };
    expect("shmsize=x", 500, R"(strconv.ParseInt: parsing \"x\": invalid syntax)");
    expect("buildargs=%5B%5D", 400,
           "error reading build args: json: cannot unmarshal array into Go value of type "
           "map[string]*string");
    expect("buildargs=%7B%22a%22:1%7D", 400,
           "error reading build args: json: cannot unmarshal number into Go value of type string");
    expect("cachefrom=x", 400,
           "error reading cache-from: invalid character 'x' looking for beginning of value");
    expect("ulimits=%7B", 400, "error reading ulimit settings: unexpected end of JSON input");
    expect("version=2", 501, "building with BuildKit is not supported by this daemon yet");
}

TEST_F(BuildRoute, CachesAreListedAndPruned) {
    auto& builds = api.fakes.builds;
    builds.entries = {{.id = "a1", .description = "/k", .size = 5, .in_use = true,
                       .created = base::WallTime(1, 0), .last_used = base::WallTime(2, 0)}};
    EXPECT_EQ(api.ask("GET /v1.50/system/df?type=build-cache").body,
              "{\"LayersSize\":0,\"Images\":null,\"Containers\":null,\"Volumes\":null,\"BuildCache\":"
              "[{\"ID\":\"a1\",\"Type\":\"exec.cachemount\",\"Description\":\"/k\",\"InUse\":true,"
              "\"Shared\":false,\"Size\":5,\"CreatedAt\":\"1970-01-01T00:00:01Z\","
              "\"LastUsedAt\":\"1970-01-01T00:00:02Z\",\"UsageCount\":1}]}\n");
    EXPECT_EQ(api.ask("POST /v1.50/build/prune?reserved-space=7&filters=%7B%22until%22:%5B%221h%22%5D%7D").body,
              "{\"CachesDeleted\":[\"a1\"],\"SpaceReclaimed\":5}\n");
    EXPECT_EQ(builds.pruned.reserved, 7);
    EXPECT_EQ(builds.pruned.unused_for, std::chrono::hours(1));
    EXPECT_EQ(api.ask("POST /v1.50/build/prune").body,
              "{\"CachesDeleted\":null,\"SpaceReclaimed\":0}\n");
}

}  // namespace
}  // namespace dockerd::test

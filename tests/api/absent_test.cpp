#include <gtest/gtest.h>

#include "client.hpp"

namespace dockerd::test {
namespace {

struct Expected {
    const char* line;
    int status;
    const char* text;
    const char* body = "";
};

constexpr const char* no_swarm =
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
    "connect this node to swarm and try again.";
constexpr const char* no_object_version = "strconv.ParseUint: parsing \"\": invalid syntax";
constexpr const char* no_experiments =
    "This experimental feature is disabled by default. Start the Docker daemon in experimental "
    "mode in order to enable it.";

void expect_answers(const std::vector<Expected>& table) {
    ServedApi api;
    for (const Expected& row : table) {
        const Answer answer = api.ask(row.line, row.body);
        EXPECT_EQ(answer.status, row.status) << row.line;
        EXPECT_EQ(answer.body, message(row.text)) << row.line;
    }
}

TEST(Absent, SwarmFamilyIsUnavailable) {
    expect_answers({{"GET /swarm", 503, no_swarm},
                    {"GET /swarm/unlockkey", 503, no_swarm},
                    {"POST /swarm/unlock", 503, no_swarm, "{}"},
                    {"POST /swarm/leave", 503, "This node is not part of a swarm"},
                    {"POST /swarm/init", 400, "invalid ListenAddr \"\": invalid empty address",
                     "{}"},
                    {"POST /swarm/join", 400, "invalid ListenAddr \"\": invalid empty address"},
                    {"POST /swarm/init", 501, "swarm mode is not supported by this daemon yet",
                     R"({"listenaddr":"0.0.0.0:2377"})"},
                    {"POST /swarm/update?version=3", 503, no_swarm, "{}"},
                    {"GET /services", 503, no_swarm},
                    {"POST /services/create", 503, no_swarm, "{}"},
                    {"GET /services/x", 503, no_swarm},
                    {"DELETE /services/x", 503, no_swarm},
                    {"POST /services/x/update?version=1", 503, no_swarm, "{}"},
                    {"GET /services/x/logs?stdout=1", 503, no_swarm},
                    {"GET /services/x/logs", 500,
                     "Bad parameters: you must choose at least one stream"},
                    {"GET /nodes", 503, no_swarm},
                    {"GET /nodes/x", 503, no_swarm},
                    {"DELETE /nodes/x", 503, no_swarm},
                    {"POST /nodes/x/update?version=1", 503, no_swarm, "{}"},
                    {"GET /tasks", 503, no_swarm},
                    {"GET /tasks/x", 503, no_swarm},
                    {"GET /tasks/x/logs?stderr=1", 503, no_swarm},
                    {"GET /secrets", 503, no_swarm},
                    {"POST /secrets/create", 503, no_swarm, "{}"},
                    {"GET /secrets/x", 503, no_swarm},
                    {"DELETE /secrets/x", 503, no_swarm},
                    {"POST /secrets/x/update?version=1", 503, no_swarm, "{}"},
                    {"GET /configs", 503, no_swarm},
                    {"POST /configs/create", 503, no_swarm, "{}"},
                    {"GET /configs/x", 503, no_swarm},
                    {"DELETE /configs/x", 503, no_swarm},
                    {"POST /configs/x/update?version=1", 503, no_swarm, "{}"}});
}

TEST(Absent, SwarmUpdatesNeedAVersion) {
    const std::string end = std::string(" version '': ") + no_object_version;
    const std::string swarm = "invalid swarm" + end;
    const std::string service = "invalid service" + end;
    const std::string node = "invalid node" + end;
    expect_answers({{"POST /swarm/update", 400, swarm.c_str(), "{}"},
                    {"POST /services/x/update", 400, service.c_str(), "{}"},
                    {"POST /nodes/x/update", 400, node.c_str(), "{}"},
                    {"POST /secrets/x/update", 400, "invalid secret version", "{}"},
                    {"POST /configs/x/update", 400, "invalid config version", "{}"}});
}

TEST(Absent, PluginsAreNone) {
    ServedApi api;
    EXPECT_EQ(api.ask("GET /plugins").body, "[]\n");
    const char* missing = "plugin \"x\" not found";
    expect_answers({{"GET /plugins/x/json", 404, missing},
                    {"DELETE /plugins/x", 404, missing},
                    {"POST /plugins/x/enable", 500, "strconv.Atoi: parsing \"\": invalid syntax"},
                    {"POST /plugins/x/enable?timeout=3", 404, missing},
                    {"POST /plugins/x/disable", 404, missing},
                    {"POST /plugins/x/push", 404, missing},
                    {"POST /plugins/x/upgrade", 500, "invalid reference format"},
                    {"POST /plugins/x/set", 404, missing, "[]"},
                    {"GET /plugins/privileges", 500, "invalid reference format"},
                    {"GET /plugins/privileges?remote=a/b", 501,
                     "installing managed plugins is not supported by this daemon yet"},
                    {"POST /plugins/pull?remote=a/b", 501,
                     "installing managed plugins is not supported by this daemon yet"},
                    {"POST /plugins/create", 501,
                     "installing managed plugins is not supported by this daemon yet"}});
}

TEST(Absent, CheckpointsAreExperimental) {
    expect_answers({{"GET /containers/web/checkpoints", 501, no_experiments},
                    {"POST /containers/web/checkpoints", 501, no_experiments, "{}"},
                    {"DELETE /containers/web/checkpoints/a", 501, no_experiments}});
}

TEST(Absent, WhatIsStillToComeSaysSo) {
    expect_answers(
        {{"POST /session", 400, "no upgrade proto in request"},
         {"POST /grpc", 500, "no upgrade proto in request"},
         {"POST /build/cancel", 400, "build ID not provided"}});
    ServedApi api;
    EXPECT_EQ(api.ask("POST /build/prune").body,
              "{\"CachesDeleted\":null,\"SpaceReclaimed\":0}\n");
    EXPECT_EQ(api.ask("POST /build/cancel?id=x").status, 200);
    EXPECT_EQ(api.ask("POST /grpc", "", "Connection: Upgrade\r\nUpgrade: h3\r\n").body,
              message("protocol h3 not supported"));
}

TEST(Absent, UnknownPathsAndMethodsAreNotFound) {
    expect_answers({{"GET /nope", 404, "page not found"},
                    {"GET /containers/create", 404, "page not found"},
                    {"GET /debug/nope", 404, "page not found"}});
}

}  // namespace
}  // namespace dockerd::test

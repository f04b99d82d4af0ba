#include <gtest/gtest.h>

#include "client.hpp"
#include "golden.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;

class Containers : public testing::Test {
protected:
    ServedApi api;
    FakeContainers& containers = api.fakes.containers;
};

TEST_F(Containers, ListTakesFiltersInBothForms) {
    engine::ListOptions seen;
    containers.on_list = [&](const engine::ListOptions& options) {
        seen = options;
        return read_list(golden("list-1.50.json"));
    };
    const Answer answer = api.ask(
        "GET /v1.50/containers/json?all=1&size=true&limit=3&before=x"
        "&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%2C%22name%22%3A%5B%22web%22%5D%7D");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, golden("list-1.50.json"));
    EXPECT_TRUE(seen.all);
    EXPECT_TRUE(seen.size);
    EXPECT_EQ(seen.limit, 3);
    EXPECT_EQ(seen.filters.get("label"), (std::set<std::string>{"a=b"}));
    EXPECT_EQ(seen.filters.get("name"), (std::set<std::string>{"web"}));
    EXPECT_FALSE(seen.filters.contains("before"));  // a filter only, since API 1.22
}

TEST_F(Containers, ListsOfOneSnapshotDifferWhereTheyMust) {
    auto container = std::make_shared<ContainerSnapshot>();
    container->id = "1234";
    container->name = "/web";
    container->path = "sh";
    container->args = {"-c", "a b"};
    container->config = std::make_shared<model::ContainerConfig>();
    auto host_config = std::make_shared<model::HostConfig>();
    host_config->annotations["note"] = "x";
    container->host_config = std::move(host_config);
    engine::ContainerSummary row{.container = container, .image = "one", .status_text = "Up 1 second"};
    containers.on_list = [&](const engine::ListOptions&) {
        return std::vector<engine::ContainerSummary>{row};
    };
    const std::string old = api.ask("GET /v1.45/containers/json").body;
    EXPECT_NE(old.find(R"("Names":["/web"],"Image":"one","ImageID":"","Command":"sh -c 'a b'",)"),
              std::string::npos) << old;
    EXPECT_NE(old.find(R"("Status":"Up 1 second","HostConfig":{},"NetworkSettings")"),
              std::string::npos) << old;
    row.image = "two";
    row.status_text = "Up 2 seconds";
    row.size_rw = 5;
    const std::string next = api.ask("GET /v1.46/containers/json").body;
    EXPECT_NE(next.find(R"("Image":"two",)"), std::string::npos) << next;
    EXPECT_NE(next.find(R"(,"SizeRw":5,"Labels":)"), std::string::npos) << next;
    EXPECT_NE(next.find(R"("Status":"Up 2 seconds","HostConfig":{"Annotations":{"note":"x"}},)"),
              std::string::npos) << next;
}

TEST_F(Containers, ListRefusesBadLimitsAndFilters) {
    const Answer limit = api.ask("GET /containers/json?limit=x");
    EXPECT_EQ(limit.status, 500);
    EXPECT_EQ(limit.body, message("strconv.Atoi: parsing \"x\": invalid syntax"));
    const Answer filter = api.ask("GET /containers/json?filters=x");
    EXPECT_EQ(filter.status, 400);
    EXPECT_EQ(filter.body, message("invalid filter"));
}

TEST_F(Containers, InspectAnswersInTheVersionAskedFor) {
    containers.on_inspect = [](std::string_view name, bool size) {
        EXPECT_EQ(name, "a/web");
        EXPECT_TRUE(size);
        return std::make_shared<const ContainerSnapshot>(read_inspect(golden("inspect-1.24.json")));
    };
    const Answer answer = api.ask("GET /v1.24/containers/a%2Fweb/json?size=1");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("content-type"), "application/json");
    EXPECT_EQ(answer.body, golden("inspect-1.24.json"));
}

TEST_F(Containers, ErrorsOfTheEngineBecomeAnswers) {
    containers.on_inspect = [](std::string_view name, bool) -> ContainerPtr {
        throw Error(ErrorKind::not_found, "No such container: " + std::string(name));
    };
    const Answer answer = api.ask("GET /containers/nope/json");
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.body, "{\"message\":\"No such container: nope\"}\n");
    EXPECT_EQ(answer.headers.at("api-version"), "1.50");
}

TEST_F(Containers, StartAnswersItsOutcome) {
    auto outcome = engine::StartOutcome::started;
    containers.on_start = [&](std::string_view) { return outcome; };
    EXPECT_EQ(api.ask("POST /containers/web/start").status, 204);
    outcome = engine::StartOutcome::already_running;
    const Answer again = api.ask("POST /containers/web/start");
    EXPECT_EQ(again.status, 304);
    EXPECT_FALSE(again.headers.contains("content-type"));
    EXPECT_EQ(api.ask("POST /containers/web/start", "{}     ").status, 304);
    const Answer body = api.ask("POST /containers/web/start", R"({"Binds":[]})");
    EXPECT_EQ(body.status, 400);
    EXPECT_EQ(body.body, message("starting container with non-empty request body was deprecated "
                                 "since API v1.22 and removed in v1.24"));
}

TEST_F(Containers, StopAndRestartTakeTimeoutAndSignal) {
    engine::StopOptions seen;
    auto outcome = engine::StopOutcome::stopped;
    containers.on_stop = [&](std::string_view, const engine::StopOptions& options) {
        seen = options;
        return outcome;
    };
    EXPECT_EQ(api.ask("POST /v1.42/containers/web/stop?t=-1&signal=SIGINT").status, 204);
    EXPECT_EQ(seen.timeout, -1);
    EXPECT_EQ(seen.signal, "SIGINT");
    outcome = engine::StopOutcome::already_stopped;
    EXPECT_EQ(api.ask("POST /v1.41/containers/web/stop?signal=SIGINT").status, 304);
    EXPECT_FALSE(seen.timeout);
    EXPECT_EQ(seen.signal, "");
    const Answer bad = api.ask("POST /containers/web/stop?t=x");
    EXPECT_EQ(bad.status, 500);
    EXPECT_EQ(bad.body, message("strconv.Atoi: parsing \"x\": invalid syntax"));

    containers.on_restart = [&](std::string_view, const engine::StopOptions& options) {
        seen = options;
    };
    EXPECT_EQ(api.ask("POST /containers/web/restart?t=3&signal=HUP").status, 204);
    EXPECT_EQ(seen.timeout, 3);
    EXPECT_EQ(seen.signal, "HUP");
}

TEST_F(Containers, KillPutsTheNameBeforeTheError) {
    containers.on_kill = [](std::string_view, const std::string& signal) {
        if (signal == "FOO") throw Error(ErrorKind::invalid_argument, "invalid signal: FOO");
    };
    EXPECT_EQ(api.ask("POST /containers/web/kill").status, 204);
    const Answer bad = api.ask("POST /containers/web/kill?signal=FOO");
    EXPECT_EQ(bad.status, 400);
    EXPECT_EQ(bad.body, message("cannot kill container: web: invalid signal: FOO"));
}

TEST_F(Containers, UpdateAppliesTheVersionsRules) {
    model::ContainerUpdate seen;
    containers.on_update = [&](std::string_view, const model::ContainerUpdate& update) {
        seen = update;
        return std::vector<std::string>{};
    };
    const std::string body = R"({"PidsLimit":-1,"KernelMemory":7,"Memory":8,)"
                             R"("RestartPolicy":{"Name":"always"}})";
    EXPECT_EQ(api.ask("POST /v1.41/containers/web/update", body).body, "{\"Warnings\":null}\n");
    EXPECT_EQ(seen.resources.pids_limit, 0);
    EXPECT_EQ(seen.resources.kernel_memory, 7);
    EXPECT_EQ(seen.resources.memory, 8);
    EXPECT_EQ(seen.restart_policy.name, "always");
    api.ask("POST /v1.39/containers/web/update", body);
    EXPECT_FALSE(seen.resources.pids_limit);
    api.ask("POST /v1.42/containers/web/update", body);
    EXPECT_EQ(seen.resources.kernel_memory, 0);
    EXPECT_EQ(api.ask("POST /containers/web/update").status, 200);
}

TEST_F(Containers, SmallOperationsReachTheEngine) {
    std::vector<std::string> seen;
    containers.on_rename = [&](std::string_view from, const std::string& to) {
        seen.push_back("rename " + std::string(from) + " " + to);
    };
    containers.on_pause = [&](std::string_view name) {
        seen.push_back("pause " + std::string(name));
    };
    containers.on_unpause = [&](std::string_view name) {
        seen.push_back("unpause " + std::string(name));
    };
    containers.on_resize = [&](std::string_view, std::uint16_t height, std::uint16_t width) {
        seen.push_back("resize " + std::to_string(height) + "x" + std::to_string(width));
    };
    containers.on_remove = [&](std::string_view name, const engine::RemoveOptions& options) {
        seen.push_back("remove " + std::string(name) + (options.force ? " force" : "") +
                       (options.volumes ? " volumes" : "") + (options.link ? " link" : ""));
    };
    EXPECT_EQ(api.ask("POST /containers/web/rename?name=new").status, 204);
    EXPECT_EQ(api.ask("POST /containers/web/pause").status, 204);
    EXPECT_EQ(api.ask("POST /containers/web/unpause").status, 204);
    const Answer resized = api.ask("POST /containers/web/resize?h=24&w=80");
    EXPECT_EQ(resized.status, 200);
    EXPECT_EQ(resized.headers.at("content-length"), "0");
    EXPECT_EQ(api.ask("DELETE /containers/web?force=1&v=true&link=0").status, 204);
    EXPECT_EQ(seen, (std::vector<std::string>{"rename web new", "pause web", "unpause web",
                                              "resize 24x80", "remove web force volumes"}));
}

TEST_F(Containers, ResizeRefusesBadSizes) {
    const auto refused = [&](const char* query) {
        return api.ask(std::string("POST /containers/web/resize?") + query).body;
    };
    EXPECT_EQ(refused("h=x&w=1"), message("invalid resize height \"x\": invalid syntax"));
    EXPECT_EQ(refused("w=1"), message("invalid resize height \"\": invalid syntax"));
    EXPECT_EQ(refused("h=1&w=4294967296"),
              message("invalid resize width \"4294967296\": value out of range"));
    EXPECT_EQ(refused("h=-1&w=1"), message("invalid resize height \"-1\": value out of range"));
}

TEST_F(Containers, TopAndPruneAnswerLists) {
    containers.on_top = [](std::string_view, const std::string& args) {
        EXPECT_EQ(args, "aux");
        return engine::TopResult{.titles = {"PID", "CMD"}, .processes = {{"7", "sh"}}};
    };
    EXPECT_EQ(api.ask("GET /containers/web/top?ps_args=aux").body,
              "{\"Processes\":[[\"7\",\"sh\"]],\"Titles\":[\"PID\",\"CMD\"]}\n");
    containers.on_prune = [](const model::Filters& filters) {
        EXPECT_EQ(filters.get("until"), (std::set<std::string>{"1h"}));
        return FakeContainers::PruneResult{};
    };
    EXPECT_EQ(api.ask("POST /containers/prune?filters=%7B%22until%22%3A%5B%221h%22%5D%7D").body,
              "{\"ContainersDeleted\":null,\"SpaceReclaimed\":0}\n");
}

TEST_F(Containers, ChangesAsNumbersAndNullWithout) {
    containers.on_changes = [](std::string_view name) {
        EXPECT_EQ(name, "web");
        return std::vector<engine::FileChange>{{"/etc", engine::ChangeKind::modified},
                                               {"/etc/<a>", engine::ChangeKind::added},
                                               {"/b", engine::ChangeKind::deleted}};
    };
    EXPECT_EQ(api.ask("GET /containers/web/changes").body,
              "[{\"Path\":\"/etc\",\"Kind\":0},{\"Path\":\"/etc/<a>\",\"Kind\":1},"
              "{\"Path\":\"/b\",\"Kind\":2}]\n");
    containers.on_changes = [](std::string_view) { return std::vector<engine::FileChange>{}; };
    EXPECT_EQ(api.ask("GET /containers/web/changes").body, "null\n");
}

TEST_F(Containers, CommitTakesParametersAndAConfiguration) {
    engine::CommitOptions seen;
    std::string name;
    containers.on_commit = [&](std::string_view reference, const engine::CommitOptions& options) {
        name = reference;
        seen = options;
        return std::string("sha256:1");
    };
    const auto answer = api.ask(
        "POST /commit?container=web&repo=r&tag=t&author=a&comment=c&pause=0&changes=USER%20x"
        "&changes=CMD%20y");
    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(answer.body, "{\"Id\":\"sha256:1\"}\n");
    EXPECT_EQ(name, "web");
    EXPECT_EQ(seen.repository + seen.tag + seen.author + seen.comment, "rtac");
    EXPECT_FALSE(seen.pause);
    EXPECT_FALSE(seen.config);
    EXPECT_EQ(seen.changes, (std::vector<std::string>{"USER x", "CMD y"}));
    EXPECT_EQ(api.ask("POST /commit?container=web", "null").status, 201);
    EXPECT_TRUE(seen.pause);
    EXPECT_FALSE(seen.config);
    EXPECT_EQ(api.ask("POST /commit?container=web", R"({"cmd":["z"]})").status, 201);
    ASSERT_TRUE(seen.config);
    EXPECT_EQ(seen.config->cmd.at(0), "z");
    EXPECT_EQ(api.ask("POST /commit?container=web", "{").body,
              message("invalid JSON: unexpected EOF"));
}

TEST_F(Containers, ExecCreateInspectAndResize) {
    model::ExecCreate seen;
    containers.on_exec_create = [&](std::string_view, const model::ExecCreate& exec) {
        seen = exec;
        return std::string("e1");
    };
    const Answer created = api.ask("POST /v1.41/containers/web/exec",
                                   R"({"Cmd":["sh"],"Tty":true,"ConsoleSize":[3,4]})");
    EXPECT_EQ(created.status, 201);
    EXPECT_EQ(created.body, "{\"Id\":\"e1\"}\n");
    EXPECT_FALSE(seen.console_size);
    api.ask("POST /v1.42/containers/web/exec", R"({"Cmd":["sh"],"ConsoleSize":[3,4]})");
    EXPECT_EQ(seen.console_size, (std::array<std::int64_t, 2>{3, 4}));
    const Answer empty = api.ask("POST /containers/web/exec", "{}");
    EXPECT_EQ(empty.status, 400);
    EXPECT_EQ(empty.body, message("No exec command specified"));

    containers.on_exec_inspect = [](std::string_view id) -> engine::ExecSnapshot {
        throw Error(ErrorKind::not_found, "No such exec instance: " + std::string(id));
    };
    EXPECT_EQ(api.ask("GET /exec/e9/json").body, message("No such exec instance: e9"));
    containers.on_exec_resize = [](std::string_view id, std::uint16_t h, std::uint16_t w) {
        EXPECT_EQ(id, "e1");
        EXPECT_EQ(h, 5);
        EXPECT_EQ(w, 6);
    };
    EXPECT_EQ(api.ask("POST /exec/e1/resize?h=5&w=6").status, 200);
}

}  // namespace
}  // namespace dockerd::test

#include <gtest/gtest.h>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;

class Images : public testing::Test {
protected:
    ServedApi api;
    FakeImages& images = api.fakes.images;
};

engine::ImageSummary busybox() {
    return {.id = "sha256:80", .repo_tags = {"busybox:latest"}, .created = {1795470781, 5},
            .size = 1984230};
}

TEST_F(Images, ListFollowsTheVersion) {
    engine::ImageService::ListOptions seen;
    images.on_list = [&](const engine::ImageService::ListOptions& options) {
        seen = options;
        return std::vector{busybox(), engine::ImageSummary{.id = "sha256:81", .created = {1, 0}}};
    };
    EXPECT_EQ(api.ask("GET /v1.50/images/json?all=1&shared-size=1&filter=a").body,
              R"([{"Containers":-1,"Created":1795470781,"Id":"sha256:80","Labels":null,)"
              R"("ParentId":"","RepoDigests":[],"RepoTags":["busybox:latest"],"SharedSize":-1,)"
              R"("Size":1984230},{"Containers":-1,"Created":1,"Id":"sha256:81","Labels":null,)"
              R"("ParentId":"","RepoDigests":[],"RepoTags":[],"SharedSize":-1,"Size":0}])"
              "\n");
    EXPECT_TRUE(seen.all && seen.shared_size);
    EXPECT_FALSE(seen.filters.contains("reference"));
    EXPECT_EQ(api.ask("GET /v1.40/images/json?shared-size=1&filter=a").body,
              R"([{"Containers":-1,"Created":1795470781,"Id":"sha256:80","Labels":null,)"
              R"("ParentId":"","RepoDigests":null,"RepoTags":["busybox:latest"],"SharedSize":-1,)"
              R"("Size":1984230,"VirtualSize":1984230},{"Containers":-1,"Created":1,)"
              R"("Id":"sha256:81","Labels":null,"ParentId":"","RepoDigests":["<none>@<none>"],)"
              R"("RepoTags":["<none>:<none>"],"SharedSize":-1,"Size":0}])"
              "\n");
    EXPECT_FALSE(seen.shared_size);
    EXPECT_EQ(seen.filters.get("reference"), (std::set<std::string>{"a"}));
}

engine::ImageDetails details() {
    engine::ImageDetails image;
    image.id = "sha256:80";
    image.repo_tags = {"busybox:latest"};
    image.comment = "Imported from -";
    image.created = base::WallTime(10, 500'000'000);
    image.docker_version = "28.2.2";
    image.config.emplace();
    image.config->cmd = model::StrSlice{};
    image.config->cmd.push_back("sh");
    image.architecture = "amd64";
    image.os = "linux";
    image.size = 5;
    image.graph_driver = {.name = "overlay2", .data = {{"UpperDir", "/u"}}};
    image.diff_ids = {"sha256:7f"};
    image.last_tag_time = {20, 0};
    return image;
}

const char* const empty_config =
    R"({"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,)"
    R"("AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":)";
const char* const config_rest =
    R"(,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null})";

TEST_F(Images, InspectFollowsTheVersion) {
    images.on_inspect = [](std::string_view name, const std::string&) {
        EXPECT_EQ(name, "library/busybox:latest");
        return details();
    };
    const std::string start =
        R"({"Id":"sha256:80","RepoTags":["busybox:latest"],"RepoDigests":[],"Parent":"",)"
        R"("Comment":"Imported from -","Created":"1970-01-01T00:00:10.5Z",)";
    const std::string end =
        R"("GraphDriver":{"Data":{"UpperDir":"/u"},"Name":"overlay2"},"RootFS":{"Type":"layers",)"
        R"("Layers":["sha256:7f"]},"Metadata":{"LastTagTime":"1970-01-01T00:00:20Z"})";
    EXPECT_EQ(api.ask("GET /v1.50/images/library/busybox:latest/json").body,
              start +
                  R"("DockerVersion":"28.2.2","Author":"","Config":{"Cmd":["sh"]},)"
                  R"("Architecture":"amd64","Os":"linux","Size":5,)" +
                  end + "}\n");
    const std::string config = std::string(empty_config) + R"(["sh"])" + config_rest;
    EXPECT_EQ(api.ask("GET /v1.45/images/library/busybox:latest/json").body,
              start +
                  R"("DockerVersion":"28.2.2","Author":"","Architecture":"amd64","Os":"linux",)"
                  R"("Size":5,)" +
                  end + R"(,"Config":)" + config + "}\n");
    EXPECT_EQ(api.ask("GET /v1.24/images/library/busybox:latest/json").body,
              start + R"("ContainerConfig":)" + empty_config + "null" + config_rest +
                  R"(,"DockerVersion":"28.2.2","Author":"","Architecture":"amd64","Os":"linux",)"
                  R"("Size":5,"VirtualSize":5,)" +
                  end + R"(,"Config":)" + config + "}\n");
}

TEST_F(Images, InspectRefusesConflictingOptions) {
    const auto asked = [&](const std::string& query) {
        return api.ask("GET /images/x/json?" + query).body;
    };
    EXPECT_EQ(asked("platform=x"),
              message("failed to parse platform: invalid character 'x' looking for beginning of "
                      "value"));
    EXPECT_EQ(asked("platform=%7B%7D"), message("both OS and Architecture must be provided"));
    EXPECT_EQ(asked("platform=%7B%22variant%22%3A%22v8%22%7D"),
              message("optional platform fields provided, but OS and Architecture are missing"));
    EXPECT_EQ(asked("manifests=1&platform=%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22a%22"
                    "%7D"),
              message("conflicting options: manifests and platform options cannot both be set"));
}

/// Which platform is asked for, from the version on that has the parameter.
TEST_F(Images, PlatformsAreReadFromTheirVersionOn) {
    std::vector<std::string> seen;
    images.on_inspect = [&](std::string_view, const std::string& platform) {
        seen.push_back("inspect " + platform);
        return details();
    };
    images.on_history = [&](std::string_view, const std::string& platform) {
        seen.push_back("history " + platform);
        return std::vector<engine::ImageHistoryItem>();
    };
    images.on_remove = [&](std::string_view, const engine::ImageService::RemoveOptions& options) {
        seen.push_back("remove " + options.platform);
        return std::vector<engine::ImageDeleteItem>();
    };
    images.on_check_save = [&](const std::vector<std::string>&, const std::string& platform) {
        seen.push_back("save " + platform);
        throw Error(ErrorKind::internal, "no suitable export target found for platform x");
    };
    images.on_load = [&](const engine::ByteReader&,
                         const engine::ImageService::LoadOptions& options,
                         const engine::ProgressSink&) {
        seen.push_back("load " + options.platform);
    };
    const std::string arm =
        "=%7B%22os%22:%22linux%22,%22architecture%22:%22arm%22,%22variant%22:%22v7%22%7D";
    for (const char* version : {"1.48", "1.49"}) {
        const std::string start = std::string(" /v") + version + "/images/";
        api.ask("GET" + start + "x/json?platform" + arm);
        api.ask("GET" + start + "x/history?platform" + arm);
        EXPECT_EQ(api.ask("GET" + start + "x/get?platform" + arm).status, 500);
        api.ask("POST" + start + "load?platform" + arm, "tar");
        api.ask("DELETE" + start + "x?platforms" + arm);
    }
    api.ask("DELETE /v1.50/images/x?platforms" + arm);
    api.ask("GET /v1.47/images/x/history?platform=x");
    EXPECT_EQ(seen, (std::vector<std::string>{
                        "inspect ", "history linux/arm/v7", "save linux/arm/v7",
                        "load linux/arm/v7", "remove ",  //
                        "inspect linux/arm/v7", "history linux/arm/v7", "save linux/arm/v7",
                        "load linux/arm/v7", "remove ",  //
                        "remove linux/arm/v7", "history "}));
    EXPECT_EQ(api.ask("DELETE /v1.50/images/x?platforms" + arm + "&platforms" + arm).body,
              message("multiple platforms are not supported"));
    EXPECT_EQ(api.ask("GET /v1.48/images/x/get?platform" + arm + "&platform" + arm).body,
              message("multiple platform parameters not supported"));
}

TEST_F(Images, HistoryTagRemoveAndPrune) {
    images.on_history = [](std::string_view, const std::string&) {
        return std::vector{engine::ImageHistoryItem{.id = "<missing>", .created = 1,
                                                    .created_by = "ADD <x>", .tags = {},
                                                    .size = 2, .comment = ""}};
    };
    EXPECT_EQ(api.ask("GET /images/x/history").body,
              R"([{"Comment":"","Created":1,"CreatedBy":"ADD <x>","Id":"<missing>","Size":2,)"
              R"("Tags":null}])"
              "\n");
    images.on_tag = [](std::string_view name, const std::string& repo, const std::string& tag) {
        EXPECT_EQ(name, "x");
        EXPECT_EQ(repo, "a/b");
        EXPECT_EQ(tag, "c");
    };
    const Answer tagged = api.ask("POST /images/x/tag?repo=a/b&tag=c");
    EXPECT_EQ(tagged.status, 201);
    EXPECT_EQ(tagged.headers.at("content-length"), "0");
    EXPECT_EQ(api.ask("POST /images/x/tag").status, 200);

    images.on_remove = [](std::string_view name, const engine::ImageService::RemoveOptions& options) {
        EXPECT_EQ(name, "a/b:c");
        EXPECT_TRUE(options.force);
        EXPECT_FALSE(options.prune_parents);
        return std::vector<engine::ImageDeleteItem>{{.untagged = "a/b:c", .deleted = ""},
                                                    {.untagged = "", .deleted = "sha256:80"}};
    };
    EXPECT_EQ(api.ask("DELETE /images/a/b:c?force=1&noprune=1").body,
              "[{\"Untagged\":\"a/b:c\"},{\"Deleted\":\"sha256:80\"}]\n");
    EXPECT_EQ(api.ask("DELETE /images/%20").body, message("image name cannot be blank"));
    images.on_prune = [](const model::Filters&) { return engine::ImagePruneResult{}; };
    EXPECT_EQ(api.ask("POST /images/prune").body,
              "{\"ImagesDeleted\":null,\"SpaceReclaimed\":0}\n");
}

std::string read_source(const engine::ByteReader& source) {
    std::string text;
    char piece[3];
    while (const std::size_t got = source(piece)) text.append(piece, got);
    return text;
}

TEST_F(Images, ImportStreamsItsProgress) {
    engine::ImportOptions seen;
    images.on_import = [&](const engine::ByteReader& source, const engine::ImportOptions& options,
                           const engine::ProgressSink& progress) {
        seen = options;
        EXPECT_EQ(read_source(source), "tar bytes");
        progress({.status = "sha256:90"});
    };
    const Answer answer = api.ask(
        "POST /images/create?fromSrc=-&repo=a&tag=b&changes=CMD+sh&changes=ENV+A%3D1", "tar bytes",
        "Content-Type: application/x-tar\r\n");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("content-type"), "application/json");
    EXPECT_EQ(answer.body, "{\"status\":\"sha256:90\"}\r\n");
    EXPECT_EQ(seen.repository, "a");
    EXPECT_EQ(seen.tag, "b");
    EXPECT_EQ(seen.message, "Imported from -");
    EXPECT_EQ(seen.changes, (std::vector<std::string>{"CMD sh", "ENV A=1"}));
}

TEST_F(Images, ImportFailsAsAnHttpErrorBeforeItsFirstLine) {
    bool said_something = false;
    images.on_import = [&](const engine::ByteReader&, const engine::ImportOptions&,
                           const engine::ProgressSink& progress) {
        if (said_something) progress({.status = "x"});
        throw Error(ErrorKind::invalid_argument, "bad <tar>");
    };
    const Answer early = api.ask("POST /images/create?fromSrc=-", "x");
    EXPECT_EQ(early.status, 400);
    EXPECT_EQ(early.body, message("bad <tar>"));
    said_something = true;
    const Answer late = api.ask("POST /images/create?fromSrc=-", "x");
    EXPECT_EQ(late.status, 200);
    EXPECT_EQ(late.body,
              "{\"status\":\"x\"}\r\n{\"errorDetail\":{\"message\":\"bad \\u003ctar\\u003e\"},"
              "\"error\":\"bad \\u003ctar\\u003e\"}\r\n");
}

TEST_F(Images, CreateWithoutASourceIsDockersError) {
    const Answer answer = api.ask("POST /images/create");
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.body, message("Get \"http:\": http: no Host in request URL"));
}

TEST_F(Images, LoadReportsProgressAndErrorsInBand) {
    bool fails = false;
    images.on_load = [&](const engine::ByteReader& source,
                         const engine::ImageService::LoadOptions& options,
                         const engine::ProgressSink& progress) {
        read_source(source);
        if (fails) throw Error(ErrorKind::internal, "archive/tar: invalid tar header");
        EXPECT_FALSE(options.quiet);
        progress({.status = "Loading layer", .id = "abc", .current = 512, .total = 1024});
        progress({.status = "Waiting", .id = "abc", .current = 0});
        progress({.stream = "Loaded image: x:latest\n"});
        progress({.aux_json = R"({"Size":1})"});
    };
    EXPECT_EQ(api.ask("POST /images/load?quiet=0", "tar").body,
              "{\"status\":\"Loading layer\",\"progressDetail\":{\"current\":512,\"total\":1024},"
              "\"progress\":\"[=========================\\u003e                         ]     "
              "512B/1.024kB\",\"id\":\"abc\"}\r\n"
              "{\"status\":\"Waiting\",\"progressDetail\":{},\"id\":\"abc\"}\r\n"
              "{\"stream\":\"Loaded image: x:latest\\n\"}\r\n"
              "{\"aux\":{\"Size\":1}}\r\n");
    fails = true;
    const Answer answer = api.ask("POST /images/load", "rubbish");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "{\"errorDetail\":{\"message\":\"archive/tar: invalid tar header\"},"
                           "\"error\":\"archive/tar: invalid tar header\"}\r\n");
}

TEST_F(Images, SaveStreamsATar) {
    std::vector<std::string> checked;
    images.on_check_save = [&](const std::vector<std::string>& names, const std::string&) {
        checked = names;
        if (names[0] == "nope") throw Error(ErrorKind::not_found, "No such image: nope");
    };
    images.on_save = [](const std::vector<std::string>&, const engine::ByteWriter& sink) {
        sink("tar ");
        sink("bytes");
    };
    const Answer one = api.ask("GET /images/a/b:c/get");
    EXPECT_EQ(one.headers.at("content-type"), "application/x-tar");
    EXPECT_EQ(one.body, "tar bytes");
    EXPECT_EQ(checked, (std::vector<std::string>{"a/b:c"}));
    EXPECT_EQ(api.ask("GET /images/get?names=x&names=y").body, "tar bytes");
    EXPECT_EQ(checked, (std::vector<std::string>{"x", "y"}));
    const Answer missing = api.ask("GET /images/nope/get");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(missing.headers.at("content-type"), "application/json");
    EXPECT_EQ(missing.body, message("No such image: nope"));
    EXPECT_EQ(api.ask("GET /images/get?names=x&platform=a&platform=b").body,
              message("multiple platform parameters not supported"));
}

}  // namespace
}  // namespace dockerd::test

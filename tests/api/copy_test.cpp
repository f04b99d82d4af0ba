#include <gtest/gtest.h>
#include <sys/stat.h>

#include <dockerd/base/strings.hpp>

#include "client.hpp"

namespace dockerd::test {
namespace {

using base::Error;
using base::ErrorKind;
using engine::ContentEncoding;
using engine::PathStat;

class Copy : public testing::Test {
protected:
    ServedApi api;
    FakeContainers& containers = api.fakes.containers;
};

PathStat directory() {
    return {.name = "a&b",
            .size = 4096,
            .mode = S_IFDIR | 01777,
            .mtime = {1'500'000'000, 5},
            .link_target = {}};
}

const char* const stat_json =
    R"({"name":"a\u0026b","size":4096,"mode":2148532735,"mtime":"2017-07-14T02:40:00.000000005Z",)"
    R"("linkTarget":""})";

TEST_F(Copy, StatIsAHeader) {
    containers.on_stat_path = [](std::string_view name, const std::string& path) {
        EXPECT_EQ(name, "web");
        EXPECT_EQ(path, "/a&b");
        return directory();
    };
    for (const char* version : {"", "/v1.24", "/v1.50"}) {
        const Answer answer =
            api.ask(std::string("HEAD ") + version + "/containers/web/archive?path=%2Fa%26b");
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(base::base64_decode(answer.headers.at("x-docker-container-path-stat")),
                  stat_json);
        EXPECT_FALSE(answer.headers.contains("content-type"));
    }
}

TEST_F(Copy, ModesAreGos) {
    const auto mode_of = [&](std::uint32_t mode) {
        containers.on_stat_path = [mode](std::string_view, const std::string&) {
            PathStat stat = directory();
            stat.mode = mode;
            return stat;
        };
        const Answer answer = api.ask("HEAD /containers/web/archive?path=/x");
        const std::string json =
            *base::base64_decode(answer.headers.at("x-docker-container-path-stat"));
        const auto at = json.find("\"mode\":") + 7;
        return std::stoul(json.substr(at, json.find(',', at) - at));
    };
    EXPECT_EQ(mode_of(S_IFREG | 0644), 0644U);
    EXPECT_EQ(mode_of(S_IFREG | 06755), 0755U | 1U << 23U | 1U << 22U);
    EXPECT_EQ(mode_of(S_IFLNK | 0777), 0777U | 1U << 27U);
    EXPECT_EQ(mode_of(S_IFBLK | 0600), 0600U | 1U << 26U);
    EXPECT_EQ(mode_of(S_IFCHR | 0600), 0600U | 1U << 26U | 1U << 21U);
    EXPECT_EQ(mode_of(S_IFIFO | 0600), 0600U | 1U << 25U);
    EXPECT_EQ(mode_of(S_IFSOCK | 0600), 0600U | 1U << 24U);
}

TEST_F(Copy, ArchiveIsATarInTheEncodingAskedFor) {
    ContentEncoding wanted = ContentEncoding::identity;
    containers.on_archive_path = [&](std::string_view, const std::string& path,
                                     ContentEncoding encoding, const auto& found,
                                     const auto& sink) {
        EXPECT_EQ(path, "/x");
        wanted = encoding;
        found(directory());
        sink("the tar");
    };
    const auto ask = [&](std::string_view headers) {
        return api.ask("GET /containers/web/archive?path=/x", "", headers);
    };
    Answer answer = ask("");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "the tar");
    EXPECT_EQ(answer.headers["content-type"], "application/x-tar");
    EXPECT_EQ(base::base64_decode(answer.headers["x-docker-container-path-stat"]), stat_json);
    EXPECT_EQ(wanted, ContentEncoding::identity);
    EXPECT_EQ(ask("Accept-Encoding: gzip\r\n").headers["content-encoding"], "gzip");
    EXPECT_EQ(wanted, ContentEncoding::gzip);
    EXPECT_EQ(ask("Accept-Encoding: deflate;q=0.5, br\r\n").headers["content-encoding"], "deflate");
    EXPECT_EQ(wanted, ContentEncoding::deflate);
    EXPECT_FALSE(ask("Accept-Encoding: gzip;q=0\r\n").headers.contains("content-encoding"));
    EXPECT_EQ(wanted, ContentEncoding::identity);
}

TEST_F(Copy, ErrorsBeforeTheFirstByteAreAnswers) {
    containers.on_archive_path = [](auto&&...) {
        throw Error(ErrorKind::not_found, "Could not find the file /x in container web");
    };
    const Answer answer = api.ask("GET /containers/web/archive?path=/x");
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.body, message("Could not find the file /x in container web"));
    EXPECT_FALSE(answer.headers.contains("x-docker-container-path-stat"));
    containers.on_export_files = [](auto&&...) {
        throw Error(ErrorKind::conflict, "You cannot export container web which is Dead");
    };
    const Answer dead = api.ask("GET /containers/web/export");
    EXPECT_EQ(dead.status, 409);
    EXPECT_EQ(dead.headers.at("content-type"), "application/json");
}

TEST_F(Copy, ExtractPassesTheBodyAndItsOptions) {
    std::string got;
    engine::ExtractPathOptions seen;
    containers.on_extract_to_path = [&](std::string_view name, const std::string& path,
                                        const engine::ExtractPathOptions& options,
                                        const auto& source) {
        EXPECT_EQ(name, "web");
        EXPECT_EQ(path, "/x/.");
        seen = options;
        char buffer[3];
        got.clear();
        while (const std::size_t n = source(buffer)) got.append(buffer, n);
    };
    EXPECT_EQ(api.ask("PUT /containers/web/archive?path=/x/.", "tar bytes").status, 200);
    EXPECT_EQ(got, "tar bytes");
    EXPECT_FALSE(seen.copy_uid_gid || seen.no_overwrite_dir_non_dir);
    EXPECT_EQ(api.ask("PUT /v1.24/containers/web/archive?path=/x/.&copyUIDGID=1"
                      "&noOverwriteDirNonDir=true")
                  .body,
              "");
    EXPECT_TRUE(seen.copy_uid_gid && seen.no_overwrite_dir_non_dir);
}

TEST_F(Copy, ExportIsAStreamWithoutAName) {
    containers.on_export_files = [](std::string_view name, const auto& sink) {
        EXPECT_EQ(name, "web");
        sink("the tar");
    };
    const Answer answer = api.ask("GET /v1.41/containers/web/export");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "the tar");
    EXPECT_EQ(answer.headers.at("content-type"), "application/octet-stream");
}

TEST_F(Copy, AMissingPathIsSpelledAsInDocker) {
    for (const char* method : {"GET", "PUT"}) {
        const Answer answer = api.ask(std::string(method) + " /containers/web/archive");
        EXPECT_EQ(answer.status, 400);
        EXPECT_EQ(answer.body, message("bad parameter: pathcannot be empty"));
    }
    EXPECT_EQ(api.ask("HEAD /containers/web/archive?path=").status, 400);
}

}  // namespace
}  // namespace dockerd::test

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/model/filters.hpp>
#include <dockerd/model/json.hpp>

using namespace dockerd;
using namespace dockerd::model;

namespace {

template <typename T>
std::string error_of(std::string_view body) {
    try {
        decode_body<T>(body);
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        return error.what();
    }
    return "accepted";
}

}  // namespace

TEST(DecodeBody, SaysWhatGoSaysAboutBadSyntax) {
    const auto error = [](std::string_view body) { return error_of<ContainerCreate>(body); };
    EXPECT_EQ(error(""), "invalid JSON: got EOF while reading request body");
    EXPECT_EQ(error("{"), "invalid JSON: unexpected EOF");
    EXPECT_EQ(error("{\"Image\":\"x\""), "invalid JSON: unexpected EOF");
    EXPECT_EQ(error("nope"), "invalid JSON: invalid character 'o' in literal null (expecting 'u')");
    EXPECT_EQ(error("{]"),
              "invalid JSON: invalid character ']' looking for beginning of object key string");
    EXPECT_EQ(error("{\"a\" 1}"), "invalid JSON: invalid character '1' after object key");
    EXPECT_EQ(error("{\"a\":1 2}"),
              "invalid JSON: invalid character '2' after object key:value pair");
    EXPECT_EQ(error("{\"a\":[1 2]}"), "invalid JSON: invalid character '2' after array element");
    EXPECT_EQ(error("{\"a\":}"),
              "invalid JSON: invalid character '}' looking for beginning of value");
    EXPECT_EQ(error("{} {}"), "unexpected content after JSON");
    EXPECT_EQ(error(std::string(20'000, '[')), "invalid JSON: exceeded max depth");
}

TEST(DecodeBody, NamesFieldAndTypeOfAWrongValue) {
    EXPECT_EQ(error_of<ContainerCreate>(R"({"Image":5})"),
              "invalid JSON: json: cannot unmarshal number into Go struct field "
              "CreateRequest.Config.Image of type string");
    EXPECT_EQ(error_of<ContainerCreate>(R"({"HostConfig":{"Memory":"1g"}})"),
              "invalid JSON: json: cannot unmarshal string into Go struct field "
              "HostConfig.HostConfig.Resources.Memory of type int64");
    EXPECT_EQ(error_of<ContainerCreate>(R"({"Env":{"a":"b"}})"),
              "invalid JSON: json: cannot unmarshal object into Go struct field "
              "CreateRequest.Config.Env of type []string");
    EXPECT_EQ(error_of<ContainerCreate>("[]"),
              "invalid JSON: json: cannot unmarshal array into Go value of type "
              "container.CreateRequest");
}

TEST(DecodeBody, MatchesNamesWithoutCaseAndTakesNullForAbsent) {
    const auto request = decode_body<ContainerCreate>(
        R"({"image":"busybox","CMD":"ls","Entrypoint":["/a"],"Env":null,"hostconfig":{"memory":7}})");
    EXPECT_EQ(request.config.image, "busybox");
    ASSERT_EQ(request.config.cmd.size(), 1U);
    EXPECT_EQ(request.config.cmd[0], "ls");
    EXPECT_TRUE(request.config.env.is_null());
    ASSERT_TRUE(request.host_config);
    EXPECT_EQ(request.host_config->resources.memory, 7);
    EXPECT_TRUE(request.has_config);
    EXPECT_FALSE(decode_body<ContainerCreate>(R"({"HostConfig":{}})").has_config);
}

TEST(Encode, KeepsNullAndEmptyApartAndOmitsWhatDockerOmits) {
    ContainerConfig config;
    config.cmd.given = true;
    const std::string text = to_text(encode(config));
    EXPECT_EQ(text,
              R"({"Hostname":"","Domainname":"","User":"","AttachStdin":false,)"
              R"("AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,)"
              R"("StdinOnce":false,"Env":null,"Cmd":[],"Image":"","Volumes":null,"WorkingDir":"",)"
              R"("Entrypoint":null,"OnBuild":null,"Labels":null})");
}

TEST(Encode, RoundTripsHostConfig) {
    const std::string text =
        R"({"Binds":["/a:/b"],"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},)"
        R"("Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":5}}],"Init":true})";
    const auto first = encode(decode_body<HostConfig>(text));
    const auto second = encode(decode_text<HostConfig>(to_text(first)));
    EXPECT_EQ(first, second);
    EXPECT_EQ(first["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
    EXPECT_EQ(first["Init"], true);
}

TEST(Filters, ReadsBothEncodings) {
    const auto a = Filters::parse(R"({"label":{"a=b":true},"status":{"exited":true}})");
    const auto b = Filters::parse(R"({"label":["a=b"],"status":["exited"]})");
    EXPECT_EQ(a.all(), b.all());
    EXPECT_TRUE(a.match_labels("label", {{"a", "b"}}));
    EXPECT_FALSE(a.match_labels("label", {{"a", "c"}}));
    EXPECT_TRUE(Filters::parse("").empty());
}

TEST(Filters, RefusesBadInputInDockersWords) {
    const auto error = [](auto action) -> std::string {
        try {
            action();
        } catch (const base::Error& thrown) {
            return thrown.what();
        }
        return "accepted";
    };
    EXPECT_EQ(error([] { Filters::parse("[1]"); }), "invalid filter");
    EXPECT_EQ(error([] { Filters::parse("{"); }), "invalid filter");
    EXPECT_EQ(error([] { Filters::parse(R"({"xyz":["1"]})").validate({"label"}); }),
              "invalid filter 'xyz'");
    EXPECT_EQ(
        error([] { (void)Filters::parse(R"({"dangling":["x"]})").get_bool("dangling", false); }),
        "invalid filter 'dangling=[x]'");
}

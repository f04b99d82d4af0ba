#include <gtest/gtest.h>

#include "api/codec/containers.hpp"
#include "golden.hpp"

namespace dockerd::test {
namespace {

using http::ApiVersion;
using api::codec::encode_inspect;
using api::codec::encode_list;

/// Docker's own answer, read and written again, is the same text.
class Golden : public testing::TestWithParam<int> {
protected:
    std::string name(const char* kind) const {
        return std::string(kind) + "-1." + std::to_string(GetParam()) + ".json";
    }
    ApiVersion version() const { return {1, GetParam()}; }
};

TEST_P(Golden, InspectIsDockers) {
    const std::string text = golden(name("inspect"));
    ASSERT_FALSE(text.empty());
    EXPECT_EQ(encode_inspect(read_inspect(text), version()), text);
}

TEST_P(Golden, ListIsDockers) {
    const std::string text = golden(name("list"));
    ASSERT_FALSE(text.empty());
    EXPECT_EQ(encode_list(read_list(text), version()), text);
}

INSTANTIATE_TEST_SUITE_P(Versions, Golden, testing::Values(24, 41, 44, 50));

TEST(Inspect, OfAContainerNeverStartedIsDockers) {
    const std::string text = golden("inspect-plain.json");
    EXPECT_EQ(encode_inspect(read_inspect(text), {1, 50}), text);
}

TEST(Inspect, ListsTheContainersOwnNamesAsAliasesBefore145) {
    const auto container = read_inspect(golden("inspect-1.50.json"));
    EXPECT_NE(encode_inspect(container, {1, 44})
                  .find(R"("Aliases":["al","176b7a1dac72"],"MacAddress")"),
              std::string::npos);
    EXPECT_NE(encode_inspect(container, {1, 45}).find(R"("Aliases":["al"],"MacAddress")"),
              std::string::npos);
}

TEST(Inspect, RepeatsTheDefaultBridgeAtTheTop) {
    auto container = read_inspect(golden("inspect-plain.json"));
    container.network.networks["bridge"].ip_address = "172.17.0.2";
    container.network.networks["bridge"].mac_address = "02:42:ac:11:00:02";
    EXPECT_NE(encode_inspect(container, {1, 50})
                  .find(R"("IPAddress":"172.17.0.2","IPPrefixLen":0,"IPv6Gateway":"",)"
                        R"("MacAddress":"02:42:ac:11:00:02","Networks":{"bridge":)"),
              std::string::npos);
}

TEST(List, ShowsAnnotationsFrom146) {
    const auto rows = read_list(golden("list-1.50.json"));
    const std::string annotations = R"("Annotations":{"note":"1"})";
    EXPECT_NE(encode_list(rows, {1, 46}).find(annotations), std::string::npos);
    EXPECT_EQ(encode_list(rows, {1, 45}).find(annotations), std::string::npos);
}

TEST(List, IsAnEmptyArrayWithoutContainers) { EXPECT_EQ(encode_list({}, {1, 50}), "[]\n"); }

TEST(Wait, PutsTheErrorFirstAndEscapesHtml) {
    EXPECT_EQ(api::codec::encode_wait({.exit_code = 3, .error = ""}), "{\"StatusCode\":3}\n");
    EXPECT_EQ(api::codec::encode_wait({.exit_code = 1, .error = "a <b>"}),
              "{\"Error\":{\"Message\":\"a \\u003cb\\u003e\"},\"StatusCode\":1}\n");
}

TEST(Exec, InspectHasNullExitCodeWhileRunning) {
    engine::ExecSnapshot exec;
    exec.id = "e1";
    exec.container_id = "c1";
    exec.running = true;
    exec.entrypoint = "sh";
    exec.arguments = {"-c", "x"};
    exec.open_stdout = true;
    exec.pid = 7;
    EXPECT_EQ(api::codec::encode_exec(exec),
              R"({"ID":"e1","Running":true,"ExitCode":null,"ProcessConfig":{"tty":false,)"
              R"("entrypoint":"sh","arguments":["-c","x"],"privileged":false},"OpenStdin":false,)"
              R"("OpenStderr":false,"OpenStdout":true,"CanRemove":false,"ContainerID":"c1",)"
              R"("DetachKeys":"","Pid":7})"
              "\n");
}

}  // namespace
}  // namespace dockerd::test

#include "engine/containers/link_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Names = std::pair<std::string, std::string>;

TEST(ParseLink, TakesBothForms) {
    EXPECT_EQ(parse_link("web"), Names("web", "web"));
    EXPECT_EQ(parse_link("web:w"), Names("web", "w"));
    EXPECT_EQ(parse_link("/web:/app/w"), Names("web", "w"));
    const auto refused = [](const std::string& text) -> std::string {
        try {
            (void)parse_link(text);
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), base::ErrorKind::internal);
            return error.what();
        }
        return "accepted";
    };
    EXPECT_EQ(refused(""), "empty string specified for links");
    EXPECT_EQ(refused("a:b:c"), "bad format for links: a:b:c");
}

TEST(LinkEnvironment, NamesPortsRangesAndVariables) {
    model::ContainerConfig child;
    child.exposed_ports = {{"53/udp", {}}, {"80/tcp", {}}, {"81/tcp", {}}};
    child.env = {"A=b", "PATH=/bin", "HOME=/x", "bare", "C=d=e"};
    EXPECT_THAT(link_environment("/app/my-db", "1.2.3.4", child),
                ElementsAre("MY_DB_PORT=tcp://1.2.3.4:80",  //
                            "MY_DB_PORT_80_TCP=tcp://1.2.3.4:80", "MY_DB_PORT_80_TCP_ADDR=1.2.3.4",
                            "MY_DB_PORT_80_TCP_PORT=80", "MY_DB_PORT_80_TCP_PROTO=tcp",
                            "MY_DB_PORT_81_TCP=tcp://1.2.3.4:81", "MY_DB_PORT_81_TCP_ADDR=1.2.3.4",
                            "MY_DB_PORT_81_TCP_PORT=81", "MY_DB_PORT_81_TCP_PROTO=tcp",
                            "MY_DB_PORT_80_TCP_START=tcp://1.2.3.4:80",
                            "MY_DB_PORT_80_TCP_PORT_START=80",
                            "MY_DB_PORT_80_TCP_END=tcp://1.2.3.4:81",
                            "MY_DB_PORT_80_TCP_PORT_END=81",
                            "MY_DB_PORT_53_UDP=udp://1.2.3.4:53", "MY_DB_PORT_53_UDP_ADDR=1.2.3.4",
                            "MY_DB_PORT_53_UDP_PORT=53", "MY_DB_PORT_53_UDP_PROTO=udp",
                            "MY_DB_NAME=/app/my-db", "MY_DB_ENV_A=b", "MY_DB_ENV_C=d=e"));
}

TEST(ReplaceAddress, ChangesOnlyLinesOfTheAlias) {
    EXPECT_EQ(replace_address("127.0.0.1\tlocalhost\n10.0.0.2\tdb host db\n10.0.0.2\tdb2\n"
                              "10.0.0.2\tdb.x\n10.0.0.2 db",
                              "db", "10.0.0.9"),
              "127.0.0.1\tlocalhost\n10.0.0.9\tdb host db\n10.0.0.2\tdb2\n"
              "10.0.0.9\tdb.x\n10.0.0.2 db");
}

TEST(LinkIndex, KnowsBothEnds) {
    LinkIndex index;
    index.add({.name = "/a/x", .parent = "a", .child = "c"});
    index.add({.name = "/b/y", .parent = "b", .child = "c"});
    index.add({.name = "/a/w", .parent = "a", .child = "d"});
    const auto names = [](const std::vector<LinkIndex::Link>& links) {
        std::vector<std::string> out;
        for (const auto& link : links) out.push_back(link.name);
        return out;
    };
    EXPECT_THAT(names(index.children("a")), ElementsAre("/a/w", "/a/x"));
    EXPECT_THAT(names(index.parents("c")), ElementsAre("/a/x", "/b/y"));
    EXPECT_EQ(index.find("/b/y")->child, "c");
    EXPECT_THAT(names(index.remove_parent("a")), ElementsAre("/a/w", "/a/x"));
    index.remove("/b/y");
    EXPECT_THAT(index.parents("c"), IsEmpty());
    EXPECT_FALSE(index.find("/b/y"));
}

}  // namespace
}  // namespace dockerd::engine

#include "runtime/users/passwd.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace dockerd::runtime::users {
namespace {

Source text_source(const std::string& text) {
    auto at = std::make_shared<std::size_t>(0);
    return [text, at](char* buffer, std::size_t size) {
        const std::size_t n = std::min({size, text.size() - *at, std::size_t{7}});
        std::memcpy(buffer, text.data() + *at, n);
        *at += n;
        return n;
    };
}

Files files(const std::string& passwd, const std::string& group) {
    return {[passwd] { return text_source(passwd); }, [group] { return text_source(group); }};
}

const Files usual =
    files("root:x:0:0:root:/root:/bin/sh\n# comment\n\nweb:x:33:34::/var/www:/bin/sh\n",
          "root:x:0:\nwww:x:34:\nmedia:x:40:x,web\nlog:x:41:web\n");

Identity find(const Files& from, const std::string& user,
              const std::vector<std::string>& more = {}) {
    Identity identity;
    EXPECT_EQ(look_up(from, user, more, identity), "");
    return identity;
}
std::string error(const Files& from, const std::string& user,
                  const std::vector<std::string>& more = {}) {
    Identity identity;
    return look_up(from, user, more, identity);
}
using Groups = std::vector<std::uint32_t>;

TEST(LookUpUser, EmptyIsRoot) {
    const Identity root = find(usual, "");
    EXPECT_EQ(root.uid, 0U);
    EXPECT_EQ(root.home, "/root");
    EXPECT_EQ(root.groups, Groups{0});
}

TEST(LookUpUser, NameBringsItsGroups) {
    const Identity web = find(usual, "web");
    EXPECT_EQ(web.uid, 33U);
    EXPECT_EQ(web.gid, 34U);
    EXPECT_EQ(web.groups, (Groups{34, 40, 41}));
    EXPECT_EQ(web.home, "/var/www");
    EXPECT_EQ(find(usual, "33").groups, (Groups{34, 40, 41}));
}

TEST(LookUpUser, GroupInTheSpecificationReplacesThem) {
    const Identity web = find(usual, "web:media");
    EXPECT_EQ(web.gid, 40U);
    EXPECT_EQ(web.groups, Groups{40});
    EXPECT_EQ(find(usual, "7:9").gid, 9U);
    EXPECT_EQ(find(usual, "7").gid, 0U);
    EXPECT_EQ(find(usual, "7", {"log", "40", "55"}).groups, (Groups{0, 41, 40, 55}));
}

TEST(LookUpUser, HomeIsThatOfTheNumbersFirstEntry) {
    const Files twice = files("first:x:5:5::/first:/bin/sh\nsecond:x:5:6::/second:/bin/sh\n", "");
    EXPECT_EQ(find(twice, "second").home, "/first");
    EXPECT_EQ(find(twice, "second").gid, 6U);
}

TEST(LookUpUser, HomesCanBeAnotherFiles) {
    Files mounted = usual;
    mounted.homes = [] { return text_source("other:x:33:1::/other:/bin/sh\n"); };
    EXPECT_EQ(find(mounted, "web").home, "/other");
    EXPECT_EQ(find(mounted, "web").gid, 34U);
    EXPECT_EQ(find(mounted, "33").home, "/other");
    EXPECT_EQ(find(mounted, "").home, "") << "there is none, and it becomes /";
    EXPECT_EQ(error(mounted, "other"),
              "unable to find user other: no matching entries in passwd file");
}

TEST(LookUpUser, UnknownNamesAreDockersErrors) {
    EXPECT_EQ(error(usual, "x"), "unable to find user x: no matching entries in passwd file");
    EXPECT_EQ(error(usual, "web:x"), "unable to find group x: no matching entries in group file");
    EXPECT_EQ(error(usual, "web", {"x"}),
              "Unable to find group x: no matching entries in group file");
}

TEST(LookUpUser, NumbersOutOfRangeNeverWrapToRoot) {
    const std::string range = "uids and gids must be in range 0-2147483647";
    for (const char* user : {"2147483648", "4294967296", "-1", "0:4294967296", "0:-1"}) {
        EXPECT_EQ(error(usual, user), range) << user;
        EXPECT_EQ(error(files("", ""), user), range) << user;
    }
    EXPECT_EQ(error(usual, "0x0"), "unable to find user 0x0: no matching entries in passwd file");
    EXPECT_EQ(error(usual, "18446744073709551616"),
              "unable to find user 18446744073709551616: no matching entries in passwd file");
    EXPECT_EQ(error(files("big:x:4294967296:0::/:\n", ""), "big"), range);
    EXPECT_EQ(error(files("big:x:18446744073709551616:0::/:\n", ""), "big"), range);
}

TEST(LookUpUser, EndlessLinesAreSkippedInBoundedMemory) {
    const std::string passwd = std::string(200'000, 'a') + "\nweb:x:33:34::/var/www:/bin/sh";
    EXPECT_EQ(find(files(passwd, ""), "web").uid, 33U);
}

}  // namespace
}  // namespace dockerd::runtime::users

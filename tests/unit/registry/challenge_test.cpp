#include "registry/challenge.hpp"

#include <gtest/gtest.h>

namespace dockerd::registry {
namespace {

using Params = std::map<std::string, std::string>;

TEST(Challenge, ReadsSchemeAndParameters) {
    const auto bearer = parse_challenge(
        R"(Bearer realm="https://auth.example/token",service="registry",Scope="a:b:pull,push")");
    EXPECT_EQ(bearer.scheme, "bearer");
    EXPECT_EQ(bearer.params, (Params{{"realm", "https://auth.example/token"},
                                     {"service", "registry"},
                                     {"scope", "a:b:pull,push"}}));
    const auto basic = parse_challenge("BASIC realm=simple");
    EXPECT_EQ(basic.scheme, "basic");
    EXPECT_EQ(basic.params, (Params{{"realm", "simple"}}));
}

TEST(Challenge, ReadsEscapesAndSpaces) {
    EXPECT_EQ(parse_challenge(R"(Bearer  a="x\"y\\z" , b=c)").params,
              (Params{{"a", R"(x"y\z)"}, {"b", "c"}}));
}

TEST(Challenge, StopsAtWhatItCannotRead) {
    EXPECT_EQ(parse_challenge(R"(Bearer a=b,c="open)").params, (Params{{"a", "b"}}));
    EXPECT_EQ(parse_challenge("Bearer =x").params, Params{});
    EXPECT_EQ(parse_challenge("\"x\"").scheme, "");
    EXPECT_EQ(parse_challenge("").scheme, "");
}

}  // namespace
}  // namespace dockerd::registry

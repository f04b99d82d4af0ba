#include <dockerd/build/ignore.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/build/args.hpp>

namespace dockerd::build {
namespace {

using testing::ElementsAre;

bool ignored(const std::vector<std::string>& patterns, const std::string& path) {
    return Ignore(patterns).matches(path);
}

TEST(Ignore, FileIsReadAndCleaned) {
    EXPECT_THAT(read_ignore_file("\xEF\xBB\xBF# c\n a/ \n\n/b/../c\n! /d/\n!\n #e\r\n"),
                ElementsAre("a", "c", "!d", "!", "#e"));
}

TEST(Ignore, Patterns) {
    EXPECT_TRUE(ignored({"a"}, "a"));
    EXPECT_TRUE(ignored({"a"}, "a/b/c"));
    EXPECT_FALSE(ignored({"a"}, "b/a"));
    EXPECT_TRUE(ignored({"**/a"}, "a"));
    EXPECT_TRUE(ignored({"**/a"}, "b/c/a"));
    EXPECT_TRUE(ignored({"**/a"}, "b/a/d"));
    EXPECT_TRUE(ignored({"**"}, "x/y"));
    EXPECT_TRUE(ignored({"a/**"}, "a/b"));
    EXPECT_FALSE(ignored({"a/**"}, "ab"));
    EXPECT_TRUE(ignored({"a/**/b"}, "a/b"));
    EXPECT_TRUE(ignored({"a/**/b"}, "a/x/y/b"));
    EXPECT_TRUE(ignored({"*.go"}, "x.go"));
    EXPECT_FALSE(ignored({"*.go"}, "d/x.go"));
    EXPECT_TRUE(ignored({"?.go"}, "x.go"));
    EXPECT_FALSE(ignored({"a.b"}, "axb"));
    EXPECT_TRUE(ignored({"[a-c]x"}, "bx"));
    EXPECT_TRUE(ignored({"\\*"}, "*"));
    EXPECT_FALSE(ignored({"\\*"}, "b"));
}

TEST(Ignore, TheLastPatternDecides) {
    EXPECT_FALSE(ignored({"*", "!a"}, "a"));
    EXPECT_TRUE(ignored({"*", "!a"}, "b"));
    EXPECT_TRUE(ignored({"!a", "*"}, "a"));
    EXPECT_FALSE(ignored({"d", "!d/keep"}, "d/keep/x"));
    EXPECT_TRUE(ignored({"d", "!d/keep", "d/keep/x"}, "d/keep/x"));
}

TEST(Ignore, WhatIsNoPatternIsRefused) {
    EXPECT_THROW(ignored({"!"}, "a"), base::Error);
    EXPECT_THROW(ignored({"[a"}, "a"), base::Error);
}

Arg arg(const std::string& key, std::optional<std::string> value = std::nullopt) {
    return {{{key, std::move(value)}}};
}

TEST(Args, WhoGivesTheValue) {
    Args args({{"given", "1"}, {"named", std::nullopt}, {"extra", "x"}}, {{"TARGETOS", "linux"}});
    args.declare_global(arg("global", "g"));
    args.declare_global(arg("given", "default"));
    EXPECT_THAT(args.of_from(), ElementsAre("TARGETOS=linux", "given=1", "global=g"));
    Args stage = args.new_stage();
    // Nothing before FROM is seen without being declared again.
    EXPECT_THAT(stage.of_stage({}), ElementsAre());
    stage.declare(arg("global"));
    stage.declare(arg("own", "o"));
    stage.declare(arg("unset"));
    stage.declare(arg("TARGETOS"));
    EXPECT_THAT(stage.of_stage({}), ElementsAre("TARGETOS=linux", "global=g", "own=o"));
    EXPECT_THAT(stage.of_stage({"own=env"}), ElementsAre("TARGETOS=linux", "global=g"));
    args.merge_used(stage);
    EXPECT_THAT(args.unused(), ElementsAre("extra", "named"));
}

TEST(Args, ProxiesAreNotDeclaredAndNotInTheHistory) {
    Args args({{"HTTP_PROXY", "p"}}, {});
    Args stage = args.new_stage();
    EXPECT_THAT(stage.of_stage({}), ElementsAre("HTTP_PROXY=p"));
    EXPECT_FALSE(stage.is_in_history("HTTP_PROXY"));
    EXPECT_TRUE(stage.is_in_history("other"));
    stage.declare(arg("HTTP_PROXY"));
    EXPECT_TRUE(stage.is_in_history("HTTP_PROXY"));
    EXPECT_THAT(args.unused(), ElementsAre());
}

}  // namespace
}  // namespace dockerd::build

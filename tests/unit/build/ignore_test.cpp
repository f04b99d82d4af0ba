#include <dockerd/build/ignore.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

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

// The rules that moby/patternmatcher's own cases show, each with names of our own.
TEST(Ignore, StarsAndClasses) {
    struct Case {
        const char* pattern;
        const char* path;
        bool matches;
    };
    for (const Case& one : std::initializer_list<Case>{
             // Two stars are any depth, none included.
             {"**/", "x", true},
             {"**/**", "d/x", true},
             {"**x", "d/e/x", true},
             {"**/e/*", "d/e/x", true},
             {"**/e/**", "d/e/f/x", true},
             {"**/x*", "d/e/x.o", true},
             {"**/x*o", "d/e/x.o", true},
             {"**/**/*.o", "x.o", true},
             {"**/**/*.oo", "d/x.o", false},
             {"d**/*.o", "d/e/f/x.o", true},
             {"d/**", "d", false},
             {"d/*.o**", "d/x.o", true},
             {"**/.x", "y.x", false},
             {"**/e/x", "d/e/x", true},
             // One is a name, or a part of it.
             {"d/*.o", "d/e/x.o", false},
             {".*", ".x", true},
             {".*", "x", false},
             {"x?z", "xyz", true},
             {"x?z", "xz", false},
             {"x?z", "x/z", false},
             // Classes.
             {"x[a-c]z", "xbz", true},
             {"x[a-c]z", "xz", false},
             {"x[a-c]z", "xxz", false},
             {"x[^a-c]z", "xyz", true},
             {"x[^a-c]z", "xaz", false},
             // What means something in regular expressions only means itself.
             {"a.b", "aXb", false},
             {"a(b)c", "a(b)c", true},
             {"a.|)$(}+{", "a.|)$(}+{", true},
             {"d/n-1.0+g1.whl", "d/n-1.0+g1.whl", true},
             {"d/*.whl", "d/n-1.0+g1.whl", true},
             {"a\\\\", "a\\", true},
             {"a\\*b", "a*b", true},
             {"a\\*b", "axb", false},
         }) {
        EXPECT_EQ(ignored({one.pattern}, one.path), one.matches) << one.pattern << " " << one.path;
    }
    EXPECT_FALSE(ignored({"**", "!d/e"}, "d/e/x"));
    EXPECT_TRUE(ignored({"**", "!d/e", "d/e/x"}, "d/e/x"));
    EXPECT_FALSE(ignored({"**", "!d/*.whl"}, "d/n-1.0+g1.whl"));
}

// Patterns are no programs: neither many stars nor many lines take long.
TEST(Ignore, PathologicalPatterns) {
    std::string stars;
    for (int i = 0; i < 200; ++i) stars += "*a";
    EXPECT_FALSE(ignored({stars + "b"}, std::string(2000, 'a')));
    std::string deep = "a";
    for (int i = 0; i < 500; ++i) deep += "/a";
    EXPECT_FALSE(ignored({"**/**/**/**/**/**/**/**/b"}, deep));
    EXPECT_FALSE(ignored(std::vector<std::string>(200, "**/b*"), deep));
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

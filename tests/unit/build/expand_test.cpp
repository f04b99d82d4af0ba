#include <dockerd/build/expand.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::build {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<std::string> environment{"a=first", "name=some.tar.gz", "empty=", "two=x y",
                                           "a=last",  "path=/usr/lib/x",  "uml=gr\xC3\xB6\xC3\x9F" "e"};

std::string error_of(const std::string& word) {
    try {
        (void)expand_word(word, environment);
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Expand, AllForms) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"$a", "last"},
        {"${a}b", "lastb"},
        {"$none|", "|"},
        {"\\$a", "$a"},
        {"'$a'", "$a"},
        {"\"$a'\"", "last'"},
        {"\"\\$a \\x\"", "$a \\x"},
        {"${none-d}", "d"},
        {"${empty-d}", ""},
        {"${empty:-d}", "d"},
        {"${a+s}", "s"},
        {"${empty:+s}", ""},
        {"${none:-${a}}", "last"},
        {"${a?x}", "last"},
        {"${name#*.}", "tar.gz"},
        {"${name##*.}", "gz"},
        {"${name%.*}", "some.tar"},
        {"${name%%.*}", "some"},
        {"${path/usr/opt}", "/opt/lib/x"},
        {"${path//\\//_}", "_usr_lib_x"},
        {"${path//\\//\\1}", "\\1usr\\1lib\\1x"},
        {"${uml%?e}", "gr\xC3\xB6"},
        {"${uml#gr?}", "\xC3\x9F" "e"},
        {"$$", ""},
        {"a$", "a$"},
        {"<<x", "<<x"},
    };
    for (const auto& [word, expected] : cases) {
        EXPECT_EQ(expand_word(word, environment), expected) << word;
    }
    EXPECT_EQ(expand_word("`$a\\b", environment, '`'), "$a\\b");
}

TEST(Expand, Errors) {
    const auto expect = [](const std::string& word, const std::string& text) {
        EXPECT_EQ(error_of(word), "failed to process \"" + word + "\": " + text);
    };
    expect("${a", "unsupported modifier (\xEF\xBF\xBD) in substitution");
    expect("${a:", "syntax error: missing '}'");
    expect("${a:-b", "syntax error: missing '}'");
    expect("${}", "syntax error: bad substitution");
    expect("${none?}", "none: is not allowed to be unset");
    expect("${empty:?}", "empty: is not allowed to be empty");
    expect("${none:?needed}", "none: needed");
    expect("${a/b}", "syntax error: missing '/' in ${}");
    expect("'a", "unexpected end of statement while looking for matching single-quote");
}

TEST(Expand, NestingIsBounded) {
    std::string word = "x";
    for (int i = 0; i < 20000; ++i) word = "${n-" + word;
    EXPECT_NE(error_of(word), "no error");
}

TEST(Expand, WhatVariablesMakeIsBounded) {
    const std::vector<std::string> environment{"a=" + std::string(600'000, 'x')};
    EXPECT_EQ(expand_word("$a", environment, '\\').size(), 600'000U);
    EXPECT_THROW((void)expand_word("$a$a", environment, '\\'), base::Error);
    EXPECT_THROW((void)expand_word("${a//x/" + std::string(1000, 'y') + "}", environment, '\\'),
                 base::Error);
}

TEST(Expand, WordsAreSplitAfterwards) {
    EXPECT_THAT(expand_words("$two 8${none}0", environment), ElementsAre("x", "y", "80"));
    EXPECT_THAT(expand_words("\"$two\" '' z\\ z", environment), ElementsAre("x y", "z z"));
    EXPECT_THAT(expand_words("$none", environment), IsEmpty());
}

TEST(Expand, TextsKeepQuotes) {
    EXPECT_EQ(expand_text("it's \"$a\"\n\\$a\n", environment), "it's \"last\"\n$a\n");
}

TEST(Expand, SplittingLeavesVariables) {
    EXPECT_THAT(split_words("a \"b $c\" ${d:?x} << E", {.keep_quotes = true}),
                ElementsAre("a", "\"b $c\"", "${d:?x}", "<< E"));
}

}  // namespace
}  // namespace dockerd::build

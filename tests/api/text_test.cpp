#include <gtest/gtest.h>

#include "api/codec/text.hpp"

namespace dockerd::api::codec {
namespace {

std::string quoted(std::string_view text, Text::Escape escape = Text::Escape::plain) {
    Text out(escape);
    out.string(text);
    return out.take();
}

TEST(Text, EscapesControlCharactersAsGoDoes) {
    EXPECT_EQ(quoted("a\"b\\c\b\f\n\r\t\x01\x1f\x7f"),
              "\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
}

TEST(Text, LeavesHtmlAloneUnlessAsked) {
    EXPECT_EQ(quoted("<a&b>"), "\"<a&b>\"");
    EXPECT_EQ(quoted("<a&b>", Text::Escape::html), "\"\\u003ca\\u0026b\\u003e\"");
}

TEST(Text, EscapesLineSeparators) {
    EXPECT_EQ(quoted("\xE2\x80\xA8|\xE2\x80\xA9|\xE2\x80\xAA"),
              "\"\\u2028|\\u2029|\xE2\x80\xAA\"");
}

TEST(Text, ReplacesEachByteThatIsNotUtf8) {
    EXPECT_EQ(quoted("\xC3\xA4\xF0\x9F\x90\xB3"), "\"\xC3\xA4\xF0\x9F\x90\xB3\"");
    EXPECT_EQ(quoted("\xFF\xC3z"), "\"\\ufffd\\ufffdz\"");
    EXPECT_EQ(quoted("\xED\xA0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
    EXPECT_EQ(quoted("\xC0\x80"), "\"\\ufffd\\ufffd\"");
    EXPECT_EQ(quoted("\xE2\x82"), "\"\\ufffd\\ufffd\"");
}

TEST(Text, WritesNullOnlyForWhatWasNotGiven) {
    Text out;
    model::Strings given;
    given.given = true;
    Object{out}("a", model::Strings{})("b", given)("c", model::StringMap{})(
        "d", std::optional<std::int64_t>{})("e", std::vector<std::string>{});
    EXPECT_EQ(out.take(), R"({"a":null,"b":[],"c":null,"d":null,"e":[]})");
}

TEST(Text, OmitsEmptyFields) {
    Text out;
    Object{out}.some("a", std::string{}).some("b", 0).some("c", false).some("d", 1);
    EXPECT_EQ(out.take(), R"({"d":1})");
}

TEST(Text, WritesTheLargestNumbers) {
    Text out;
    Object{out}("a", std::numeric_limits<std::int64_t>::min())(
        "b", std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(out.take(), R"({"a":-9223372036854775808,"b":18446744073709551615})");
}

}  // namespace
}  // namespace dockerd::api::codec

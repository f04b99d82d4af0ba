#include <gtest/gtest.h>

#include "logging/bodies.hpp"

namespace dockerd::logging {
namespace {

TEST(CompactJson, IsTheTextWithoutWhatStandsBetween) {
    EXPECT_EQ(compact_json(" {\"a b\" : [1.50,\t1e3 ],\n\"c\\\" \" : \"\\\\\" , \"d\" : 1 } "),
              R"({"a b":[1.50,1e3],"c\" ":"\\","d":1})");
    EXPECT_EQ(compact_json("12345678901234567890123"), "12345678901234567890123");
    EXPECT_EQ(compact_json("\" \""), "\" \"");
}

TEST(CompactJson, IsNothingForWhatIsNoJson) {
    for (const char* text : {"", "  ", "text", "{", "{} {}", "{'a':1}", "[1,]", "\"\xff\""}) {
        EXPECT_EQ(compact_json(text), "") << text;
    }
}

}  // namespace
}  // namespace dockerd::logging

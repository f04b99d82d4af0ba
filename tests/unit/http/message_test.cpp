#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::http {
namespace {

TEST(Form, DecodesNamesAndValues) {
    const Form form = parse_form("a=1&b=x%20y+z&a=2&c&=d&&e=%2F");
    const Form expected{{"a", "1"}, {"b", "x y z"}, {"a", "2"}, {"c", ""}, {"", "d"}, {"e", "/"}};
    EXPECT_EQ(form, expected);
}

TEST(Form, RefusesBadEscapes) {
    try {
        (void)parse_form("a=%zz");
        FAIL();
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        EXPECT_STREQ(error.what(), "invalid URL escape \"%zz\"");
    }
    EXPECT_THROW((void)parse_form("a=%1"), base::Error);
}

TEST(RequestForm, PutsTheBodyBeforeTheQuery) {
    Request request;
    request.method = Method::post;
    request.query = "a=query&b=2";
    request.body = "a=body";
    request.headers.add("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    EXPECT_EQ(request.params("a"), (std::vector<std::string>{"body", "query"}));
    EXPECT_EQ(request.param("a"), "body");
    EXPECT_EQ(request.param("b", "x"), "2");
    EXPECT_EQ(request.param("c", "x"), "x");
}

TEST(RequestForm, LeavesOtherBodiesAlone) {
    Request request;
    request.method = Method::post;
    request.body = "a=body";
    request.headers.add("Content-Type", "application/json");
    EXPECT_FALSE(request.has_param("a"));
}

TEST(Headers, CompareWithoutCase) {
    Headers headers{{"Connection", "keep-alive, Upgrade"}, {"X", "1"}};
    EXPECT_TRUE(headers.has_token("connection", "upgrade"));
    EXPECT_FALSE(headers.has_token("connection", "up"));
    headers.set("x", "2");
    EXPECT_EQ(headers.get("X"), "2");
    EXPECT_EQ(headers.all().size(), 2u);
}

}  // namespace
}  // namespace dockerd::http

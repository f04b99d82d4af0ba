#include "api/params.hpp"

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::api {
namespace {

using http::Request;

Request with_query(std::string query) {
    Request request;
    request.query = std::move(query);
    return request;
}

template <typename Function>
std::string failure(base::ErrorKind kind, Function run) {
    try {
        run();
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), kind);
        return error.what();
    }
    return "nothing was thrown";
}

TEST(BoolParam, IsFalseForDockersFalseWords) {
    for (const char* text : {"", "0", "no", "FALSE", "none", "%20false%20"}) {
        EXPECT_FALSE(bool_param(with_query("x=" + std::string(text)), "x")) << text;
    }
    for (const char* text : {"1", "true", "yes", "off", "x"}) {
        EXPECT_TRUE(bool_param(with_query("x=" + std::string(text)), "x")) << text;
    }
    EXPECT_FALSE(bool_param(with_query(""), "x"));
    EXPECT_TRUE(bool_param_or(with_query(""), "x", true));
    EXPECT_FALSE(bool_param_or(with_query("x="), "x", true));
}

TEST(IntParam, SpeaksGo) {
    EXPECT_EQ(int_param(with_query("limit=-12"), "limit", 3), -12);
    EXPECT_EQ(int_param(with_query("limit=%2B12"), "limit", 3), 12);
    EXPECT_EQ(int_param(with_query("limit="), "limit", 3), 3);
    const auto text = [](std::string query, std::string_view function) {
        return failure(base::ErrorKind::internal, [&] {
            (void)int_param(with_query(std::move(query)), "limit", 0, function);
        });
    };
    EXPECT_EQ(text("limit=x", "Atoi"), "strconv.Atoi: parsing \"x\": invalid syntax");
    EXPECT_EQ(text("limit=1.5", "ParseInt"), "strconv.ParseInt: parsing \"1.5\": invalid syntax");
    EXPECT_EQ(text("limit=99999999999999999999", "Atoi"),
              "strconv.Atoi: parsing \"99999999999999999999\": value out of range");
    EXPECT_EQ(int_param_or_zero(with_query("limit=x"), "limit"), 0);
}

TEST(Uint32Param, TellsSyntaxFromRange) {
    EXPECT_EQ(uint32_param(with_query("h=40"), "h", "invalid resize height"), 40u);
    const auto text = [](std::string query) {
        return failure(base::ErrorKind::invalid_argument, [&] {
            (void)uint32_param(with_query(std::move(query)), "h", "invalid resize height");
        });
    };
    EXPECT_EQ(text(""), "invalid resize height \"\": invalid syntax");
    EXPECT_EQ(text("h=x"), "invalid resize height \"x\": invalid syntax");
    EXPECT_EQ(text("h=%2B1"), "invalid resize height \"+1\": invalid syntax");
    EXPECT_EQ(text("h=-1"), "invalid resize height \"-1\": value out of range");
    EXPECT_EQ(text("h=4294967296"), "invalid resize height \"4294967296\": value out of range");
}

std::string json_fault(const char* type, std::int64_t length) {
    Request request;
    request.content_length = length;
    if (type) request.headers.add("Content-Type", type);
    return failure(base::ErrorKind::invalid_argument, [&] { check_json(request); });
}

TEST(CheckJson, AcceptsJsonAndNothing) {
    EXPECT_EQ(json_fault(nullptr, 0), "nothing was thrown");
    EXPECT_EQ(json_fault("application/json", 5), "nothing was thrown");
    EXPECT_EQ(json_fault("Application/JSON; charset=\"utf-8\"", 5), "nothing was thrown");
}

TEST(CheckJson, RefusesTheRestInDockersWords) {
    EXPECT_EQ(json_fault("text/plain", 5),
              "unsupported Content-Type header (text/plain): must be 'application/json'");
    EXPECT_EQ(json_fault("text/plain", 0),
              "unsupported Content-Type header (text/plain): must be 'application/json'");
    EXPECT_EQ(json_fault(nullptr, 5), "malformed Content-Type header (): mime: no media type");
    EXPECT_EQ(json_fault(nullptr, -1), "malformed Content-Type header (): mime: no media type");
    EXPECT_EQ(json_fault("application/json x", 5),
              "malformed Content-Type header (application/json x): mime: unexpected content after "
              "media type");
    EXPECT_EQ(json_fault("application/", 5),
              "malformed Content-Type header (application/): mime: expected token after slash");
    EXPECT_EQ(json_fault("application/json; charset", 5),
              "malformed Content-Type header (application/json; charset): mime: invalid media "
              "parameter");
}

TEST(FiltersParam, ReadsBothEncodings) {
    EXPECT_TRUE(filters_param(with_query("filters={\"label\":{\"a=b\":true}}")).contains("label"));
    EXPECT_TRUE(filters_param(with_query("filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D"))
                    .match_labels("label", {{"a", "b"}}));
    EXPECT_TRUE(filters_param(with_query("filters=")).empty());
    EXPECT_EQ(failure(base::ErrorKind::invalid_argument,
                      [] { (void)filters_param(with_query("filters=x")); }),
              "invalid filter");
}

}  // namespace
}  // namespace dockerd::api

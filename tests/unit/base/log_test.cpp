#include <dockerd/base/log.hpp>

#include <gtest/gtest.h>

#include <functional>

namespace dockerd::base::log {
namespace {

/// What `body` logs in a form, without the time.
std::string logged(Format format, const std::function<void()>& body) {
    configure(Level::info, format);
    testing::internal::CaptureStderr();
    body();
    std::string text = testing::internal::GetCapturedStderr();
    configure(Level::info, Format::text);
    const std::string begin = format == Format::json ? "\"time\":\"" : "time=\"";
    const auto at = text.find(begin);
    if (at == std::string::npos) return text;
    return text.erase(at, text.find('"', at + begin.size()) - at + 1);
}

TEST(Log, HasLogrusTextForm) {
    EXPECT_EQ(logged(Format::text, [] { info("two words"); }), " level=info msg=\"two words\"\n");
    EXPECT_EQ(logged(Format::text,
                     [] { write(Level::warn, "word", {{"z", "a/b"}, {"a", "x=1"}, {"e", ""}}); }),
              " level=warning msg=word a=\"x=1\" e= z=a/b\n");
    EXPECT_EQ(logged(Format::text, [] { debug("nothing"); }), "");
}

TEST(Log, HasLogrusJsonForm) {
    EXPECT_EQ(logged(Format::json,
                     [] { write(Level::error, "a \"b\"\x01\xff", {{"module", "api"}, {"a", "1"}}); }),
              "{\"a\":\"1\",\"level\":\"error\",\"module\":\"api\","
              "\"msg\":\"a \\\"b\\\"\\u0001\xEF\xBF\xBD\",}\n");
}

}  // namespace
}  // namespace dockerd::base::log

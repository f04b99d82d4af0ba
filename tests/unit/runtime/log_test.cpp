#include "runtime/monitor/log.hpp"
#include "runtime/monitor/detach.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace dockerd::runtime::monitor {
namespace {

namespace fs = std::filesystem;

std::string json(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

TEST(JsonString, EscapesAsGoDoes) {
    EXPECT_EQ(json("plain"), "\"plain\"");
    EXPECT_EQ(json("a\"b\\c"), "\"a\\\"b\\\\c\"");
    EXPECT_EQ(json("<&>"), "\"\\u003c\\u0026\\u003e\"");
    EXPECT_EQ(json("\n\r\t\x1b"), "\"\\n\\r\\u0009\\u001b\"");
    EXPECT_EQ(json("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
    EXPECT_EQ(json("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"");
    EXPECT_EQ(json("\xff"
                   "a\xc3"),
              "\"\\ufffda\\ufffd\"");
    EXPECT_EQ(json("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");  // a surrogate
    EXPECT_EQ(json("\xe2\x80\xa8\xe2\x80\xa9"), "\"\\u2028\\u2029\"");
    EXPECT_EQ(json(std::string_view("\0", 1)), "\"\\u0000\"");
    // Wherever it stands in a longer text.
    for (std::size_t at = 0; at < 40; ++at) {
        const std::string before(at, 'x');
        const std::string after(40 - at, 'y');
        EXPECT_EQ(json(before + "<" + after), "\"" + before + "\\u003c" + after + "\"");
        EXPECT_EQ(json(before + "\xc3\xbc" + after), "\"" + before + "\xc3\xbc" + after + "\"");
        EXPECT_EQ(json(before + "\xff" + after), "\"" + before + "\\ufffd" + after + "\"");
    }
    EXPECT_EQ(json("\x7f"), "\"\x7f\"");
}

TEST(LogTime, IsRfc3339WithoutTrailingZeros) {
    const auto text = [](std::int64_t seconds, long nanoseconds) {
        std::string out;
        append_time(out, {seconds, nanoseconds});
        return out;
    };
    EXPECT_EQ(text(0, 0), "1970-01-01T00:00:00Z");
    EXPECT_EQ(text(951'782'400, 120'000'000), "2000-02-29T00:00:00.12Z");
    EXPECT_EQ(text(1'735'689'599, 1), "2024-12-31T23:59:59.000000001Z");
}

class LogFiles : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/dockerd-log-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir = name;
        target.kind = LogKind::json_file;
        target.path = (dir / "x-json.log").string();
    }
    void TearDown() override { fs::remove_all(dir); }
    static std::string read(const fs::path& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    fs::path dir;
    LogTarget target;
    timespec at{0, 0};
};

TEST_F(LogFiles, LinesMayComeInPieces) {
    target.attributes_json = R"({"k":"v"})";
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    log.add(1, "one\ntw", at);
    log.add(2, "err\n", at);
    log.add(1, "o\n\nend", at);
    log.end(1, at);
    EXPECT_EQ(read(target.path),
              "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"attrs\":{\"k\":\"v\"},\"time\":\"1970-"
              "01-01T00:00:00Z\"}\n"
              "{\"log\":\"err\\n\",\"stream\":\"stderr\",\"attrs\":{\"k\":\"v\"},\"time\":\"1970-"
              "01-01T00:00:00Z\"}\n"
              "{\"log\":\"two\\n\",\"stream\":\"stdout\",\"attrs\":{\"k\":\"v\"},\"time\":\"1970-"
              "01-01T00:00:00Z\"}\n"
              "{\"log\":\"\\n\",\"stream\":\"stdout\",\"attrs\":{\"k\":\"v\"},\"time\":\"1970-01-"
              "01T00:00:00.000000001Z\"}\n"
              "{\"log\":\"end\",\"stream\":\"stdout\",\"attrs\":{\"k\":\"v\"},\"time\":\"1970-01-"
              "01T00:00:00Z\"}\n");
}

TEST_F(LogFiles, LongLineIsCutAt16KiBWithTheTimeOfItsStart) {
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    const std::string half(10'000, 'x');
    log.add(1, half, {1, 0});
    log.add(1, half, {2, 0});
    log.add(1, "end\n", {3, 0});
    const std::string tail = ",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:02Z\"}\n";
    EXPECT_EQ(read(target.path), "{\"log\":\"" + std::string(16384, 'x') + "\"" + tail +
                                     "{\"log\":\"" + std::string(20'000 - 16384, 'x') + "end\\n\"" +
                                     tail);
}

TEST_F(LogFiles, RotatesBetweenEntriesAndKeepsSoMany) {
    target.max_size = 200;
    target.max_files = 3;
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    // Entries of 61 bytes: the limit is reached with the fourth, so four go into each file.
    for (int i = 0; i < 12; ++i) log.add(1, std::string(1, static_cast<char>('a' + i)) + "\n", at);
    EXPECT_EQ(read(target.path).substr(0, 10), "{\"log\":\"i\\");
    EXPECT_EQ(read(target.path + ".1").substr(0, 10), "{\"log\":\"e\\");
    EXPECT_EQ(read(target.path + ".2").substr(0, 10), "{\"log\":\"a\\");
    EXPECT_FALSE(fs::exists(target.path + ".3"));
}

std::string unpack(const fs::path& path) {
    std::string out(1 << 20, '\0');
    gzFile file = ::gzopen(path.c_str(), "rb");
    const int size = ::gzread(file, out.data(), static_cast<unsigned>(out.size()));
    ::gzclose(file);
    out.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return out;
}

TEST_F(LogFiles, RotatedFilesAreCompressed) {
    target.max_size = 100'000;
    target.max_files = 4;
    target.compress = true;
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    const auto fill = [&](char c) {
        for (int i = 0; i < 11; ++i) log.add(1, std::string(10'000, c) + "\n", at);
    };
    fill('a');
    fill('b');
    fill('c');
    while (log.busy()) std::this_thread::yield();
    EXPECT_FALSE(fs::exists(target.path + ".1"));
    EXPECT_EQ(unpack(target.path + ".2.gz").substr(0, 12), "{\"log\":\"aaaa");
    EXPECT_EQ(unpack(target.path + ".1.gz").substr(0, 9), "{\"log\":\"b");
    EXPECT_EQ(read(target.path + ".1.gz").substr(0, 4), "\x1f\x8b\x08\x04");
    EXPECT_EQ(read(target.path + ".1.gz").substr(12, 15), "{\"lastTime\":\"20");
}

TEST_F(LogFiles, AFileThatWasNotCompressedIsKept) {
    target.max_size = 10;
    target.max_files = 4;
    target.compress = true;
    std::ofstream(target.path) << "newest of another life";
    std::ofstream(target.path + ".1") << "left uncompressed";
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    log.add(1, "a\n", at);
    while (log.busy()) std::this_thread::yield();
    EXPECT_EQ(read(target.path + ".2"), "left uncompressed");
    EXPECT_EQ(unpack(target.path + ".1.gz"), "newest of another life");
}

TEST_F(LogFiles, OneFileStartsAnew) {
    target.max_size = 10;
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    log.add(1, "a\nb\n", at);
    EXPECT_EQ(read(target.path).substr(0, 10), "{\"log\":\"b\\");
    EXPECT_FALSE(fs::exists(target.path + ".1"));
}

TEST_F(LogFiles, LocalEntriesAreProtobufBetweenLengths) {
    target.kind = LogKind::local;
    Log log(target);
    ASSERT_EQ(log.open(), 0);
    log.add(1, "hi\n", {0, 5});
    const std::string body("\x0a\x06stdout\x10\x05\x1a\x02hi", 14);
    EXPECT_EQ(read(target.path),
              std::string("\0\0\0\x0e", 4) + body + std::string("\0\0\0\x0e", 4));
}

TEST(DetachKeys, HoldsBackAndReleases) {
    DetachKeys keys("\x10\x11");
    std::string out;
    EXPECT_FALSE(keys.filter("ab\x10", out));
    EXPECT_EQ(out, "ab");
    EXPECT_FALSE(keys.filter("c", out));
    EXPECT_EQ(out,
              "ab\x10"
              "c");
    EXPECT_TRUE(keys.filter("d\x10\x11rest", out));
    EXPECT_EQ(out,
              "ab\x10"
              "cd");
    DetachKeys none("");
    out.clear();
    EXPECT_FALSE(none.filter("\x10\x11", out));
    EXPECT_EQ(out, "\x10\x11");
}

}  // namespace
}  // namespace dockerd::runtime::monitor

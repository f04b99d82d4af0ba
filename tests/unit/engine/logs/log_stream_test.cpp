#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/logs/logs.hpp"
#include "engine/logs/render.hpp"

namespace dockerd::engine::logs {
namespace {

namespace fs = std::filesystem;
using State = LogStream::State;

std::string frame(int stream, const std::string& text) {
    std::string out(8, '\0');
    out[0] = static_cast<char>(stream);
    for (int i = 0; i < 4; ++i) out[4 + i] = static_cast<char>(text.size() >> (24 - 8 * i));
    return out + text;
}

std::string line(const std::string& text, const std::string& time = "2025-03-01T10:00:00.5Z",
                 const std::string& stream = "stdout") {
    return R"({"log":")" + text + R"(","stream":")" + stream + R"(","time":")" + time + "\"}\n";
}

std::string at_second(int second) { return "2025-03-01T10:00:0" + std::to_string(second) + "Z"; }

class LogStreamTest : public testing::Test {
protected:
    LogStreamTest() {
        std::string name = (fs::temp_directory_path() / "logs-XXXXXX").string();
        directory_ = ::mkdtemp(name.data());
        source_.path = directory_ + "/x-json.log";
        source_.tty = true;
    }
    ~LogStreamTest() override { fs::remove_all(directory_); }

    void write(const std::string& bytes, const std::string& suffix = "") const {
        std::ofstream(source_.path + suffix, std::ios::binary | std::ios::app) << bytes;
    }
    void write_gzip(const std::string& bytes, const std::string& suffix) const {
        gzFile file = ::gzopen((source_.path + suffix).c_str(), "wb");
        ::gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
        ::gzclose(file);
    }
    std::unique_ptr<LogStream> open() { return open_log_stream(source_, options_, watcher_); }
    std::string all(std::size_t limit = 1 << 20) {
        const auto stream = open();
        std::string out;
        State state = State::data;
        while ((state = stream->read(out, limit)) == State::data) {
        }
        EXPECT_EQ(state, State::end);
        return out;
    }
    /// Reads until `size` bytes are there, waiting as the API does.
    static void read_to(LogStream& stream, std::string& out, std::size_t size) {
        while (out.size() < size) {
            const State state = stream.read(out, 1 << 16);
            if (state == State::end) return;
            if (state == State::data) continue;
            pollfd wanted{stream.wait_fd(), POLLIN, 0};
            ASSERT_EQ(::poll(&wanted, 1, 10'000), 1);
        }
    }

    std::string directory_;
    LogSource source_;
    LogOptions options_;
    Watcher watcher_;
};

TEST_F(LogStreamTest, FramesEachEntryByItsStream) {
    source_.tty = false;
    write(line("one\\n") + line("two\\n", "2025-03-01T10:00:00Z", "stderr") + line("part"));
    EXPECT_EQ(all(), frame(1, "one\n") + frame(2, "two\n") + frame(1, "part"));
    EXPECT_EQ(all(1), frame(1, "one\n") + frame(2, "two\n") + frame(1, "part"));
    options_.stdout_stream = false;
    EXPECT_EQ(all(), frame(2, "two\n"));
}

TEST_F(LogStreamTest, UnescapesWhatDockerEscapes) {
    write(line(
        R"(a\"b\\c\td\r\u001b[0m\u003c\u0026\u2028\ufffd\ud83d\ude80\u00e9 0123456789abcdef0123456789\n)"));
    EXPECT_EQ(all(),
              "a\"b\\c\td\r\x1b[0m<&\xe2\x80\xa8\xef\xbf\xbd\xf0\x9f\x9a\x80\xc3\xa9"
              " 0123456789abcdef0123456789\n");
}

TEST_F(LogStreamTest, ShowsTimesWithNineDigits) {
    options_.timestamps = true;
    write(line("a\\n") + line("b\\n", "2025-03-01T10:00:00Z") +
          line("c\\n", "2025-03-01T10:00:00.123456789Z") +
          line("d\\n", "2025-03-01T12:00:00.1+02:00"));
    EXPECT_EQ(all(),
              "2025-03-01T10:00:00.500000000Z a\n2025-03-01T10:00:00.000000000Z b\n"
              "2025-03-01T10:00:00.123456789Z c\n2025-03-01T10:00:00.100000000Z d\n");
}

TEST_F(LogStreamTest, ShowsDetailsSortedAndEscaped) {
    options_.details = true;
    options_.timestamps = true;
    write(
        R"({"log":"x\n","stream":"stdout","attrs":{"tag":"a b","env":"k=v,\u00e9"},"time":"2025-03-01T10:00:00Z"})"
        "\n" +
        line("y\\n"));
    EXPECT_EQ(all(),
              "2025-03-01T10:00:00.000000000Z env=k%3Dv%2C%C3%A9,tag=a+b x\n"
              "2025-03-01T10:00:00.500000000Z  y\n");
}

TEST_F(LogStreamTest, ReadsAttributesAlsoWhenItKnowsThem) {
    options_.details = true;
    const auto tagged = [](const std::string& text, const std::string& stream,
                           const std::string& tag) {
        return R"({"log":")" + text + R"(","stream":")" + stream + R"(","attrs":{"tag":")" + tag +
               R"("},"time":"2025-03-01T10:00:00Z"})"
               "\n";
    };
    write(tagged("a", "stdout", "x") + tagged("b", "stdout", "x") + tagged("c", "stderr", "x") +
          tagged("d", "stderr", "x") + tagged("e", "stdout", "y") + line("f") +
          tagged("g\\\"", "stdout", "y"));
    EXPECT_EQ(all(), "tag=x atag=x btag=x ctag=x dtag=y e ftag=y g\"");
}

TEST_F(LogStreamTest, TakesEntriesFromSinceToUntil) {
    for (int i = 0; i < 9; ++i) write(line(std::to_string(i), at_second(i)));
    options_.since = base::parse_rfc3339(at_second(3));
    options_.until = base::parse_rfc3339(at_second(5));
    EXPECT_EQ(all(), "345");
}

TEST_F(LogStreamTest, KeepsEarlierTimesBehindTheFirstLateOne) {
    write(line("a", at_second(1)) + line("b", at_second(5)) + line("c", at_second(2)));
    options_.since = base::parse_rfc3339(at_second(4));
    EXPECT_EQ(all(), "bc");
}

/// Entries of one second each from 2025-03-01T00:00:00Z on, of about `size` bytes.
std::string seconds(int from, int to, std::size_t size) {
    std::string out;
    for (int i = from; i < to; ++i) {
        char time[32];
        std::snprintf(time, sizeof time, "2025-03-01T%02d:%02d:%02dZ", i / 3600, i / 60 % 60,
                      i % 60);
        out += line(std::to_string(i) + " " + std::string(size, 'x') + "\\n", time);
    }
    return out;
}

TEST_F(LogStreamTest, FindsSinceInALargeFile) {
    write(seconds(0, 40'000, 100));  // 7 MB
    for (const int second : {0, 1, 999, 20'000, 39'990, 39'999}) {
        char time[32];
        std::snprintf(time, sizeof time, "2025-03-01T%02d:%02d:%02dZ", second / 3600,
                      second / 60 % 60, second % 60);
        options_.since = base::parse_rfc3339(time);
        const std::string text = all();
        EXPECT_EQ(text.substr(0, text.find(' ')), std::to_string(second));
        EXPECT_EQ(std::ranges::count(text, '\n'), 40'000 - second);
    }
    options_.since = base::parse_rfc3339("2025-03-02T00:00:00Z");
    EXPECT_EQ(all(), "");
}

TEST_F(LogStreamTest, FindsSinceBesideGarbageAndDisorder) {
    std::string text = seconds(0, 20'000, 100);
    // A gap nobody can read where the search looks first, and times that go back a little.
    text.replace(text.size() / 2 - 50'000, 100'000, std::string(100'000, '#'));
    write(text + line("late\\n", "2025-03-01T05:33:10Z") + seconds(20'000, 30'000, 100));
    options_.since = base::parse_rfc3339("2025-03-01T05:33:20Z");  // 20000
    EXPECT_EQ(all().substr(0, 6), "20000 ");
    options_.since = base::parse_rfc3339("2025-03-01T05:33:10Z");  // 19990
    EXPECT_EQ(all().substr(0, 6), "19990 ");
}

TEST_F(LogStreamTest, FindsSinceOverRotatedFiles) {
    source_.max_files = 4;
    write_gzip(seconds(0, 100, 10), ".3.gz");
    write(seconds(100, 10'000, 100), ".2");
    write(seconds(10'000, 20'000, 100), ".1");
    write(seconds(20'000, 20'010, 100));
    options_.since = base::parse_rfc3339("2025-03-01T04:00:00Z");  // 14400
    const std::string text = all();
    EXPECT_EQ(text.substr(0, 6), "14400 ");
    EXPECT_EQ(std::ranges::count(text, '\n'), 20'010 - 14'400);
    options_.since = base::parse_rfc3339("2025-03-01T00:00:50Z");
    EXPECT_EQ(std::ranges::count(all(), '\n'), 20'010 - 50);
}

TEST_F(LogStreamTest, EndsWhereItIsTold) {
    write(line("one\\n") + line("two\\n"));
    struct stat info {};
    ASSERT_EQ(::stat(source_.path.c_str(), &info), 0);
    source_.end = runtime::LogPosition{info.st_ino, info.st_size};
    write(line("three\\n"));
    EXPECT_EQ(all(), "one\ntwo\n");
    fs::rename(source_.path, source_.path + ".1");
    write(line("four\\n"));
    source_.max_files = 2;
    EXPECT_EQ(all(), "one\ntwo\n");
}

TEST_F(LogStreamTest, TailsOverRotatedAndCompressedFiles) {
    source_.max_files = 4;
    write_gzip(line("0") + line("1") + line("2"), ".3.gz");
    write_gzip(line("3") + line("4"), ".2.gz");
    write(line("5") + line("6"), ".1");
    write(line("7") + line("8"));
    const std::string everything = "012345678";
    EXPECT_EQ(all(), everything);
    for (std::size_t tail = 0; tail <= 10; ++tail) {
        options_.tail = static_cast<std::int64_t>(tail);
        EXPECT_EQ(all(), everything.substr(9 - std::min<std::size_t>(tail, 9))) << tail;
    }
    source_.max_files = 2;
    options_.tail = -1;
    EXPECT_EQ(all(), "5678");
}

TEST_F(LogStreamTest, TailsAcrossBlocks) {
    std::string wanted;
    std::string bytes;
    for (int i = 0; i < 20'000; ++i) {
        bytes += line("entry " + std::to_string(i) + "\\n");
        if (i >= 20'000 - 7000) wanted += "entry " + std::to_string(i) + "\n";
    }
    write(bytes);
    options_.tail = 7000;
    EXPECT_EQ(all(), wanted);
}

TEST_F(LogStreamTest, SkipsGarbageAndFindsTheGoodLinesBehindIt) {
    write("rubbish\n" + line("a") + "{\"log\":\"torn" + line("b") + std::string(5000, '\0') +
          line("c") + "{}\n[1]\n{\"log\":5}\n\n" + line("d") + line("bad \\x escape") + line("e"));
    EXPECT_EQ(all(), "abcde");
}

TEST_F(LogStreamTest, ReadsOtherFormsOfJson) {
    write(
        "{ \"time\" : \"2025-03-01T10:00:00Z\", \"n\": [1,{\"x\":\"}\"}], \"stream\":\"stdout\", "
        "\"log\":\"a\" }\n{\"stream\":\"stdout\",\"time\":\"2025-03-01T10:00:00Z\"}\n" +
        line("b"));
    EXPECT_EQ(all(), "ab");
}

TEST_F(LogStreamTest, PassesOverALineThatIsTooLong) {
    write(line("a") + line(std::string(9'000'000, 'x')) + line("b"));
    EXPECT_EQ(all(), "ab");
}

TEST_F(LogStreamTest, IsEmptyWithoutAFile) {
    EXPECT_EQ(all(), "");
    options_.follow = true;
    EXPECT_EQ(all(), "");
}

TEST_F(LogStreamTest, FollowsUntilTheRunIsFinished) {
    source_.run = std::make_shared<logs::Run>();
    options_.follow = true;
    write(line("a"));
    const auto stream = open();
    std::string out;
    read_to(*stream, out, 1);
    EXPECT_EQ(stream->read(out, 100), State::wait);
    std::jthread writer([&] {
        write(line("b"));
        write(line("c"));
        source_.run->finish();
    });
    read_to(*stream, out, 100);
    EXPECT_EQ(out, "abc");
    EXPECT_EQ(stream->read(out, 100), State::end);
}

TEST_F(LogStreamTest, FollowsFromAFileThatIsNotThereYet) {
    source_.run = std::make_shared<logs::Run>();
    options_.follow = true;
    const auto stream = open();
    std::string out;
    EXPECT_EQ(stream->read(out, 100), State::wait);
    write(line("a"));
    read_to(*stream, out, 1);
    EXPECT_EQ(out, "a");
}

TEST_F(LogStreamTest, WaitsForTheRestOfATornLine) {
    source_.run = std::make_shared<logs::Run>();
    options_.follow = true;
    options_.tail = 0;
    write(line("old") + "{\"log\":\"ne");
    const auto stream = open();
    std::string out;
    EXPECT_EQ(stream->read(out, 100), State::wait);
    write("w\",\"stream\":\"stdout\",\"time\":\"2025-03-01T10:00:00Z\"}\n");
    read_to(*stream, out, 3);
    EXPECT_EQ(out, "new");
}

TEST_F(LogStreamTest, FollowsARestartInPlace) {
    source_.run = std::make_shared<logs::Run>();
    options_.follow = true;
    write(line("aaaa") + line("bbbb"));
    const auto stream = open();
    std::string out;
    read_to(*stream, out, 8);
    fs::resize_file(source_.path, 0);
    write(line("c"));
    read_to(*stream, out, 9);
    EXPECT_EQ(out, "aaaabbbbc");
}

TEST_F(LogStreamTest, ForgetsATornLineThatItsWriterTookBack) {
    source_.run = std::make_shared<logs::Run>();
    options_.follow = true;
    write(line("a"));
    const auto size = fs::file_size(source_.path);
    write(R"({"log":"torn and taken back)");
    const auto stream = open();
    std::string out;
    read_to(*stream, out, 1);
    EXPECT_EQ(stream->read(out, 100), State::wait);
    fs::resize_file(source_.path, size);
    EXPECT_EQ(stream->read(out, 100), State::wait);
    write(line("b"));
    read_to(*stream, out, 2);
    EXPECT_EQ(out, "ab");
}

/// Writes numbered lines, rotating every few, as the log's writer does.
void write_rotating(const std::string& path, int max_files, bool compress, int count) {
    const auto rotated = [&](int index) { return path + "." + std::to_string(index); };
    const auto rename = [](const std::string& from, const std::string& to) {
        std::error_code missing;
        fs::rename(from, to, missing);
    };
    int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0640);
    for (int i = 0; i < count; ++i) {
        char time[64];
        std::snprintf(time, sizeof time, "2025-03-01T10:%02d:%02d.%06dZ", i / 60'000'000, 0, i + 1);
        const std::string entry = line(std::to_string(i) + "\\n", time);
        ASSERT_EQ(::write(fd, entry.data(), entry.size()), static_cast<ssize_t>(entry.size()));
        if (i % 50 != 49) continue;
        ::close(fd);
        const std::string extension = compress ? ".gz" : "";
        for (int n = max_files - 1; n > 1; --n)
            rename(rotated(n - 1) + extension, rotated(n) + extension);
        if (max_files == 1) fs::remove(path);
        if (max_files > 1) rename(path, rotated(1));
        fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0640);
        if (!compress) continue;
        std::ifstream old(rotated(1));
        const std::string bytes(std::istreambuf_iterator<char>(old), {});
        gzFile file = ::gzopen((rotated(1) + ".gz").c_str(), "wb1");
        ::gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
        ::gzclose(file);
        fs::remove(rotated(1));
    }
    ::close(fd);
}

void expect_all_numbers(const std::string& out, int count) {
    std::istringstream lines(out);
    std::string text;
    int expected = 0;
    while (std::getline(lines, text)) ASSERT_EQ(text, std::to_string(expected++));
    EXPECT_EQ(expected, count);
}

TEST_F(LogStreamTest, FollowsThroughRotationWithoutLossOrDouble) {
    for (const bool compress : {false, true}) {
        fs::remove_all(directory_);
        fs::create_directory(directory_);
        source_.run = std::make_shared<logs::Run>();
        source_.max_files = 400;
        options_.follow = true;
        const auto stream = open();
        std::string out;
        constexpr int count = 5000;
        std::jthread writer([&] {
            write_rotating(source_.path, source_.max_files, compress, count);
            source_.run->finish();
        });
        read_to(*stream, out, 1 << 30);
        expect_all_numbers(out, count);
    }
}

TEST_F(LogStreamTest, ReadsTheChainWhileItRotates) {
    source_.max_files = 400;
    std::atomic<bool> done = false;
    std::jthread writer([&] {
        write_rotating(source_.path, source_.max_files, /*compress=*/false, 3000);
        done = true;
    });
    while (!done) {
        const std::string out = all();
        expect_all_numbers(out, static_cast<int>(std::ranges::count(out, '\n')));
    }
    writer.join();
    expect_all_numbers(all(), 3000);
}

std::string local_record(const std::string& text, bool partial = false, bool last = false) {
    std::string message = "\x0a\x06stdout\x10\x80\xe4\x97\xd0\x12";  // time_nano: 5 s
    message += "\x1a" + std::string(1, static_cast<char>(text.size())) + text;
    if (partial)
        message += "\x20\x01\x2a" + std::string(last ? "\x02\x08\x01" : std::string(1, '\0'));
    std::string length(4, '\0');
    length[3] = static_cast<char>(message.size());
    return length + message + length;
}

TEST_F(LogStreamTest, ReadsTheLocalDriversRecords) {
    source_.format = Format::local;
    source_.max_files = 2;
    write_gzip(local_record("a") + local_record("b"), ".1.gz");
    write(local_record("c", true) + local_record("d", true, true) + local_record("e"));
    EXPECT_EQ(all(), "a\nb\ncd\ne\n");
    options_.tail = 2;
    EXPECT_EQ(all(), "d\ne\n");
    options_.tail = 4;
    EXPECT_EQ(all(), "b\ncd\ne\n");
    options_.timestamps = true;
    options_.tail = 1;
    EXPECT_EQ(all(), "1970-01-01T00:00:05.000000000Z e\n");
}

TEST_F(LogStreamTest, StopsALocalFileAtACorruptRecord) {
    source_.format = Format::local;
    source_.max_files = 2;
    write(local_record("a") + "\xff\xff\xff\xff" + local_record("b"), ".1");
    write(local_record("c") + std::string("\0\0\0\x20torn", 8));
    EXPECT_EQ(all(), "a\nc\n");
}

TEST(LogRender, EscapesAttributesAsInAQuery) {
    EXPECT_EQ(render_attributes(R"({"b":"2 ~","a":"x/y","n":7})"), "a=x%2Fy,b=2+~,n=7");
    EXPECT_EQ(render_attributes("{}"), "");
}

}  // namespace
}  // namespace dockerd::engine::logs

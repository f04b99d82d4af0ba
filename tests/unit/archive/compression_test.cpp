#include <dockerd/archive/compression.hpp>

#include <atomic>

#include <bzlib.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <zstd.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/undo.hpp>

namespace dockerd::archive {
namespace {

std::string text() {
    std::string out;
    for (int i = 0; i < 60'000; ++i) out += "line " + std::to_string(i * 7919 % 10'007) + "\n";
    return out;
}

std::string gzip(const std::string& in, GzipSink::Effort effort = GzipSink::Effort::fast) {
    std::string out;
    GzipSink sink([&](std::string_view bytes) { out += bytes; }, effort);
    sink.write(in);
    sink.finish();
    return out;
}

std::string zstd(const std::string& in) {
    std::string out(ZSTD_compressBound(in.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
    return out;
}

std::string xz(const std::string& in) {
    std::string out(lzma_stream_buffer_bound(in.size()), '\0');
    std::size_t at = 0;
    (void)lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr,
                                  reinterpret_cast<const std::uint8_t*>(in.data()), in.size(),
                                  reinterpret_cast<std::uint8_t*>(out.data()), &at, out.size());
    out.resize(at);
    return out;
}

std::string bzip2(std::string in) {
    auto size = static_cast<unsigned>(in.size() + in.size() / 50 + 1000);
    std::string out(size, '\0');
    (void)BZ2_bzBuffToBuffCompress(out.data(), &size, in.data(), static_cast<unsigned>(in.size()),
                                   9, 0, 0);
    out.resize(size);
    return out;
}

std::string unpack(std::string packed, std::size_t step) {
    auto at = std::make_shared<std::size_t>(0);
    auto bytes = std::make_shared<std::string>(std::move(packed));
    ByteSource trickle = [at, bytes, step](std::span<char> buffer) {
        const std::size_t n = std::min({step, buffer.size(), bytes->size() - *at});
        bytes->copy(buffer.data(), n, *at);
        *at += n;
        return n;
    };
    std::string out;
    (void)copy(decompress(trickle), [&](std::string_view part) { out += part; });
    return out;
}

TEST(Compression, UnpacksEveryFormatInPiecesOfAnySize) {
    const std::string plain = text();
    for (const std::string& packed : {gzip(plain), gzip(plain, GzipSink::Effort::normal),
                                      zstd(plain), xz(plain), bzip2(plain), plain}) {
        for (const std::size_t step : {1UL, 7UL, 4096UL, 1UL << 20U}) {
            EXPECT_EQ(unpack(packed, step), plain) << packed.size() << " by " << step;
        }
    }
}

TEST(Compression, ReadsSeveralPartsAsOne) {
    EXPECT_EQ(unpack(gzip("one ") + gzip("two"), 3), "one two");
    EXPECT_EQ(unpack(gzip("one ") + gzip("two") + std::string(1024, '\0'), 100), "one two");
    EXPECT_EQ(unpack(zstd("one ") + zstd("two"), 3), "one two");
    EXPECT_EQ(unpack(xz("one ") + xz("two"), 3), "one two");
    EXPECT_EQ(unpack(bzip2("one ") + bzip2("two"), 3), "one two");
}

TEST(Compression, ReportsCutAndBrokenStreams) {
    const std::string plain = text();
    for (const std::string& packed : {gzip(plain), zstd(plain), xz(plain), bzip2(plain)}) {
        try {
            (void)unpack(packed.substr(0, packed.size() - 20), 1000);
            ADD_FAILURE() << "accepted a cut stream";
        } catch (const base::Error& error) {
            EXPECT_STREQ(error.what(), "unexpected EOF");
        }
        std::string broken = packed;
        for (std::size_t i = broken.size() / 2; i < broken.size() / 2 + 50; ++i) broken[i] ^= 0x55;
        EXPECT_THROW((void)unpack(broken, 1000), base::Error);
    }
}

TEST(Compression, PassesShortAndEmptyStreamsThrough) {
    EXPECT_EQ(unpack("", 10), "");
    EXPECT_EQ(unpack("ab", 10), "ab");
}

TEST(CopyAhead, KeepsOrderAndForwardsErrorsOfBothSides) {
    std::string out;
    const auto collect = [&](std::string_view part) { out += part; };
    EXPECT_EQ(copy_ahead(memory_source(text()), collect, 1000, 3),
              static_cast<std::int64_t>(text().size()));
    EXPECT_EQ(out, text());
    out.clear();
    EXPECT_EQ(copy_ahead(memory_source({}), collect), 0);
    EXPECT_EQ(out, "");
    // What was read before the source failed still arrives.
    const ByteSource failing = [left = 2500](std::span<char> buffer) mutable {
        if (left == 0) base::fail(base::ErrorKind::unavailable, "gone");
        const std::size_t n = std::min<std::size_t>(buffer.size(), 500);
        std::fill_n(buffer.begin(), n, 'x');
        left -= static_cast<int>(n);
        return n;
    };
    EXPECT_THROW((void)copy_ahead(failing, collect, 1000, 3), base::Error);
    EXPECT_EQ(out, std::string(2000, 'x'));
    // The sink ends it in the middle: the helper must end.
    int parts = 0;
    const auto full = [&](std::string_view) {
        if (++parts == 2) base::fail(base::ErrorKind::unavailable, "full");
    };
    EXPECT_THROW((void)copy_ahead(memory_source(text()), full, 1000, 2), base::Error);
    EXPECT_EQ(parts, 2);
}

TEST(Produce, HandsOutWhatIsWrittenInOrder) {
    const std::string expected = text();
    const ByteSource source = produce(
        [&](const ByteSink& sink) {
            for (std::size_t at = 0; at < expected.size(); at += 777) {
                sink(std::string_view(expected).substr(at, 777));
            }
        },
        /*buffer_size=*/1000, /*depth=*/2);
    EXPECT_EQ(read_all(source, expected.size(), "text"), expected);
    char one = 0;
    EXPECT_EQ(source({&one, 1}), 0U);
}

TEST(Produce, ThrowsTheProducersErrorAfterWhatItWrote) {
    const ByteSource source = produce([](const ByteSink& sink) {
        sink("abc");
        base::fail(base::ErrorKind::internal, "gone wrong");
    });
    std::string buffer(10, '\0');
    try {
        (void)read_full(source, buffer);
        FAIL() << "no error";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "gone wrong");
    }
}

TEST(Produce, EndsAnEndlessProducerWithItsReader) {
    std::atomic<bool> unwound{false};
    {
        const ByteSource source = produce([&](const ByteSink& sink) {
            const base::Undo note([&]() noexcept { unwound = true; });
            for (;;) sink("x");
        });
        char one = 0;
        EXPECT_EQ(source({&one, 1}), 1U);
    }
    EXPECT_TRUE(unwound);
}

}  // namespace
}  // namespace dockerd::archive

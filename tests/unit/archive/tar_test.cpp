#include <dockerd/archive/tar.hpp>

#include <gtest/gtest.h>

#include <dockerd/archive/crc64.hpp>
#include <dockerd/base/error.hpp>

namespace dockerd::archive {
namespace {

std::string write_tar(const std::vector<std::pair<TarEntry, std::string>>& members) {
    std::string out;
    TarWriter writer([&](std::string_view bytes) { out += bytes; });
    for (const auto& [entry, data] : members) writer.add(entry, data);
    writer.finish();
    return out;
}

TarEntry file_entry(const std::string& name, std::size_t size) {
    TarEntry entry;
    entry.name = name;
    entry.mode = 0644;
    entry.size = static_cast<std::int64_t>(size);
    entry.mtime = base::WallTime(1'700'000'000, 0);
    return entry;
}

std::string data_of(TarReader& reader) {
    std::string out;
    for (std::string_view part = reader.read_view(); !part.empty(); part = reader.read_view()) {
        out += part;
    }
    return out;
}

/// One raw header block with a valid checksum.
std::string raw_header(const std::string& name, char type, std::uint64_t size,
                       const std::string& magic = std::string("ustar\0"
                                                              "00",
                                                              8)) {
    std::string block(512, '\0');
    block.replace(0, name.size(), name);
    block.replace(100, 7, "0000644");
    block.replace(108, 7, "0000000");
    block.replace(116, 7, "0000000");
    char text[16];
    std::snprintf(text, sizeof text, "%011llo", static_cast<unsigned long long>(size));
    block.replace(124, 11, text);
    block.replace(136, 11, "00000000000");
    block[156] = type;
    block.replace(257, magic.size(), magic);
    return block;
}

std::string with_checksum(std::string block) {
    block.replace(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    char text[16];
    std::snprintf(text, sizeof text, "%06o", sum);
    block.replace(148, 6, text, 6);
    block[154] = '\0';
    return block;
}

std::string padded(std::string data) {
    data.resize((data.size() + 511) / 512 * 512);
    return data;
}

void expect_error(const std::string& tar, const std::string& text) {
    try {
        TarReader reader(memory_source(tar));
        while (reader.next() != nullptr) (void)data_of(reader);
        FAIL() << "accepted: " << text;
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        EXPECT_EQ(error.what(), text);
    }
}

TEST(Tar, ReadsBackWhatItWrites) {
    const std::string long_name = std::string(150, 'n') + "/" + std::string(120, 'm');
    TarEntry plain = file_entry("a/b", 5);
    plain.xattrs["security.capability"] = std::string("\x01\0\x02\n=", 5);
    plain.mtime = base::WallTime(1'700'000'000, 123'456'789);
    TarEntry large_owner = file_entry(long_name, 0);
    large_owner.uid = 3'000'000'000;
    TarReader reader(memory_source(write_tar({{plain, "hello"}, {large_owner, ""}})));

    const TarEntry* entry = reader.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->name, "a/b");
    EXPECT_EQ(entry->xattrs.at("security.capability"), std::string("\x01\0\x02\n=", 5));
    EXPECT_EQ(entry->mtime, base::WallTime(1'700'000'000, 123'456'789));
    EXPECT_EQ(data_of(reader), "hello");
    entry = reader.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->name, long_name);
    EXPECT_EQ(entry->uid, 3'000'000'000);
    EXPECT_EQ(reader.next(), nullptr);
}

TEST(Tar, ReadsGnuLongNamesAndBase256Sizes) {
    const std::string name(200, 'x');
    std::string tar = with_checksum(
        raw_header("././@LongLink", 'L', name.size() + 1, std::string("ustar  \0", 8)));
    tar += padded(name + '\0');
    std::string header = raw_header("short", '0', 0, std::string("ustar  \0", 8));
    header.replace(124, 12, std::string("\x80\0\0\0\0\0\0\0\0\0\0\x03", 12));
    tar += with_checksum(header) + padded("abc") + std::string(1024, '\0');
    TarReader reader(memory_source(tar));
    const TarEntry* entry = reader.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->name, name);
    EXPECT_EQ(data_of(reader), "abc");
    EXPECT_EQ(reader.next(), nullptr);
}

TEST(Tar, ExpandsOldGnuSparseFiles) {
    std::string header = raw_header("sparse", 'S', 4, std::string("ustar  \0", 8));
    header.replace(386, 11, "00000000002");  // offset 2
    header.replace(398, 11, "00000000004");  // 4 bytes
    header.replace(483, 11, "00000000011");  // real size 9
    TarReader reader(
        memory_source(with_checksum(header) + padded("data") + std::string(1024, '\0')));
    const TarEntry* entry = reader.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->size, 9);
    EXPECT_EQ(data_of(reader), std::string("\0\0data\0\0\0", 9));
}

TEST(Tar, ExpandsPaxSparseFilesOfVersion1) {
    const std::string pax =
        "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
        "26 GNU.sparse.realsize=10\n24 GNU.sparse.name=real\n";
    std::string stored = padded("1\n6\n3\n") + "xyz";
    std::string tar = with_checksum(raw_header("PaxHeader", 'x', pax.size())) + padded(pax);
    tar += with_checksum(raw_header("fake", '0', stored.size())) + padded(stored);
    tar += std::string(1024, '\0');
    TarReader reader(memory_source(tar));
    const TarEntry* entry = reader.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->name, "real");
    EXPECT_EQ(data_of(reader), std::string("\0\0\0\0\0\0xyz\0", 10));
    EXPECT_EQ(reader.next(), nullptr);
}

TEST(Tar, RefusesWhatIsNoTar) {
    expect_error(std::string(512, 'x'), "archive/tar: invalid tar header");
    expect_error("short", "unexpected EOF");
    const std::string good = write_tar({{file_entry("f", 1000), std::string(1000, 'a')}});
    expect_error(good.substr(0, 700), "unexpected EOF");
    std::string wrong_sum = good;
    wrong_sum[0] = 'g';
    expect_error(wrong_sum, "archive/tar: invalid tar header");
    expect_error(std::string(512, '\0') + good.substr(0, 512), "archive/tar: invalid tar header");
}

TEST(Tar, RefusesPaxPathsWithNulAndOversizedRecords) {
    const std::string pax("12 path=a\0b\n", 12);
    std::string tar = with_checksum(raw_header("p", 'x', pax.size())) + padded(pax);
    expect_error(tar + with_checksum(raw_header("f", '0', 0)), "archive/tar: invalid tar header");
    expect_error(with_checksum(raw_header("p", 'x', 2 << 20)) + std::string(3 << 20, 'x'),
                 "archive/tar: header field too long");
    expect_error(with_checksum(raw_header("p", 'x', 512)) + std::string(512, '9'),
                 "archive/tar: invalid tar header");
}

TEST(Tar, ToleratesAMissingEndAndMissingPadding) {
    const std::string tar = with_checksum(raw_header("f", '0', 3)) + "abc";
    TarReader reader(memory_source(tar));
    ASSERT_NE(reader.next(), nullptr);
    EXPECT_EQ(data_of(reader), "abc");
    EXPECT_EQ(reader.next(), nullptr);
}

TEST(Tar, TapSeesEveryByteInOrder) {
    struct Tap : TarTap {
        std::string all;
        int begun = 0;
        int ended = 0;
        void raw(std::string_view bytes) override { all += bytes; }
        void begin(const TarEntry&) override { ++begun; }
        void data(std::string_view bytes) override { all += bytes; }
        void end(const TarEntry&) override { ++ended; }
    } tap;
    const std::string tar =
        write_tar({{file_entry("a", 700), std::string(700, 'a')}, {file_entry("b", 0), ""}}) +
        std::string(5000, '\0');
    TarReader reader(memory_source(tar), &tap);
    reader.drain();
    EXPECT_EQ(tap.all, tar);
    EXPECT_EQ(tap.begun, 2);
    EXPECT_EQ(tap.ended, 2);
}

/// A layer's tar-split is the same, whether its tar is read or written.
TEST(TarWriter, LetsATapHearWhatAReaderDoes) {
    struct Heard : TarTap {
        std::string all;
        void raw(std::string_view bytes) override { add("raw", bytes); }
        void begin(const TarEntry& entry) override { add("begin", entry.name + " " + std::to_string(entry.size)); }
        void data(std::string_view bytes) override { add("data", bytes); }
        void end(const TarEntry& entry) override { add("end", entry.name); }
        /// Pieces of one kind count as one.
        void add(const std::string& kind, std::string_view bytes) {
            if (kind != last) all += "\n" + kind + " ";
            last = kind;
            all += bytes;
        }
        std::string last;
    };
    TarEntry directory = file_entry(std::string(120, 'd') + "/", 0);
    directory.type_flag = '5';
    TarEntry link = file_entry("link", 0);
    link.type_flag = '1';
    link.link_name = "a";
    Heard written;
    std::string tar;
    TarWriter writer([&](std::string_view bytes) { tar += bytes; }, &written);
    writer.add(directory);
    writer.add(file_entry("a", 700), std::string(700, 'a'));
    writer.add(link);
    writer.add(file_entry("empty", 0));
    writer.begin(file_entry("short", 1500));  // filled up with zeros
    writer.data(std::string(600, 's'));
    writer.add(file_entry("whole", 512), std::string(512, 'w'));
    writer.finish();
    Heard read;
    TarReader reader(memory_source(tar), &read);
    reader.drain();
    EXPECT_EQ(written.all, read.all);
}

TEST(Tar, RecognisesTars) {
    EXPECT_TRUE(looks_like_tar(write_tar({{file_entry("a", 0), ""}})));
    EXPECT_TRUE(looks_like_tar(std::string(1024, '\0')));
    EXPECT_FALSE(looks_like_tar(std::string(600, '{')));
    EXPECT_FALSE(looks_like_tar("{}"));
}

TEST(Crc64, MatchesTheStandardCheckValue) {
    EXPECT_EQ(crc64_iso(0, "123456789"), 0xb90956c775a41001ULL);
    EXPECT_EQ(crc64_iso(crc64_iso(0, "1234"), "56789"), 0xb90956c775a41001ULL);
}

// Layers must come out with Docker's digest, so also what no reader looks at counts.
TEST(TarWriter, WritesExtensionHeadersAsGoDoes) {
    const auto first_block = [](const std::string& name) {
        std::string out;
        TarWriter writer([&](std::string_view bytes) { out += bytes; });
        TarEntry entry;
        entry.name = name;
        entry.gid = 3'000'000;
        writer.begin(entry);
        return out.substr(0, 512);
    };
    const std::string file = first_block("a/b");
    EXPECT_STREQ(file.c_str(), "a/PaxHeaders.0/b");
    EXPECT_EQ(file[156], 'x');
    EXPECT_EQ(file.substr(329, 16), std::string(16, '\0'));
    EXPECT_STREQ(first_block("a/b/").c_str(), "a/b/PaxHeaders.0");
    EXPECT_STREQ(first_block("a/\xc3\xa4").c_str(), "a/PaxHeaders.0");
    EXPECT_STREQ(first_block("c").c_str(), "PaxHeaders.0/c");
    const std::string deep = "t/" + std::string(120, 'l') + "/";
    EXPECT_EQ(first_block(deep).substr(0, 100), deep.substr(0, 100));
}

}  // namespace
}  // namespace dockerd::archive

#include "store/tar_split_reader.hpp"

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::store {
namespace {

using Type = TarSplitEntry::Type;

struct Read {
    Type type;
    std::string name;
    std::int64_t size;
    std::string payload;
    bool operator==(const Read&) const = default;
};

std::vector<Read> read(const std::string& lines) {
    TarSplitReader reader(archive::memory_source(lines));  // what is not packed passes through
    std::vector<Read> out;
    while (const TarSplitEntry* entry = reader.next()) {
        EXPECT_EQ(entry->payload_size(), static_cast<std::int64_t>(entry->payload_bytes().size()));
        out.push_back({entry->type, std::string(entry->name), entry->size, entry->payload_bytes()});
    }
    return out;
}

TEST(TarSplitReader, ReadsTheLinesOfGosEncoder) {
    EXPECT_EQ(read("{\"type\":2,\"payload\":\"aGVhZA==\",\"position\":0}\n"
                   "{\"type\":1,\"name\":\"./a b\",\"size\":12,\"payload\":\"YWJjZGVmZ2g=\",\"position\":1}\n"
                   "{\"type\":1,\"name\":\"d/\",\"payload\":null,\"position\":2}\n"
                   "{\"type\":2,\"payload\":\"\",\"position\":3}"),
              (std::vector<Read>{{Type::segment, "", 0, "head"},
                                 {Type::file, "./a b", 12, "abcdefgh"},
                                 {Type::file, "d/", 0, ""},
                                 {Type::segment, "", 0, ""}}));
}

TEST(TarSplitReader, ReadsWhatIsWrittenOtherwise) {
    EXPECT_EQ(read("{\"type\":1,\"name\":\"\\u003ca\\u003e\\\"\",\"payload\":null,\"position\":0}\n"
                   "{\"type\":1,\"name_raw\":\"/w==\",\"size\":1,\"payload\":\"YQ==\",\"position\":1}\n"
                   "\n"
                   "{ \"position\": 2, \"payload\": \"eA==\", \"type\": 2 }\n"
                   "{\"type\":7,\"payload\":null,\"position\":3,\"more\":[]}\n"),
              (std::vector<Read>{{Type::file, "<a>\"", 0, ""},
                                 {Type::file, "\xff", 1, "a"},
                                 {Type::segment, "", 0, "x"},
                                 {Type::other, "", 0, ""}}));
}

TEST(TarSplitReader, RefusesWhatIsNoEntry) {
    for (const char* line :
         {"{\"type\":2,\"payload\":\"aGVhZA==\",\"position\":0", "[]", "{\"type\":\"2\"}",
          "{\"type\":2,\"payload\":\"a!==\",\"position\":0}",
          "{\"type\":1,\"name\":\"x\",\"size\":99999999999999999999,\"payload\":\"\",\"position\":0}x"}) {
        EXPECT_THROW((void)read(line), base::Error) << line;
    }
}

TEST(TarSplitReader, KeepsALineThatIsLongerThanItsBuffer) {
    const std::string payload(400'000, 'A');
    const auto found = read("{\"type\":2,\"payload\":\"" + payload + "\",\"position\":0}\n");
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].payload, std::string(300'000, '\0'));
}

}  // namespace
}  // namespace dockerd::store

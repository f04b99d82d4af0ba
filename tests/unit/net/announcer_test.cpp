#include "net/announcer.hpp"

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::net {
namespace {

std::string hex(const std::vector<std::uint8_t>& bytes) {
    std::string out;
    for (const std::uint8_t byte : bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        out += digits[byte >> 4U];
        out += digits[byte & 0xfU];
    }
    return out;
}

const MacAddress mac = *MacAddress::parse("02:42:ac:11:00:02");

TEST(Announcer, FramesAreThoseOfTheStandards) {
    EXPECT_EQ(hex(arp_announcement(*IpAddress::parse("172.17.0.2"), mac)),
              "ffffffffffff0242ac1100020806000108000604"
              "00010242ac110002ac110002000000000000ac110002");
    // The checksum is of a sum done elsewhere.
    EXPECT_EQ(hex(neighbour_advertisement(*IpAddress::parse("fd00::2"), mac)),
              "3333000000010242ac11000286dd6000000000203afffd000000000000000000"
              "000000000002ff0200000000000000000000000000018800ae4420000000fd00"
              "000000000000000000000000000202010242ac110002");
}

std::string refusal(const std::string& option, const std::string& value) {
    try {
        (void)parse_announcing({{"com.docker.network." + option, value}});
    } catch (const base::Error& error) {
        return error.what();
    }
    return "taken";
}

TEST(Announcer, OptionsAreDockers) {
    model::StringMap options;
    EXPECT_EQ(parse_announcing(options).count, 3U);
    EXPECT_EQ(parse_announcing(options).interval, std::chrono::seconds(1));
    options["com.docker.network.advertise_addr_nmsgs"] = "0";
    options["com.docker.network.advertise_addr_ms"] = "100";
    EXPECT_EQ(parse_announcing(options).count, 0U);
    EXPECT_EQ(parse_announcing(options).interval, std::chrono::milliseconds(100));

    EXPECT_EQ(refusal("advertise_addr_nmsgs", "4"),
              "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3");
    EXPECT_EQ(refusal("advertise_addr_nmsgs", "-1"),
              "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3");
    EXPECT_EQ(refusal("advertise_addr_nmsgs", "nonsense"),
              "value for option com.docker.network.advertise_addr_nmsgs \"nonsense\" must be an "
              "integer");
    EXPECT_EQ(refusal("advertise_addr_ms", "99"),
              "com.docker.network.advertise_addr_ms must be in the range 100 to 2000");
    EXPECT_EQ(refusal("advertise_addr_ms", "1s"),
              "value for option com.docker.network.advertise_addr_ms \"1s\" must be integer "
              "milliseconds");
}

}  // namespace
}  // namespace dockerd::net

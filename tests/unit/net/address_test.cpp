#include <gtest/gtest.h>

#include <dockerd/net/address.hpp>

namespace dockerd::net {
namespace {

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
    EXPECT_EQ(IpAddress::parse("172.17.0.2")->str(), "172.17.0.2");
    EXPECT_EQ(IpAddress::parse("FD00:0::1")->str(), "fd00::1");
    EXPECT_EQ(IpAddress::parse("::ffff:1.2.3.4")->str(), "1.2.3.4");
    EXPECT_FALSE(IpAddress::parse("172.17.0"));
    EXPECT_FALSE(IpAddress::parse(""));
    EXPECT_FALSE(IpAddress::parse("fe80::1%eth0"));
    EXPECT_EQ(IpAddress().str(), "");
}

TEST(IpAddress, KnowsSpecialAddresses) {
    EXPECT_TRUE(IpAddress::parse("127.5.0.1")->is_loopback());
    EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
    EXPECT_FALSE(IpAddress::parse("1::1")->is_loopback());
    EXPECT_TRUE(IpAddress::parse("::")->is_unspecified());
    EXPECT_FALSE(IpAddress().is_unspecified());
}

TEST(IpAddress, PlusCarries) {
    EXPECT_EQ(IpAddress::parse("172.17.0.255")->plus(1).str(), "172.17.1.0");
    EXPECT_EQ(IpAddress::parse("fd00::ffff")->plus(2).str(), "fd00::1:1");
}

TEST(IpPrefix, MasksContainsAndOverlaps) {
    EXPECT_EQ(prefix("172.17.3.4/16").masked().str(), "172.17.0.0/16");
    EXPECT_EQ(prefix("172.20.0.0/14").last().str(), "172.23.255.255");
    EXPECT_TRUE(prefix("172.17.0.0/16").contains(*IpAddress::parse("172.17.255.1")));
    EXPECT_FALSE(prefix("172.17.0.0/16").contains(*IpAddress::parse("172.18.0.1")));
    EXPECT_TRUE(prefix("172.16.0.0/12").overlaps(prefix("172.17.0.0/16")));
    EXPECT_FALSE(prefix("10.0.0.0/8").overlaps(prefix("fd00::/8")));
    EXPECT_FALSE(IpPrefix::parse("10.0.0.0/33"));
    EXPECT_FALSE(IpPrefix::parse("10.0.0.0"));
    EXPECT_FALSE(IpPrefix::parse("10.0.0.0/-1"));
}

TEST(MacAddress, RoundTripsAndRandomIsLocalUnicast) {
    EXPECT_EQ(MacAddress::parse("02:42:AC:11:00:02")->str(), "02:42:ac:11:00:02");
    EXPECT_FALSE(MacAddress::parse("02:42:ac:11:00"));
    EXPECT_EQ(MacAddress::random().bytes[0] & 3, 2);
}

}  // namespace
}  // namespace dockerd::net

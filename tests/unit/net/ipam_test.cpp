#include "net/ipam.hpp"

#include <gtest/gtest.h>

#include <functional>

#include <dockerd/base/error.hpp>

namespace dockerd::net {
namespace {

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }

std::string message_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Ipam, GivesDockersPoolsInOrder) {
    Ipam ipam;
    EXPECT_EQ(ipam.take_any_subnet({}).str(), "172.17.0.0/16");
    EXPECT_EQ(ipam.take_any_subnet({}).str(), "172.18.0.0/16");
    EXPECT_EQ(ipam.take_any_subnet({prefix("172.19.5.0/24")}).str(), "172.20.0.0/16");
    EXPECT_EQ(ipam.take_any_subnet({prefix("172.16.0.0/12")}).str(), "192.168.0.0/20");
    EXPECT_EQ(ipam.take_any_subnet({prefix("172.16.0.0/12")}).str(), "192.168.16.0/20");
}

TEST(Ipam, ReusesReleasedSubnets) {
    Ipam ipam;
    const IpPrefix first = ipam.take_any_subnet({});
    ipam.take_any_subnet({});
    ipam.release_subnet(first);
    EXPECT_EQ(ipam.take_any_subnet({}), first);
}

TEST(Ipam, EndsWhenThePoolsAreUsedUp) {
    Ipam ipam({{prefix("10.0.0.0/23"), 24}});
    ipam.take_any_subnet({});
    ipam.take_any_subnet({});
    EXPECT_EQ(message_of([&] { ipam.take_any_subnet({}); }),
              "all predefined address pools have been fully subnetted");
}

// As docker 28.2.2 takes them: in order, without those that lie in another.
TEST(Ipam, SortsItsPools) {
    Ipam ipam({{prefix("10.0.0.0/16"), 24},
               {prefix("10.0.0.0/24"), 26},
               {prefix("fd00:1::/48"), 64},
               {prefix("9.0.0.7/24"), 24}});
    EXPECT_EQ(ipam.take_any_subnet({}).str(), "9.0.0.0/24");
    EXPECT_EQ(ipam.take_any_subnet({}).str(), "10.0.0.0/24");
    EXPECT_EQ(ipam.take_any_subnet({}).str(), "10.0.1.0/24");
    EXPECT_EQ(ipam.take_any_subnet({}, /*v6=*/true).str(), "fd00:1::/64");
    EXPECT_EQ(ipam.take_any_subnet({}, /*v6=*/true).str(), "fd00:1:0:1::/64");
}

TEST(Ipam, RefusesPoolsInDockersWords) {
    const auto fault = [](AddressPool pool) { return message_of([&] { Ipam({pool}); }); };
    const std::string start = "could not construct local address space: network at index 0 ";
    EXPECT_EQ(fault({prefix("10.0.0.0/16"), 8}),
              start + "(&{10.0.0.0/16 8}) has a smaller prefix (/16) than the target size of that "
                      "pool (/8)");
    EXPECT_EQ(fault({prefix("10.0.0.0/16"), 0}),
              start + "(&{10.0.0.0/16 0}) is not in canonical form");
    EXPECT_EQ(fault({{}, 24}), start + "(&{invalid Prefix 24}) is not in canonical form");
}

TEST(Ipam, RefusesOverlaps) {
    Ipam ipam;
    ipam.take_subnet(prefix("10.0.0.0/16"));
    EXPECT_EQ(message_of([&] { ipam.take_subnet(prefix("10.0.5.0/24")); }),
              "invalid pool request: Pool overlaps with other one on this address space");
}

TEST(Ipam, GivesLowestFreeAddress) {
    Ipam ipam;
    const IpPrefix subnet = ipam.take_subnet(prefix("10.0.0.0/29"));
    const auto next = [&] { return ipam.take_any(subnet).value_or(IpAddress()).str(); };
    EXPECT_EQ(next(), "10.0.0.1");
    EXPECT_EQ(next(), "10.0.0.2");
    EXPECT_EQ(next(), "10.0.0.3");
    ipam.release(subnet, *IpAddress::parse("10.0.0.2"));
    EXPECT_EQ(next(), "10.0.0.2");
    EXPECT_EQ(next(), "10.0.0.4");
    EXPECT_EQ(next(), "10.0.0.5");
    EXPECT_EQ(next(), "10.0.0.6");
    EXPECT_EQ(next(), "");  // .7 is the broadcast address
}

TEST(Ipam, KeepsToTheRange) {
    Ipam ipam;
    const IpPrefix subnet = ipam.take_subnet(prefix("10.0.0.0/24"));
    EXPECT_EQ(ipam.take_any(subnet, prefix("10.0.0.128/31"))->str(), "10.0.0.128");
    EXPECT_EQ(ipam.take_any(subnet, prefix("10.0.0.128/31"))->str(), "10.0.0.129");
    EXPECT_FALSE(ipam.take_any(subnet, prefix("10.0.0.128/31")));
}

TEST(Ipam, RefusesAddressesTwiceAndOutside) {
    Ipam ipam;
    const IpPrefix subnet = ipam.take_subnet(prefix("10.0.0.0/24"));
    ipam.take(subnet, *IpAddress::parse("10.0.0.9"));
    EXPECT_EQ(message_of([&] { ipam.take(subnet, *IpAddress::parse("10.0.0.9")); }),
              "Address already in use");
    EXPECT_EQ(message_of([&] { ipam.take(subnet, *IpAddress::parse("10.0.1.9")); }),
              "requested address is out of range");
}

TEST(Ipam, LargeIpv6SubnetStartsAtOne) {
    Ipam ipam;
    const IpPrefix subnet = ipam.take_subnet(prefix("fd00:1::/64"));
    EXPECT_EQ(ipam.take_any(subnet)->str(), "fd00:1::1");
    EXPECT_EQ(ipam.take_any(subnet)->str(), "fd00:1::2");
}

TEST(Ipam, RangeOfAWideIpv6Subnet) {
    Ipam ipam;
    const IpPrefix subnet = ipam.take_subnet(prefix("fd00:1::/48"), prefix("fd00:1:0:5::/64"));
    EXPECT_EQ(ipam.take_any(subnet, prefix("fd00:1:0:5::/64"))->str(), "fd00:1:0:5::");
    EXPECT_EQ(ipam.take_any(subnet, prefix("fd00:1:0:5::/64"))->str(), "fd00:1:0:5::1");
    ipam.take(subnet, *IpAddress::parse("fd00:1:0:6::1"));
    EXPECT_EQ(message_of([&] { ipam.take(subnet, *IpAddress::parse("fd00:1:0:5::1")); }),
              "Address already in use");
}

TEST(Ipam, NetworksShareASubnetByRanges) {
    Ipam ipam;
    const IpPrefix low = prefix("10.0.0.0/25");
    const IpPrefix high = prefix("10.0.0.128/25");
    const IpPrefix subnet = ipam.take_subnet(prefix("10.0.0.0/24"), low);
    ipam.take_subnet(subnet, high);
    const std::string overlap =
        "invalid pool request: Pool overlaps with other one on this address space";
    EXPECT_EQ(message_of([&] { ipam.take_subnet(subnet, high); }), overlap);
    EXPECT_EQ(message_of([&] { ipam.take_subnet(subnet); }), overlap);
    ipam.take(subnet, *IpAddress::parse("10.0.0.128"));
    EXPECT_EQ(ipam.take_any(subnet, high)->str(), "10.0.0.129");
    // The first goes: what the second has stays taken.
    ipam.release_subnet(subnet, low);
    ipam.take_subnet(subnet, low);
    EXPECT_EQ(ipam.take_any(subnet, high)->str(), "10.0.0.130");
    ipam.release_subnet(subnet, low);
    ipam.release_subnet(subnet, high);
    EXPECT_EQ(ipam.take_subnet(subnet), subnet);
    EXPECT_EQ(ipam.take_any(subnet)->str(), "10.0.0.1");
}

}  // namespace
}  // namespace dockerd::net

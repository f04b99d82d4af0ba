#include "net/default_bridge.hpp"

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::net {
namespace {

/// Subnet, range, gateway and the other gateway as one line.
std::string plan(const DefaultBridgeFlags& flags, std::vector<const char*> present = {}) {
    std::vector<IpPrefix> addresses;
    for (const char* text : present) addresses.push_back(*IpPrefix::parse(text));
    try {
        const model::IpamConfig config = plan_default_bridge(flags, std::move(addresses));
        std::string out = config.subnet + " " + config.ip_range + " " + config.gateway;
        for (const auto& [name, address] : config.aux_address) out += " " + name + "=" + address;
        return out;
    } catch (const base::Error& error) {
        return error.what();
    }
}

TEST(DefaultBridge, FlagsDecide) {
    EXPECT_EQ(plan({}), "  ");
    EXPECT_EQ(plan({.bip = "10.9.0.1/24"}, {"10.1.0.1/16"}), "10.9.0.0/24  10.9.0.1");
    EXPECT_EQ(plan({.bip = "10.9.0.1/24", .fixed_cidr = "10.9.0.128/25"}),
              "10.9.0.0/24 10.9.0.128/25 10.9.0.1");
    EXPECT_EQ(plan({.fixed_cidr = "10.9.0.129/25"}), "10.9.0.128/25 10.9.0.128/25 ");
    EXPECT_EQ(plan({.gateway = *IpAddress::parse("10.9.0.7")}), "   DefaultGatewayIPv4=10.9.0.7");
    EXPECT_EQ(plan({.bip = "10.9.0.1"}), "parse bip failed: invalid CIDR address: 10.9.0.1");
    EXPECT_EQ(plan({.bip = "fd00::1/64"}),
              "error creating default \"bridge\" network: failed to allocate gateway (fd00::1): "
              "cannot find address pool for poolID:fd00::/64/invalid Prefix");
    EXPECT_EQ(plan({.v6 = true, .fixed_cidr = "x"}),
              "parse fixed-cidr-v6 failed: invalid CIDR address: x");
}

TEST(DefaultBridge, KeepsWhatItsBridgeHas) {
    EXPECT_EQ(plan({}, {"10.1.0.1/16"}), "10.1.0.0/16  10.1.0.1");
    EXPECT_EQ(plan({.fixed_cidr = "10.1.5.0/24"}, {"10.1.0.1/16"}),
              "10.1.0.0/16 10.1.5.0/24 10.1.0.1");
    // A range of another subnet is a new configuration; a wider one widens the subnet.
    EXPECT_EQ(plan({.fixed_cidr = "10.2.0.0/16"}, {"10.1.0.1/16"}), "10.2.0.0/16 10.2.0.0/16 ");
    EXPECT_EQ(plan({.fixed_cidr = "10.1.0.0/15"}, {"10.1.0.1/16"}),
              "10.0.0.0/15 10.0.0.0/15 10.1.0.1");
    EXPECT_EQ(plan({.v6 = true}, {"fe80::1/64", "fd00::1/64"}), "fd00::/64  fd00::1");
    EXPECT_EQ(plan({.v6 = true}, {"fe80::1/64"}), "  ");
    EXPECT_EQ(plan({.v6 = true, .fixed_cidr = "fe80::/64"}, {"fe80::1/64"}),
              "fe80::/64 fe80::/64 fe80::1");
}

TEST(DefaultBridge, UsersBridgeIsAsItIs) {
    const std::vector<const char*> present{"10.5.0.1/24", "10.6.0.1/24"};
    EXPECT_EQ(plan({.managed = false}, present), "10.5.0.0/24  10.5.0.1");
    EXPECT_EQ(plan({.managed = false, .fixed_cidr = "10.6.0.128/25"}, present),
              "10.6.0.0/24 10.6.0.128/25 10.6.0.1");
    // For IPv4 a range outside is logged and left out.
    EXPECT_EQ(plan({.managed = false, .fixed_cidr = "10.7.0.0/24"}, present),
              "10.5.0.0/24  10.5.0.1");
    EXPECT_EQ(plan({.v6 = true, .managed = false, .fixed_cidr = "fd00:6::/64"}, {"fd00:5::1/64"}),
              "fixed-cidr-v6=fd00:6::/64 is outside any subnet implied by addresses on the "
              "user-managed default bridge");
}

}  // namespace
}  // namespace dockerd::net

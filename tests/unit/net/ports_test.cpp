#include <dockerd/net/ports.hpp>

#include <gtest/gtest.h>

#include <functional>

#include <dockerd/base/error.hpp>

#include "net/port_publisher.hpp"

namespace dockerd::net {
namespace {

std::string message_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

IpAddress ip(const char* text) { return IpAddress::parse(text).value_or(IpAddress()); }

model::PortMap bindings(const std::string& key, const std::string& host_ip,
                        const std::string& host_port) {
    model::PortMap out;
    out[key].push_back({host_ip, host_port});
    return out;
}

TEST(ParsePortBindings, TakesEveryForm) {
    EXPECT_EQ(parse_port_bindings(bindings("80/tcp", "", "")),
              (std::vector<PortMapping>{{Protocol::tcp, 80, {}, 0, 0}}));
    EXPECT_EQ(parse_port_bindings(bindings("53/udp", "127.0.0.1", "5353")),
              (std::vector<PortMapping>{{Protocol::udp, 53, ip("127.0.0.1"), 5353, 5353}}));
    EXPECT_EQ(parse_port_bindings(bindings("80", "", "8000-8010")),
              (std::vector<PortMapping>{{Protocol::tcp, 80, {}, 8000, 8010}}));
    EXPECT_EQ(parse_port_bindings(bindings("9/sctp", "::1", "9")),
              (std::vector<PortMapping>{{Protocol::sctp, 9, ip("::1"), 9, 9}}));
}

TEST(ParsePortBindings, RefusesNonsense) {
    EXPECT_EQ(message_of([] { parse_port_bindings(bindings("x/tcp", "", "")); }),
              "invalid port specification: \"x\"");
    EXPECT_EQ(message_of([] { parse_port_bindings(bindings("80/tcp", "", "90-80")); }),
              "invalid port specification: \"90-80\"");
    EXPECT_EQ(message_of([] { parse_port_bindings(bindings("80/tcp", "", "70000")); }),
              "invalid port specification: \"70000\"");
}

TEST(ParsePortBindings, LeavesOutProtocolsWithoutPorts) {
    EXPECT_TRUE(parse_port_bindings(bindings("80/icmp", "", "")).empty());
}

TEST(ContainerPorts, WhatIsNoPortIsShownAsZeroAndNotPublished) {
    for (const char* text : {"3000-3005/tcp", "x", "", "70000/tcp", "80/icmp"}) {
        EXPECT_EQ(parse_container_port(text), std::pair(std::uint16_t{0}, Protocol::tcp)) << text;
    }
    model::StringSet exposed;
    exposed["3000-3005"];
    EXPECT_TRUE(container_ports({}, exposed, true).empty());
    EXPECT_EQ(port_map({}, {"3000-3005/tcp"}).begin()->first, "0/tcp");
}

TEST(ContainerPorts, PublishesOnlyWhatIsExposed) {
    model::StringSet exposed;
    EXPECT_TRUE(container_ports(bindings("80/tcp", "", "8080"), exposed, true).empty());
    exposed["80"];
    EXPECT_EQ(container_ports(bindings("80/tcp", "", "8080"), exposed, false),
              (std::vector<PortMapping>{{Protocol::tcp, 80, {}, 8080, 8080}}));
}

TEST(ContainerPorts, PublishAllAddsWhatHasNoBinding) {
    model::StringSet exposed;
    exposed["80/tcp"];
    exposed["53/udp"];
    const auto ports = container_ports(bindings("80/tcp", "", "8080"), exposed, true);
    EXPECT_EQ(ports, (std::vector<PortMapping>{{Protocol::tcp, 80, {}, 8080, 8080},
                                               {Protocol::udp, 53, {}, 0, 0}}));
}

TEST(PortMapText, ShowsExposedAsNull) {
    const model::PortMap map = port_map({{Protocol::tcp, 80, ip("172.17.0.2"), ip("0.0.0.0"), 8080},
                                         {Protocol::tcp, 80, ip("172.17.0.2"), ip("::"), 8080}},
                                        {"443/tcp", "80/tcp"});
    ASSERT_EQ(map.size(), 2U);
    EXPECT_TRUE(map.at("443/tcp").is_null());
    ASSERT_EQ(map.at("80/tcp").size(), 2U);
    EXPECT_EQ(map.at("80/tcp")[1].host_ip, "::");
    EXPECT_EQ(map.at("80/tcp")[1].host_port, "8080");
}

const PublishTarget v4_only{.container4 = *IpAddress::parse("172.17.0.2")};

TEST(PlanPorts, AnyAddressIsBothFamilies) {
    const auto groups = plan_ports({{Protocol::tcp, 80, {}, 8080, 8080}}, v4_only, true, true);
    ASSERT_EQ(groups.size(), 1U);
    ASSERT_EQ(groups[0].size(), 2U);
    EXPECT_EQ(to_text(groups[0][0]), "0.0.0.0:8080:172.17.0.2:80/tcp");
    EXPECT_EQ(to_text(groups[0][1]), "[::]:8080:172.17.0.2:80/tcp");
}

TEST(PlanPorts, WithoutProxyOrIpv6OnlyIpv4) {
    const std::vector<PortMapping> mappings{{Protocol::tcp, 80, {}, 8080, 8080}};
    EXPECT_EQ(plan_ports(mappings, v4_only, false, true)[0].size(), 1U);
    EXPECT_EQ(plan_ports(mappings, v4_only, true, false)[0].size(), 1U);
}

TEST(PlanPorts, DefaultAddressAppliesToItsFamily) {
    PublishTarget target = v4_only;
    target.default_host_ip = ip("127.0.0.1");
    const auto groups = plan_ports({{Protocol::tcp, 80, {}, 8080, 8080}}, target, true, true);
    ASSERT_EQ(groups[0].size(), 1U);
    EXPECT_EQ(groups[0][0].host_ip.str(), "127.0.0.1");
}

TEST(PlanPorts, ExactPortsComeFirstAndAddressesShareAPort) {
    const auto groups = plan_ports({{Protocol::tcp, 80, ip("127.0.0.1"), 0, 0},
                                    {Protocol::tcp, 90, ip("127.0.0.1"), 9090, 9090},
                                    {Protocol::tcp, 80, ip("127.0.0.2"), 0, 0}},
                                   v4_only, true, true);
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[0][0].container_port, 90);
    EXPECT_EQ(groups[1].size(), 2U);
}

TEST(PlanPorts, RoutedModeWantsNoPortOfTheHost) {
    PublishTarget target = v4_only;
    target.container6 = ip("fd00::2");
    target.direct4 = true;
    const std::vector<PortMapping> mappings{{Protocol::tcp, 80, ip("127.0.0.1"), 8080, 8080},
                                            {Protocol::tcp, 90, {}, 0, 0}};
    const auto groups = plan_ports(mappings, target, true, true);
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(to_text(groups[0][0]), "0.0.0.0:8080:172.17.0.2:80/tcp");
    EXPECT_TRUE(groups[0][0].direct);
    ASSERT_EQ(groups[1].size(), 2U);
    EXPECT_TRUE(groups[1][0].direct);
    EXPECT_EQ(to_text(groups[1][1]), "[::]::[fd00::2]:90/tcp");
    EXPECT_FALSE(groups[1][1].direct);
}

TEST(PortMapText, PortsWithoutTranslationHaveNoHostPort) {
    const auto map = port_map({{Protocol::tcp, 80, ip("172.17.0.2"), ip("0.0.0.0"), 0}}, {});
    EXPECT_EQ(map.at("80/tcp").at(0).host_ip, "0.0.0.0");
    EXPECT_EQ(map.at("80/tcp").at(0).host_port, "");
}

TEST(PortAllocator, RefusesAPortTwiceAndGivesItBack) {
    PortAllocator allocator(32768, 60999);
    const IpAddress any = ip("0.0.0.0");
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 80, 80), 80);
    EXPECT_EQ(message_of([&] { allocator.take({any}, Protocol::tcp, 80, 80); }),
              "Bind for 0.0.0.0:80 failed: port is already allocated");
    EXPECT_EQ(allocator.take({any}, Protocol::udp, 80, 80), 80);
    EXPECT_EQ(message_of([&] {
                  allocator.take({ip("::"), any}, Protocol::tcp, 80, 80);
              }),
              "Bind for 0.0.0.0:80 failed: port is already allocated");
    allocator.release(any, Protocol::tcp, 80);
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 80, 80), 80);
}

TEST(PortAllocator, GoesThroughARangeAndEnds) {
    PortAllocator allocator(32768, 60999);
    const IpAddress any = ip("0.0.0.0");
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 0, 0), 32768);
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 0, 0), 32769);
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 8000, 8001), 8000);
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 8000, 8001), 8001);
    EXPECT_EQ(message_of([&] { allocator.take({any}, Protocol::tcp, 8000, 8001); }),
              "all ports are allocated");
    allocator.release(any, Protocol::tcp, 32768);
    // Not the one just released: others may still talk to it.
    EXPECT_EQ(allocator.take({any}, Protocol::tcp, 0, 0), 32770);
}

}  // namespace
}  // namespace dockerd::net

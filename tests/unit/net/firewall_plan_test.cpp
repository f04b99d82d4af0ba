#include "net/firewall.hpp"
#include "net/firewall_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dockerd::net {
namespace {

using ::testing::ElementsAre;

FirewallNetwork docker0() {
    FirewallNetwork out;
    out.id = "n0";
    out.bridge = "docker0";
    out.subnet4 = *IpPrefix::parse("172.17.0.0/16");
    return out;
}

std::vector<std::string> texts(const std::vector<FilterRule>& rules) {
    std::vector<std::string> out;
    for (const FilterRule& rule : rules) out.push_back(to_text(rule));
    return out;
}

TEST(PlanFilter, ExternalNetworkHasDockersRules) {
    EXPECT_THAT(texts(plan_filter(NftFamily::ip, {docker0()})),
                ElementsAre("-A DOCKER-FORWARD -j DOCKER-CT",
                            "-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1",
                            "-A DOCKER-FORWARD -j DOCKER-BRIDGE",
                            "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 "
                            "-j DOCKER-ISOLATION-STAGE-2",
                            "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
                            "-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED "
                            "-j ACCEPT",
                            "-A DOCKER-BRIDGE -o docker0 -j DOCKER",
                            "-A DOCKER ! -i docker0 -o docker0 -m conntrack --ctstate DNAT "
                            "-j ACCEPT",
                            "-A DOCKER ! -i docker0 -o docker0 -j DROP",
                            "-A DOCKER-FORWARD -i docker0 -j ACCEPT"));
    EXPECT_EQ(plan_filter(NftFamily::ip6, {docker0()}).size(), 3U);
}

TEST(PlanFilter, WithoutIccContainersDoNotMeet) {
    FirewallNetwork network = docker0();
    network.icc = false;
    const auto rules = texts(plan_filter(NftFamily::ip, {network}));
    EXPECT_THAT(std::vector(rules.end() - 2, rules.end()),
                ElementsAre("-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP",
                            "-A DOCKER-FORWARD -i docker0 ! -o docker0 -j ACCEPT"));
}

TEST(PlanFilter, InternalNetworkStaysInside) {
    FirewallNetwork network = docker0();
    network.internal = true;
    const auto rules = texts(plan_filter(NftFamily::ip, {network}));
    EXPECT_THAT(std::vector(rules.begin() + 3, rules.end()),
                ElementsAre("-A DOCKER-ISOLATION-STAGE-1 ! -s 172.17.0.0/16 -o docker0 -j DROP",
                            "-A DOCKER-ISOLATION-STAGE-1 ! -d 172.17.0.0/16 -i docker0 -j DROP",
                            "-A DOCKER-FORWARD -i docker0 -o docker0 -j ACCEPT"));
    EXPECT_TRUE(plan_source(NftFamily::ip, {network}, false).empty());
}

/// The rules that are one network's own.
std::vector<std::string> own_rules(const FirewallNetwork& network, NftFamily family) {
    auto out = texts(plan_filter(family, {network}));
    out.erase(out.begin(), out.begin() + 3);
    return out;
}

// What Docker 28.2.2 writes for gateway_mode_ipv4=routed, and in the same order in each chain.
TEST(PlanFilter, RoutedNetworkIsReachedByItsPublishedPorts) {
    FirewallNetwork network = docker0();
    network.access4 = Access::routed;
    network.subnet6 = *IpPrefix::parse("fd00::/64");
    EXPECT_THAT(
        own_rules(network, NftFamily::ip),
        ElementsAre("-A DOCKER-ISOLATION-STAGE-1 -i docker0 -m conntrack --ctstate "
                    "RELATED,ESTABLISHED -j ACCEPT",
                    "-A DOCKER-ISOLATION-STAGE-1 -o docker0 -j RETURN",
                    "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 "
                    "-j DOCKER-ISOLATION-STAGE-2",
                    "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
                    "-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                    "-A DOCKER-BRIDGE -o docker0 -j DOCKER",
                    "-A DOCKER -o docker0 -p icmp -j ACCEPT",
                    "-A DOCKER ! -i docker0 -o docker0 -j DROP",
                    "-A DOCKER-FORWARD -i docker0 -j ACCEPT"));
    // The other family has a mode of its own.
    EXPECT_THAT(own_rules(network, NftFamily::ip6), testing::SizeIs(7));
    EXPECT_TRUE(plan_source(NftFamily::ip, {network}, false).empty());
    EXPECT_EQ(plan_source(NftFamily::ip6, {network}, false).size(), 1U);
    EXPECT_TRUE(plan_endpoint(network, *IpAddress::parse("172.17.0.2"), {}).empty());
    EXPECT_EQ(plan_endpoint(network, *IpAddress::parse("fd00::2"), {}).size(), 2U);
    const PublishedPort direct{Protocol::udp, 80, *IpAddress::parse("172.17.0.2"),
                               *IpAddress::parse("0.0.0.0"), 0};
    EXPECT_TRUE(plan_port(docker0(), direct, {}).empty());
    EXPECT_EQ(to_text(*plan_port_filter(network, direct, {})),
              "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport 80 "
              "-j ACCEPT");
}

TEST(PlanFilter, UnprotectedNetworkIsOpen) {
    FirewallNetwork network = docker0();
    network.access4 = Access::open;
    EXPECT_THAT(
        own_rules(network, NftFamily::ip),
        ElementsAre("-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 "
                    "-j DOCKER-ISOLATION-STAGE-2",
                    "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
                    "-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                    "-A DOCKER-BRIDGE -o docker0 -j DOCKER",
                    "-A DOCKER ! -i docker0 -o docker0 -j ACCEPT",
                    "-A DOCKER-FORWARD -i docker0 -j ACCEPT"));
    EXPECT_EQ(plan_source(NftFamily::ip, {network}, false).size(), 1U);
    EXPECT_TRUE(plan_endpoint(network, *IpAddress::parse("172.17.0.2"), {}).empty());
    const PublishedPort port{Protocol::tcp, 80, *IpAddress::parse("172.17.0.2"),
                             *IpAddress::parse("0.0.0.0"), 8080};
    EXPECT_EQ(plan_port(docker0(), port, {}).size(), 1U);
    EXPECT_FALSE(plan_port_filter(network, port, {.allow_direct_routing = true}));
}

// Docker's rules depend on which network was there first.
TEST(PlanFilter, InternalNetworkIsClosedToARoutedOne) {
    FirewallNetwork routed = docker0();
    routed.access4 = Access::routed;
    FirewallNetwork internal = docker0();
    internal.bridge = "inside";
    internal.subnet4 = *IpPrefix::parse("172.18.0.0/16");
    internal.internal = true;
    const auto rules = texts(plan_filter(NftFamily::ip, {routed, internal}));
    EXPECT_EQ(rules[3], "-A DOCKER-ISOLATION-STAGE-1 ! -s 172.18.0.0/16 -o inside -j DROP");
    EXPECT_EQ(rules[4], "-A DOCKER-ISOLATION-STAGE-1 ! -d 172.18.0.0/16 -i inside -j DROP");
    EXPECT_EQ(rules[6], "-A DOCKER-ISOLATION-STAGE-1 -o docker0 -j RETURN");
}

PublishedPort port(const char* host_ip) {
    return {Protocol::tcp, 80, *IpAddress::parse("172.17.0.2"), *IpAddress::parse(host_ip), 8080};
}

TEST(PlanPort, AnyAddressIsOneElement) {
    const auto elements = plan_port(docker0(), port("0.0.0.0"), {});
    ASSERT_EQ(elements.size(), 1U);
    EXPECT_EQ(elements[0].set, "ports_any");
    EXPECT_EQ(elements[0].key.bytes(), std::string("\x06\0\0\0\x1f\x90\0\0", 8));
    EXPECT_EQ(elements[0].data->bytes(), std::string("\xac\x11\0\x02\0\x50\0\0", 8));
}

TEST(PlanPort, LoopbackIsGuardedAndOtherFamilyIsTheProxys) {
    const auto loopback = plan_port(docker0(), port("127.0.0.1"), {});
    ASSERT_EQ(loopback.size(), 2U);
    EXPECT_EQ(loopback[0].set, "loopback_ports");
    EXPECT_EQ(loopback[1].set, "ports_one");
    EXPECT_TRUE(plan_port(docker0(), port("::"), {}).empty());
}

TEST(PlanEndpoint, AnswersToItsBridgeOnly) {
    const auto elements = plan_endpoint(docker0(), *IpAddress::parse("172.17.0.2"), {});
    ASSERT_EQ(elements.size(), 2U);
    EXPECT_EQ(elements[0].set, "guarded");
    EXPECT_EQ(elements[1].set, "direct");
    EXPECT_EQ(elements[1].key.bytes(), std::string("\xac\x11\0\x02"
                                                   "docker0\0\0\0\0\0\0\0\0\0",
                                                   20));
    FirewallOptions open;
    open.allow_direct_routing = true;
    EXPECT_TRUE(plan_endpoint(docker0(), *IpAddress::parse("172.17.0.2"), open).empty());
    EXPECT_EQ(to_text(*plan_port_filter(docker0(), port("0.0.0.0"), open)),
              "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 "
              "-j ACCEPT");
    EXPECT_FALSE(plan_port_filter(docker0(), port("0.0.0.0"), {}));
    FirewallNetwork trusting = docker0();
    trusting.trusted_interfaces = {"lan0"};
    EXPECT_EQ(plan_endpoint(trusting, *IpAddress::parse("172.17.0.2"), {}).size(), 3U);
    EXPECT_TRUE(plan_port_filter(trusting, port("0.0.0.0"), {}));
}

TEST(PlanSource, ConnectionsOverLoopbackHavePortsTheHostsOwnNeverHave) {
    EXPECT_EQ(ports_apart_from({32768, 60999}), (PortSpan{1024, 32767}));
    EXPECT_EQ(ports_apart_from({49152, 65535}), (PortSpan{1024, 49151}));
    EXPECT_EQ(ports_apart_from({1024, 20000}), (PortSpan{20001, 65535}));
    EXPECT_EQ(ports_apart_from({33280, 65535}), (PortSpan{1024, 33279}));
    // Two connections of the host could have one port here.
    EXPECT_EQ(ports_apart_from({33279, 65535}), PortSpan());
    EXPECT_EQ(ports_apart_from({1024, 65535}), PortSpan());
    EXPECT_EQ(ports_apart_from({1, 65535}), PortSpan());
    EXPECT_EQ(ports_apart_from({10000, 65000}), PortSpan());
}

TEST(PlanSource, MasqueradesWhatLeavesAndHairpins) {
    EXPECT_EQ(plan_source(NftFamily::ip, {docker0()}, false),
              (std::vector<SourceRule>{{*IpPrefix::parse("172.17.0.0/16"), "docker0", true, {}}}));
    EXPECT_EQ(plan_source(NftFamily::ip, {docker0()}, true).size(), 2U);
    FirewallNetwork network = docker0();
    network.snat4 = *IpAddress::parse("192.0.2.7");
    EXPECT_EQ(plan_source(NftFamily::ip, {network}, false),
              (std::vector<SourceRule>{
                  {*IpPrefix::parse("172.17.0.0/16"), "docker0", true, network.snat4}}));
    network.masquerade = false;
    EXPECT_TRUE(plan_source(NftFamily::ip, {network}, false).empty());
}

TEST(FirewallDamage, IsWhatOthersTakeAwayOfOurs) {
    using Kind = NftRemoval::Kind;
    const auto damage = [](Kind kind, const char* table, const char* chain = "",
                           const char* jump = "") {
        return Firewall::is_damage({kind, NftFamily::ip, table, chain, jump});
    };
    // A second daemon's own are others than the first one's.
    const NftRemoval of_the_second{Kind::chain, NftFamily::ip, "filter", "DOCKER-FORWARD-2", ""};
    EXPECT_FALSE(Firewall::is_damage(of_the_second));
    EXPECT_TRUE(Firewall::is_damage(of_the_second, "-2"));
    const NftRemoval of_the_first{Kind::table, NftFamily::ip, "docker-bridges", "", ""};
    EXPECT_FALSE(Firewall::is_damage(of_the_first, "-2"));
    EXPECT_TRUE(damage(Kind::table, "docker-bridges"));
    EXPECT_TRUE(damage(Kind::set, "docker-bridges"));
    EXPECT_TRUE(damage(Kind::rule, "docker-bridges", "guard"));
    EXPECT_TRUE(damage(Kind::table, "filter"));
    EXPECT_TRUE(damage(Kind::chain, "filter", "DOCKER-USER"));
    EXPECT_TRUE(damage(Kind::chain, "filter", "FORWARD"));
    EXPECT_TRUE(damage(Kind::rule, "filter", "DOCKER-FORWARD"));
    EXPECT_TRUE(damage(Kind::rule, "filter", "FORWARD", "DOCKER-USER"));
    EXPECT_TRUE(damage(Kind::rule, "filter", "FORWARD", "DOCKER-FORWARD"));

    EXPECT_FALSE(damage(Kind::rule, "filter", "FORWARD"));
    EXPECT_FALSE(damage(Kind::rule, "filter", "FORWARD", "KUBE-FORWARD"));
    EXPECT_FALSE(damage(Kind::rule, "filter", "DOCKER-USER"));
    EXPECT_FALSE(damage(Kind::rule, "filter", "INPUT", "DOCKER-USER"));
    EXPECT_FALSE(damage(Kind::chain, "filter", "f2b-sshd"));
    EXPECT_FALSE(damage(Kind::set, "filter"));
    EXPECT_FALSE(damage(Kind::table, "nat"));
    EXPECT_FALSE(Firewall::is_damage(
        {Kind::table, static_cast<NftFamily>(1), "docker-bridges", "", ""}));  // inet's
}

TEST(FirewallPlan, WhatOneDaemonDropsNoneAccepts) {
    using Names = std::vector<std::string>;
    const Names alone{"DOCKER-USER", "DOCKER-FORWARD"};
    EXPECT_EQ(plan_way_in({}, ""), alone);
    const Names second = plan_way_in(alone, "-2");
    EXPECT_EQ(second, (Names{"DOCKER-USER", "DOCKER-CT", "DOCKER-CT-2", "DOCKER-ISOLATION-STAGE-1",
                             "DOCKER-ISOLATION-STAGE-1-2", "DOCKER-BRIDGE", "DOCKER-BRIDGE-2",
                             "DOCKER-FORWARD-2"}));
    EXPECT_FALSE(leads_in(alone, second));
    Names both = second;
    both.push_back("DOCKER-FORWARD");
    EXPECT_TRUE(leads_in(both, second));
    EXPECT_TRUE(leads_in(both, alone));  // the first one leaves it at that
    EXPECT_EQ(plan_way_in(both, "-2"), second);
    std::swap(both[7], both[8]);
    EXPECT_TRUE(leads_in(both, second));
    std::swap(both[6], both[7]);  // accepts before all have dropped
    EXPECT_FALSE(leads_in(both, second));
    EXPECT_FALSE(leads_in({"DOCKER-USER", "", "DOCKER-FORWARD"}, alone));  // somebody's rule
}

}  // namespace
}  // namespace dockerd::net

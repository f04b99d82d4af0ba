#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>

#include "net/networks_impl.hpp"

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

model::Ipam ipam_of(model::IpamConfig config) {
    model::Ipam out;
    out.config.push_back(std::move(config));
    return out;
}

// As dockerd 28.2.2 writes it.
constexpr const char* docker_record = R"({"addrSpace":"LocalDefault","attachable":false,
"configFrom":"","configOnly":false,"created":"2026-01-02T03:04:05.678Z","enableIPv4":true,
"enableIPv6":false,"generic":{"com.docker.network.enable_ipv4":true,
"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{"x":"y"}},"id":"abc123",
"inDelete":false,"ingress":false,"internal":true,"ipamOptions":{},"ipamType":"default",
"ipamV4Config":"[{\"PreferredPool\":\"10.9.0.0/24\",\"SubPool\":\"\",\"Gateway\":\"10.9.0.7\",\"AuxAddresses\":null}]",
"ipamV4Info":"[{\"IPAMData\":\"{\\\"AddressSpace\\\":\\\"\\\",\\\"Gateway\\\":\\\"10.9.0.7/24\\\",\\\"Pool\\\":\\\"10.9.0.0/24\\\"}\",\"PoolID\":\"LocalDefault/10.9.0.0/24\"}]",
"labels":{"a":"b"},"loadBalancerIP":"","loadBalancerMode":"NAT","name":"back",
"networkType":"bridge","persist":true,"scope":"local"})";

TEST(NetworkRecords, ReadsDockersAndWritesItBack) {
    const std::map<std::string, std::string> stored{
        {"network/abc123/", docker_record},
        {"bridge/abc123/", R"({"BridgeIfaceCreator":1,"BridgeName":"br-abc123"})"}};
    std::vector<Network> networks = decode_networks(stored);
    ASSERT_EQ(networks.size(), 1U);
    Network& network = networks[0];
    EXPECT_EQ(network.record.name, "back");
    EXPECT_TRUE(network.record.internal);
    EXPECT_EQ(network.record.options.at("x"), "y");
    EXPECT_EQ(network.record.ipam.config[0].gateway, "10.9.0.7");
    EXPECT_EQ(network.bridge.creator, 1);
    network.bridge.name = "br-abc123";
    const auto again = decode_networks(encode_network(network));
    ASSERT_EQ(again.size(), 1U);
    EXPECT_EQ(again[0].record.created, network.record.created);
    EXPECT_EQ(again[0].v4.at(0).subnet.str(), "10.9.0.0/24");
    EXPECT_EQ(encode_network(network).size(), 3U);
}

TEST(NetworkRecords, KeepsForeignDriversAsTheyAre) {
    const std::map<std::string, std::string> remote{
        {"network/m1/", R"({"id":"m1","name":"lan","networkType":"overlay","secret":1})"},
        {"overlay/m1/", R"({"Parent":"eth0"})"}};
    const auto networks = decode_networks(remote);
    ASSERT_EQ(networks.size(), 1U);
    EXPECT_EQ(encode_network(networks[0]), remote);
}

TEST(NetworkRecords, PoolsOfAnIpamDriverKeepItsWords) {
    Network network;
    network.record.id = "m1";
    network.record.name = "lan";
    network.record.driver = "bridge";
    network.record.ipam.driver = "theirs";
    network.ipam_plugin = true;
    network.space = "near";
    network.v4.push_back({.subnet = *IpPrefix::parse("0.0.0.0/0"),
                          .gateway = *IpAddress::parse("10.0.0.1"),
                          .gateway_bits = 24,
                          .pool_id = "pool 7"});
    const auto read = decode_networks(encode_network(network));
    ASSERT_EQ(read.size(), 1U);
    EXPECT_TRUE(read[0].ipam_plugin);
    EXPECT_EQ(read[0].space, "near");
    ASSERT_EQ(read[0].v4.size(), 1U);
    EXPECT_EQ(read[0].v4[0].pool_id, "pool 7");
    EXPECT_EQ(read[0].v4[0].gateway_prefix().str(), "10.0.0.1/24");
}

TEST(NetworkRecords, MacvlanHasTheDriversOwnRecord) {
    Network network;
    network.record.id = "m1";
    network.record.name = "lan";
    network.record.driver = "macvlan";
    network.record.ipam.driver = "default";
    network.record.options["parent"] = "eth0.7";
    network.record.options["macvlan_mode"] = "vepa";
    network.sublink = parse_sublink("macvlan", network.record.options, false);
    network.sublink->created_parent = true;
    network.v4.push_back({.subnet = *IpPrefix::parse("10.0.0.0/24"),
                          .gateway = *IpAddress::parse("10.0.0.1"),
                          .configured = true});
    network.v4.push_back({.subnet = *IpPrefix::parse("10.0.1.0/24"),
                          .range = *IpPrefix::parse("10.0.1.128/25"),
                          .gateway = *IpAddress::parse("10.0.1.7"),
                          .aux = {{"host", *IpAddress::parse("10.0.1.8")}},
                          .configured = true,
                          .gateway_configured = true});
    const auto records = encode_network(network);
    EXPECT_EQ(nlohmann::json::parse(records.at("macvlan/network/m1/")),
              nlohmann::json::parse(
                  R"({"ID":"m1","Mtu":0,"Parent":"eth0.7","MacvlanMode":"vepa","Internal":false,
                      "CreatedSubIface":true,
                      "Ipv4Subnets":"[{\"GwIP\":\"10.0.0.1/24\",\"SubnetIP\":\"10.0.0.0/24\"},)"
                  R"({\"GwIP\":\"10.0.1.7/24\",\"SubnetIP\":\"10.0.1.0/24\"}]"})"));
    const auto read = decode_networks(records);
    ASSERT_EQ(read.size(), 1U);
    ASSERT_TRUE(read[0].sublink);
    EXPECT_EQ(read[0].sublink->parent, "eth0.7");
    EXPECT_EQ(read[0].sublink->mode, "vepa");
    EXPECT_TRUE(read[0].sublink->created_parent);
    EXPECT_EQ(encode_network(read[0]), records);
    ASSERT_EQ(read[0].record.ipam.config.size(), 2U);
    EXPECT_EQ(read[0].record.ipam.config[0].gateway, "");
    EXPECT_EQ(read[0].record.ipam.config[1].ip_range, "10.0.1.128/25");
    EXPECT_EQ(read[0].record.ipam.config[1].aux_address.at("host"), "10.0.1.8");
    EXPECT_EQ(read[0].record.static_subnets,
              (std::vector<std::string>{"10.0.0.0/24", "10.0.1.0/24"}));
}

TEST(NetworkRecords, BrokenOnesAreLeftOut) {
    EXPECT_TRUE(decode_networks({{"network/x/", "{"}, {"network/y/", "{}"}}).empty());
}

TEST(ValidateIpam, HasDockersTexts) {
    EXPECT_EQ(message_of([] { validate_ipam(ipam_of({.subnet = "bad"}), false); }),
              "invalid network config:\ninvalid subnet bad: invalid CIDR block notation");
    EXPECT_EQ(message_of([] { validate_ipam(ipam_of({.subnet = "10.0.0.1/24"}), false); }),
              "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24");
    EXPECT_EQ(message_of([] {
                  validate_ipam(ipam_of({.subnet = "10.0.0.0/24", .gateway = "10.1.0.1"}), false);
              }),
              "invalid network config:\ninvalid gateway 10.1.0.1: parent subnet 10.0.0.0/24 "
              "doesn't contain this address");
}

TEST(BridgeOptions, RefusesBadValues) {
    model::StringMap options;
    options["com.docker.network.bridge.enable_icc"] = "maybe";
    EXPECT_EQ(message_of([&] { parse_bridge_options(options); }),
              "failed to parse com.docker.network.bridge.enable_icc value: maybe "
              "(strconv.ParseBool: parsing \"maybe\": invalid syntax)");
}

TEST(BridgeOptions, GatewayModes) {
    const std::string bridge = "com.docker.network.bridge.";
    model::StringMap options;
    options[bridge + "gateway_mode_ipv4"] = "routed";
    options[bridge + "gateway_mode_ipv6"] = "nat-unprotected";
    const BridgeSettings settings = parse_bridge_options(options);
    EXPECT_EQ(settings.mode4, GatewayMode::routed);
    EXPECT_EQ(settings.mode6, GatewayMode::nat_unprotected);
    options[bridge + "gateway_mode_ipv4"] = "isolated";
    EXPECT_EQ(message_of([&] { parse_bridge_options(options); }),
              "gateway mode 'isolated' can only be used for an internal network");
    EXPECT_FALSE(parse_bridge_options(options, /*internal=*/true).has_address(/*v6=*/false));
    EXPECT_TRUE(parse_bridge_options(options, /*internal=*/true).has_address(/*v6=*/true));
    for (const char* bad : {"", "odd"}) {
        options[bridge + "gateway_mode_ipv4"] = bad;
        EXPECT_EQ(message_of([&] { parse_bridge_options(options); }),
                  "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: " +
                      std::string(bad) + " (unknown gateway mode " + bad + ")");
    }
}

TEST(BridgeOptions, Mtu) {
    model::StringMap options;
    options["com.docker.network.driver.mtu"] = "1400x";
    EXPECT_EQ(message_of([&] { parse_bridge_options(options); }),
              "failed to parse com.docker.network.driver.mtu value: 1400x "
              "(strconv.Atoi: parsing \"1400x\": invalid syntax)");
    options["com.docker.network.driver.mtu"] = "99999999999999999999";
    EXPECT_EQ(message_of([&] { parse_bridge_options(options); }),
              "failed to parse com.docker.network.driver.mtu value: 99999999999999999999 "
              "(strconv.Atoi: parsing \"99999999999999999999\": value out of range)");
    Network network;
    network.record.options["com.docker.network.driver.mtu"] = "-5";
    network.bridge = parse_bridge_options(network.record.options);
    EXPECT_EQ(message_of([&] { validate_bridge(network); }), "invalid MTU number: -5");
}

TEST(BridgeOptions, RefusesIpv6SubnetsOfOtherUse) {
    for (const auto& [subnet, text] :
         {std::pair{"ff02::/64", "multicast subnet 'ff02::/64' is not allowed"},
          std::pair{"fe80::/80", "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'"}}) {
        Network network;
        network.v6.push_back({.subnet = *IpPrefix::parse(subnet)});
        EXPECT_EQ(message_of([&] { validate_bridge(network); }), text);
    }
    Network network;
    network.v6.push_back({.subnet = *IpPrefix::parse("fe80::/64")});
    EXPECT_EQ(message_of([&] { validate_bridge(network); }), "no error");
}

TEST(SandboxState, RoundTrips) {
    SandboxState state;
    state.id = std::string(64, 'a');
    state.key = "/run/docker/netns/aaaaaaaaaaaa";
    EndpointInfo endpoint;
    endpoint.endpoint_id = "e";
    endpoint.network_name = "bridge";
    endpoint.driver = "bridge";
    endpoint.ipv4 = *IpPrefix::parse("172.17.0.2/16");
    endpoint.ports.push_back(
        {Protocol::udp, 53, *IpAddress::parse("172.17.0.2"), *IpAddress::parse("::"), 5353});
    state.endpoints.push_back(endpoint);
    SandboxState again;
    decode_sandbox(encode_sandbox(state), again);
    EXPECT_EQ(encode_sandbox(again), encode_sandbox(state));
    EXPECT_EQ(again.endpoints[0].ports, endpoint.ports);
    EXPECT_THROW(decode_sandbox("{}", again), base::Error);
}

}  // namespace
}  // namespace dockerd::net

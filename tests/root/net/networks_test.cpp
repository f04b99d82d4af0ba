#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <fstream>

#include <dockerd/base/error.hpp>

#include "net/link_remover.hpp"
#include "own_netns.hpp"

namespace dockerd::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class NetworksTest : public OwnNetns {
protected:
    JoinRequest request(const std::string& name, std::vector<PortMapping> ports = {}) const {
        JoinRequest out;
        out.network = "bridge";
        out.container_id = std::string(64, 'a');
        out.container_name = name;
        out.ports = std::move(ports);
        return out;
    }
    static PortMapping tcp(std::uint16_t container, std::uint16_t host, const char* host_ip = "") {
        return {Protocol::tcp, container, IpAddress::parse(host_ip).value_or(IpAddress()), host,
                host};
    }
    MemoryNetworkStore store_;
};

TEST_F(NetworksTest, MakesThePredefinedNetworks) {
    Networks networks(options(), store_);

    const NetworkRecord bridge = networks.get("bridge");
    EXPECT_EQ(bridge.driver, "bridge");
    EXPECT_EQ(bridge.scope, "local");
    ASSERT_EQ(bridge.ipam.config.size(), 1U);
    EXPECT_EQ(bridge.ipam.config[0].subnet, "172.17.0.0/16");
    EXPECT_EQ(bridge.ipam.config[0].gateway, "172.17.0.1");
    EXPECT_EQ(bridge.options.at("com.docker.network.bridge.name"), "docker0");
    EXPECT_EQ(networks.get("host").driver, "host");
    EXPECT_EQ(networks.get("none").driver, "null");
    EXPECT_EQ(networks.host_gateways(), std::vector{ip("172.17.0.1")});
    EXPECT_EQ(link_names(), (std::vector<std::string>{"docker0", "lo"}));
}

TEST_F(NetworksTest, ContainerReachesItsGatewayAndTheOutside) {
    Networks networks(options(), store_);
    const base::Fd outside = make_outside();
    auto sandbox = networks.open_sandbox();
    const EndpointInfo info = networks.join(*sandbox, request("web"));

    EXPECT_EQ(info.ipv4.str(), "172.17.0.2/16");
    EXPECT_EQ(info.gateway.str(), "172.17.0.1");
    EXPECT_EQ(info.interface, "eth0");
    EXPECT_THAT(info.host_interface, StartsWith("veth"));
    base::Fd server;
    in(outside, [&] { server = listen_tcp(80); });
    in(sandbox->netns(), [] {
        EXPECT_TRUE(ping("172.17.0.1"));
        EXPECT_TRUE(ping("192.0.2.2"));
        EXPECT_EQ(connect_tcp("192.0.2.2", 80), 0);
    });
    // The outside has no way back to 172.17.0.0/16: the source was translated.
    ASSERT_TRUE(wait_readable(server));
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const base::Fd accepted(::accept(server.get(), reinterpret_cast<sockaddr*>(&peer), &size));
    EXPECT_EQ(ntohl(peer.sin_addr.s_addr), ip("192.0.2.1").to_v4());
    networks.close(std::move(sandbox));
}

TEST_F(NetworksTest, PublishedPortIsReachedFromEverywhere) {
    Networks networks(options(), store_);
    const base::Fd outside = make_outside();
    auto sandbox = networks.open_sandbox();
    const EndpointInfo info = networks.join(*sandbox, request("web", {tcp(80, 8080)}));

    ASSERT_EQ(info.ports.size(), 2U);
    EXPECT_EQ(info.ports[0].host_ip.str(), "0.0.0.0");
    EXPECT_EQ(info.ports[1].host_ip.str(), "::");
    base::Fd server;
    in(sandbox->netns(), [&] { server = listen_tcp(80); });
    const auto serve_once = [&] {
        ASSERT_TRUE(wait_readable(server));
        const base::Fd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
        EXPECT_EQ(read_some(accepted, 4), "ping");
        ASSERT_EQ(::write(accepted.get(), "pong", 4), 4);
    };
    const auto ask = [&](const char* address) {
        base::Fd client;
        ASSERT_EQ(connect_tcp(address, 8080, client), 0) << address;
        ASSERT_EQ(::write(client.get(), "ping", 4), 4);
        serve_once();
        EXPECT_EQ(read_some(client, 4), "pong") << address;
        EXPECT_EQ(read_some(client, 1), "");  // the end came through as well
    };
    ask("127.0.0.1");
    ask("::1");
    ask("172.17.0.1");
    ask("192.0.2.1");
    in(outside, [&] { ask("192.0.2.1"); });
    // From another container to the host's address: the proxy's part.
    auto other = networks.open_sandbox();
    networks.join(*other, request("other"));
    in(other->netns(), [&] { ask("192.0.2.1"); });
    in(other->netns(), [&] { ask("172.17.0.1"); });
    in(sandbox->netns(), [&] { ask("172.17.0.1"); });
    // From another network too: translated, it would end at the isolation of networks.
    model::NetworkCreate create;
    create.name = "back";
    networks.create(create);
    auto third = networks.open_sandbox();
    JoinRequest join = request("third");
    join.network = "back";
    networks.join(*third, join);
    in(third->netns(), [&] { ask("172.18.0.1"); });
    in(third->netns(), [&] { ask("192.0.2.1"); });
    networks.close(std::move(third));
    networks.close(std::move(other));
    networks.close(std::move(sandbox));
    EXPECT_NE(connect_tcp("127.0.0.1", 8080), 0);
    EXPECT_TRUE(listen_tcp(8080));
}

TEST_F(NetworksTest, UnpublishedPortsAreClosedToTheOutside) {
    Networks networks(options(), store_);
    const base::Fd outside = make_outside();
    auto sandbox = networks.open_sandbox();
    networks.join(*sandbox, request("web", {tcp(80, 8080)}));
    base::Fd closed;
    base::Fd open;
    in(sandbox->netns(), [&] {
        closed = listen_tcp(81);
        open = listen_tcp(80);
    });
    // The host itself reaches everything; others, who may route by us, nothing directly.
    EXPECT_EQ(connect_tcp("172.17.0.2", 81), 0);
    in(outside, [] {
        EXPECT_EQ(connect_tcp("172.17.0.2", 81, 300), ETIMEDOUT);
        EXPECT_EQ(connect_tcp("172.17.0.2", 80, 300), ETIMEDOUT);
    });
    networks.close(std::move(sandbox));
}

TEST_F(NetworksTest, UserNetworksAreIsolated) {
    Networks networks(options(), store_);
    model::NetworkCreate create;
    create.name = "back";
    const NetworkRecord back = networks.create(create);
    EXPECT_EQ(back.ipam.config[0].subnet, "172.18.0.0/16");
    auto web = networks.open_sandbox();
    networks.join(*web, request("web"));
    auto db = networks.open_sandbox();
    JoinRequest join = request("db");
    join.network = "back";
    EXPECT_EQ(networks.join(*db, join).ipv4.str(), "172.18.0.2/16");
    base::Fd server;
    in(db->netns(), [&] { server = listen_tcp(80); });
    in(web->netns(), [] {
        EXPECT_EQ(connect_tcp("172.18.0.2", 80, 300), ETIMEDOUT);
        // The other network's gateway is the host, which answers.
        EXPECT_TRUE(ping("172.18.0.1"));
    });
    // On both networks it gets through, by its second interface.
    JoinRequest second = request("web");
    second.network = "back";
    EXPECT_EQ(networks.join(*web, second).interface, "eth1");
    in(web->netns(), [] { EXPECT_EQ(connect_tcp("172.18.0.2", 80), 0); });
    networks.leave(*web, "back");
    in(web->netns(), [] {
        EXPECT_EQ(connect_tcp("172.18.0.2", 80, 300), ETIMEDOUT);
        EXPECT_TRUE(ping("172.17.0.1"));
    });
    try {
        networks.remove("back");
        FAIL() << "removed a network in use";
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::permission_denied);
        EXPECT_THAT(error.what(), StartsWith("error while removing network: network back has "
                                             "active endpoints (name:\"db\" id:\""));
    }
    networks.close(std::move(db));
    networks.remove("back");
    EXPECT_FALSE(networks.find("back"));
    networks.close(std::move(web));
}

TEST_F(NetworksTest, LeavesNothingBehind) {
    Networks networks(options(), store_);
    auto sandbox = networks.open_sandbox();
    EXPECT_TRUE(is_netns_mount(sandbox->key()));
    const std::string key = sandbox->key();
    networks.join(*sandbox, request("web", {tcp(80, 8080)}));
    EXPECT_EQ(networks.get("bridge").members.size(), 1U);
    networks.close(std::move(sandbox));
    EXPECT_FALSE(std::filesystem::exists(key));
    EXPECT_EQ(networks.get("bridge").members.size(), 0U);
    EXPECT_TRUE(wait_for_links({"docker0", "lo"}));
    // Its address is free at once.
    auto next = networks.open_sandbox();
    EXPECT_EQ(networks.join(*next, request("web")).ipv4.str(), "172.17.0.2/16");
    in(next->netns(), [] { EXPECT_TRUE(ping("172.17.0.1")); });
    networks.close(std::move(next));
}

TEST_F(NetworksTest, TakenPortFailsAndUndoesTheJoin) {
    Networks networks(options(), store_);
    auto first = networks.open_sandbox();
    networks.join(*first, request("first", {tcp(80, 8080)}));
    auto second = networks.open_sandbox();
    try {
        networks.join(*second, request("second", {tcp(80, 8080)}));
        FAIL() << "published one port twice";
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::internal);
        EXPECT_THAT(error.what(),
                    StartsWith("driver failed programming external connectivity on endpoint "
                               "second ("));
        EXPECT_THAT(error.what(),
                    HasSubstr("): Bind for 0.0.0.0:8080 failed: port is already allocated"));
    }
    EXPECT_TRUE(second->endpoints().empty());
    const base::Fd squatter = listen_tcp(8099);
    try {
        networks.join(*second, request("second", {tcp(80, 8099)}));
        FAIL() << "published a port somebody listens on";
    } catch (const base::Error& error) {
        EXPECT_THAT(error.what(),
                    HasSubstr("): failed to bind host port for 0.0.0.0:8099:172.17.0.3:80/tcp: "
                              "address already in use"));
    }
    EXPECT_EQ(networks.get("bridge").members.size(), 1U);
    EXPECT_EQ(networks.join(*second, request("second")).ipv4.str(), "172.17.0.3/16");
    networks.close(std::move(first));
    networks.close(std::move(second));
}

TEST_F(NetworksTest, RestartAdoptsLiveContainers) {
    std::string saved;
    std::string dead_key;
    base::Fd server;
    {
        Networks before(options(), store_);
        auto live = before.open_sandbox();
        before.join(*live, request("web", {tcp(80, 8080)}));
        in(live->netns(), [&] { server = listen_tcp(80); });
        saved = live->save();
        auto dead = before.open_sandbox();
        before.join(*dead, request("dead"));
        dead_key = dead->key();
        // The daemon dies here: nothing is closed.
    }
    Networks after(options(), store_);
    auto live = after.restore(saved, std::string(64, 'a'), "web", {"bridge"});
    after.clean_stale();

    EXPECT_EQ(live->save(), saved);
    EXPECT_FALSE(std::filesystem::exists(dead_key));
    EXPECT_EQ(after.get("bridge").members.size(), 1U);
    EXPECT_EQ(connect_tcp("127.0.0.1", 8080), 0);
    EXPECT_EQ(connect_tcp("172.17.0.1", 8080), 0);
    auto next = after.open_sandbox();
    EXPECT_EQ(after.join(*next, request("next")).ipv4.str(), "172.17.0.3/16");
    EXPECT_EQ(link_names().size(), 4U);  // lo, docker0 and two containers
    after.close(std::move(live));
    after.close(std::move(next));
}

TEST_F(NetworksTest, WhatADeathCutOffIsTakenAway) {
    model::NetworkCreate segment;
    segment.name = "segment";
    segment.driver = "macvlan";
    segment.options["parent"] = "uplink";
    const base::Fd outside = make_outside();
    std::string saved;
    {
        Networks before(options(), store_);
        auto web = before.open_sandbox();
        before.join(*web, request("web"));
        for (const auto& network : std::array{model::NetworkCreate{.name = "pair"}, segment}) {
            before.create(network);
            JoinRequest second = request("web");
            second.network = network.name;
            before.join(*web, second);
        }
        saved = web->save();
        EXPECT_EQ(web->endpoints().size(), 3U);
    }
    Networks after(options(), store_);
    auto web = after.restore(saved, std::string(64, 'a'), "web", {"bridge"});
    ASSERT_EQ(web->endpoints().size(), 1U);
    EXPECT_FALSE(after.settle(*web, {tcp(80, 8080)}).empty());
    EXPECT_TRUE(after.settle(*web, {}).empty());
    after.clean_stale();

    EXPECT_EQ(web->endpoints()[0].ports.size(), 2U);
    std::vector<std::string> inside;
    in(web->netns(), [&] { inside = link_names(); });
    EXPECT_EQ(inside, (std::vector<std::string>{"eth0", "lo"}));
    for (const char* name : {"pair", "segment"}) {
        EXPECT_TRUE(after.get(name).members.empty());
        after.remove(name);
    }
    EXPECT_TRUE(wait_for_links({"docker0", "lo", "uplink", web->endpoints()[0].host_interface}));
    after.close(std::move(web));
}

TEST_F(NetworksTest, AnEndpointIsKnownBeforeItIsPlugged) {
    Networks networks(options(), store_);
    auto web = networks.open_sandbox();
    std::string told;
    JoinRequest first = request("web");
    first.before_plug = [&](const std::string& state) {
        told = state;
        in(web->netns(), [&] { EXPECT_EQ(link_names(), std::vector<std::string>{"lo"}); });
    };
    networks.join(*web, first);
    EXPECT_EQ(told, web->save());  // no ports
    networks.close(std::move(web));
}

TEST_F(NetworksTest, AContainerMayDeleteItsOwnLink) {
    std::string saved;
    {
        Networks before(options(), store_);
        auto web = before.open_sandbox();
        before.join(*web, request("web"));
        saved = web->save();
        in(web->netns(), [] { Links().remove("eth0"); });
    }
    Networks after(options(), store_);
    auto web = after.restore(saved, std::string(64, 'a'), "web", {"bridge"});
    EXPECT_EQ(web->save(), saved);
    EXPECT_EQ(after.get("bridge").members.size(), 1U);
    EXPECT_TRUE(after.settle(*web, {}).empty());
    after.close(std::move(web));
}

TEST_F(NetworksTest, ARecordWithAnOddOptionKeepsItsSubnet) {
    model::NetworkCreate wanted{.name = "odd"};
    wanted.options["com.docker.network.advertise_addr_nmsgs"] = "3";
    {
        Networks before(options(), store_);
        before.create(wanted);
    }
    bool changed = false;
    auto records = store_.load();
    for (auto& [key, text] : records) {  // as earlier daemons took it
        const std::string option = "advertise_addr_nmsgs\":\"";
        for (std::size_t at = text.find(option); at != std::string::npos; at = text.find(option, at)) {
            at += option.size();
            text[at] = '9';
            changed = true;
        }
    }
    ASSERT_TRUE(changed);
    store_.save(records);
    Networks after(options(), store_);
    auto web = after.open_sandbox();
    JoinRequest join = request("web");
    join.network = "odd";
    EXPECT_EQ(after.join(*web, join).ipv4.str(), "172.18.0.2/16");
    EXPECT_EQ(after.create({.name = "next"}).ipam.config.at(0).subnet, "172.19.0.0/16");
    after.close(std::move(web));
}

/// Not every kernel has ipvlan: the endpoint is one by its record.
TEST_F(NetworksTest, ARouteByTheLinkItselfLeadsOutside) {
    std::string saved;
    {
        Networks before(options(), store_);
        auto web = before.open_sandbox();
        before.join(*web, request("web"));
        for (const char* name : {"pair", "third"}) {
            before.create({.name = name});
            JoinRequest join = request("web");
            join.network = name;
            if (join.network == "pair") join.settings.gw_priority = 1;
            before.join(*web, join);
        }
        saved = web->save();
    }
    const std::size_t pair = saved.find("\"network_name\":\"pair\"");
    const auto change = [&](const std::string& from, const std::string& to) {
        const std::size_t begin = saved.rfind("{\"", pair);
        const std::size_t at = std::min(saved.find(from, begin), saved.size());
        ASSERT_LT(at, saved.find('}', begin)) << saved;
        saved.replace(at, from.size(), to);
    };
    change("\"driver\":\"bridge\"", "\"driver\":\"ipvlan\"");
    change("\"gateway\":\"172.18.0.1\"", "\"gateway\":\"\"");
    change("\"leads_by_link\":false", "\"leads_by_link\":true");
    Networks after(options(), store_);
    auto web = after.restore(saved, std::string(64, 'a'), "web", {"bridge", "pair"});
    EXPECT_FALSE(after.settle(*web, {tcp(80, 8080)}).empty());
    EXPECT_TRUE(web->endpoints().at(0).ports.empty());  // the bridge does not lead
    after.leave(*web, "pair", {tcp(80, 8080)});
    EXPECT_EQ(web->endpoints().at(0).ports.size(), 2U);
    after.close(std::move(web));
}

TEST_F(NetworksTest, UdpIsCarriedAndTranslated) {
    Networks networks(options(), store_);
    const base::Fd outside = make_outside();
    auto sandbox = networks.open_sandbox();
    PortMapping mapping{Protocol::udp, 53, {}, 5353, 5353};
    networks.join(*sandbox, request("dns", {mapping}));
    base::Fd server;
    in(sandbox->netns(), [&] {
        server.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const SocketAddress any(IpAddress::v4(0), 53);
        ASSERT_EQ(::bind(server.get(), any.get(), any.size()), 0);
    });
    const auto ask = [&](const char* address) {
        const SocketAddress to(ip(address), 5353);
        const base::Fd client(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::connect(client.get(), to.get(), to.size()), 0);
        ASSERT_EQ(::send(client.get(), "ping", 4, 0), 4);
        ASSERT_TRUE(wait_readable(server)) << address;
        char buffer[16];
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        ASSERT_EQ(::recvfrom(server.get(), buffer, sizeof buffer, 0,
                             reinterpret_cast<sockaddr*>(&peer), &size),
                  4);
        ASSERT_EQ(::sendto(server.get(), "pong", 4, 0, reinterpret_cast<sockaddr*>(&peer), size),
                  4);
        EXPECT_EQ(read_some(client, 4), "pong") << address;
    };
    ask("127.0.0.1");
    ask("::1");
    ask("192.0.2.1");
    in(outside, [&] { ask("192.0.2.1"); });
    networks.close(std::move(sandbox));
}

/// Not a check: prints what a start and a stop cost. Run with --gtest_also_run_disabled_tests.
TEST_F(NetworksTest, DISABLED_Latency) {
    Networks networks(options(), store_);
    using Clock = std::chrono::steady_clock;
    const auto micros = [](Clock::duration d) {
        return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
    };
    const bool ports = std::getenv("PORTS") != nullptr;
    std::vector<long> open, join, close;
    for (int i = 0; i < 200; ++i) {
        const auto a = Clock::now();
        auto sandbox = networks.open_sandbox();
        const auto b = Clock::now();
        networks.join(*sandbox, ports ? request("web", {tcp(80, 8080)}) : request("web"));
        const auto c = Clock::now();
        networks.close(std::move(sandbox));
        const auto d = Clock::now();
        open.push_back(micros(b - a));
        join.push_back(micros(c - b));
        close.push_back(micros(d - c));
        ::usleep(std::getenv("PAUSE") ? 60000 : 0);
    }
    for (auto* times : {&open, &join, &close}) std::ranges::sort(*times);
    std::printf(
        "us median [p10 p90]: open %ld [%ld %ld], join %ld [%ld %ld], close %ld [%ld %ld]\n",
        open[100], open[20], open[180], join[100], join[20], join[180], close[100], close[20],
        close[180]);
}

TEST_F(NetworksTest, ProxyMovesLargeStreamsBothWays) {
    Networks networks(options(), store_);
    auto sandbox = networks.open_sandbox();
    networks.join(*sandbox, request("web", {tcp(80, 8080)}));
    base::Fd server;
    in(sandbox->netns(), [&] { server = listen_tcp(80); });
    base::Fd client;
    ASSERT_EQ(connect_tcp("127.0.0.1", 8080, client), 0);
    ASSERT_TRUE(wait_readable(server));
    base::Fd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    std::string data(16 << 20, 0);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 + i / 977);
    for (const auto& [from, to] : {std::pair(&client, &accepted), std::pair(&accepted, &client)}) {
        std::string received;
        std::size_t sent = 0;
        while (received.size() < data.size()) {
            const ssize_t put = ::send(from->get(), data.data() + sent,
                                       std::min<std::size_t>(data.size() - sent, 1 << 20),
                                       MSG_DONTWAIT | MSG_NOSIGNAL);
            if (put > 0) sent += static_cast<std::size_t>(put);
            char buffer[65536];
            const ssize_t got = ::recv(to->get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (got > 0) received.append(buffer, static_cast<std::size_t>(got));
            if (put <= 0 && got <= 0) {
                pollfd both[2] = {{from->get(), POLLOUT, 0}, {to->get(), POLLIN, 0}};
                if (sent == data.size()) both[0].fd = -1;
                ASSERT_GT(::poll(both, 2, 5000), 0) << sent << " " << received.size();
            }
        }
        EXPECT_TRUE(received == data);
    }
    networks.close(std::move(sandbox));
}

TEST_F(NetworksTest, HostAndNoneAreOnlyWrittenDown) {
    Networks networks(options(), store_);
    auto host = networks.open_host_sandbox();
    JoinRequest join = request("h");
    join.network = "host";
    EXPECT_EQ(networks.join(*host, join).interface, "");
    EXPECT_EQ(host->key(), root_ + "/netns/default");
    EXPECT_EQ(networks.get("host").members.size(), 1U);
    auto none = networks.open_sandbox();
    join.network = "none";
    networks.join(*none, join);
    in(none->netns(), [] {
        EXPECT_TRUE(ping("127.0.0.1"));
        EXPECT_EQ(connect_tcp("172.17.0.1", 80), ENETUNREACH);
    });
    networks.close(std::move(host));
    networks.close(std::move(none));
    EXPECT_EQ(networks.get("host").members.size(), 0U);
}

TEST_F(NetworksTest, InternalNetworkHasNoWayOut) {
    Networks networks(options(), store_);
    const base::Fd outside = make_outside();
    model::NetworkCreate create;
    create.name = "inner";
    create.internal = true;
    networks.create(create);
    auto sandbox = networks.open_sandbox();
    JoinRequest join = request("a");
    join.network = "inner";
    const EndpointInfo info = networks.join(*sandbox, join);
    EXPECT_FALSE(info.gateway);
    in(sandbox->netns(), [] {
        EXPECT_TRUE(ping("172.18.0.1"));
        EXPECT_EQ(connect_tcp("192.0.2.2", 80, 300), ENETUNREACH);
    });
    networks.close(std::move(sandbox));
}

TEST_F(NetworksTest, UserNetworksSurviveARestart) {
    model::NetworkCreate create;
    create.name = "back";
    model::Ipam ipam;
    model::IpamConfig config;
    config.subnet = "10.5.0.0/24";
    config.ip_range = "10.5.0.128/25";
    config.gateway = "10.5.0.254";
    ipam.config.push_back(config);
    create.ipam = ipam;
    create.labels["a"] = "b";
    NetworkRecord first;
    {
        Networks networks(options(), store_);
        first = networks.create(create);
    }
    Networks networks(options(), store_);
    const NetworkRecord again = networks.get("back");
    EXPECT_EQ(again.id, first.id);
    EXPECT_EQ(again.created, first.created);
    EXPECT_EQ(again.labels.at("a"), "b");
    EXPECT_EQ(again.ipam.config[0].subnet, "10.5.0.0/24");
    EXPECT_EQ(again.ipam.config[0].ip_range, "10.5.0.128/25");
    EXPECT_EQ(again.ipam.config[0].gateway, "10.5.0.254");
    auto sandbox = networks.open_sandbox();
    JoinRequest join = request("a");
    join.network = first.id.substr(0, 8);
    EXPECT_EQ(networks.join(*sandbox, join).ipv4.str(), "10.5.0.128/24");
    networks.close(std::move(sandbox));
    networks.remove("back");
    EXPECT_TRUE(wait_for_links({"docker0", "lo"}));
}

/// A network of both families.
model::NetworkCreate back(const std::string& bridge = {}) {
    model::NetworkCreate create;
    create.name = "back";
    create.enable_ipv6 = true;
    if (!bridge.empty()) create.options["com.docker.network.bridge.name"] = bridge;
    model::Ipam ipam;
    ipam.config.resize(2);
    ipam.config[0].subnet = "10.5.0.0/24";
    ipam.config[1].subnet = "fd05::/64";
    create.ipam = ipam;
    return create;
}

// The kernel may take its time with a removed network's bridge; nobody has to wait for it.
TEST_F(NetworksTest, ARemovedNetworksSubnetsAreFreeForTheNextAtOnce) {
    Networks networks(options(), store_);
    networks.create(back());
    networks.remove("back");
    Links links;
    for (const IpPrefix& route : links.on_link_routes()) EXPECT_EQ(route.str(), "172.17.0.0/16");
    networks.create(back());
    auto sandbox = networks.open_sandbox();
    JoinRequest join = request("a");
    join.network = "back";
    networks.join(*sandbox, join);
    in(sandbox->netns(), [] { EXPECT_TRUE(ping("10.5.0.1")); });
    networks.close(std::move(sandbox));
    networks.remove("back");
    EXPECT_TRUE(wait_for_links({"docker0", "lo"}));
}

// Others may wait for a name that was chosen.
TEST_F(NetworksTest, ABridgeOfAChosenNameIsGoneWithItsNetwork) {
    Networks networks(options(), store_);
    Links links;
    for (int round = 0; round < 3; ++round) {
        networks.create(back("back0"));
        const auto bridge = links.find("back0");
        ASSERT_TRUE(bridge);
        EXPECT_EQ(bridge->alias, "");
        networks.remove("back");
        EXPECT_FALSE(links.find("back0"));
    }
}

TEST_F(NetworksTest, ABridgeThatAKilledDaemonHadRetiredGoesWithTheNextStart) {
    model::NetworkCreate create;
    create.name = "back";
    {
        Networks networks(options(), store_);
        networks.create(create);
    }
    Links links;
    for (const Link& link : links.list()) {
        if (link.name.starts_with("br-")) links.set_alias(link.index, LinkRemover::retired);
    }
    const int left = links.create_bridge("br-left", MacAddress::random(), 1500);
    links.add_address(left, *IpPrefix::parse("10.6.0.1/24"));
    links.set_alias(left, LinkRemover::retired);
    links.set_alias(links.create_bridge("br-other", MacAddress::random(), 1500), "of an administrator");

    Networks networks(options(), store_);
    EXPECT_FALSE(links.find("br-left"));
    EXPECT_EQ(links.find("br-other")->alias, "of an administrator");
    // The network was not forgotten: it has a bridge of its own.
    const auto bridge = links.find("br-" + networks.get("back").id.substr(0, 12));
    ASSERT_TRUE(bridge);
    EXPECT_EQ(bridge->alias, "");
    networks.remove("back");
    EXPECT_TRUE(wait_for_links({"br-other", "docker0", "lo"}));
}

}  // namespace
}  // namespace dockerd::net

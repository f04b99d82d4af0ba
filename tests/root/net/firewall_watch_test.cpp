#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netlink.h>

#include <chrono>
#include <cstdlib>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

#include "net/firewall_watch.hpp"
#include "net/nft.hpp"
#include "own_netns.hpp"

namespace dockerd::net {
namespace {

using Clock = std::chrono::steady_clock;

/// Two networks with a container each, under a daemon whose firewall others tamper with.
class FirewallWatchTest : public OwnNetns {
protected:
    void SetUp() override {
        OwnNetns::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        networks_ = std::make_unique<Networks>(options(), store_);
        networks_->clean_stale();
        outside_ = make_outside();
        for (const char* name : {"one", "two"}) {
            model::NetworkCreate request;
            request.name = name;
            request.driver = "bridge";
            networks_->create(request);
        }
        first_ = start("one", {});
        second_ = start("two", {{Protocol::tcp, 80, {}, 8080, 8080}});
        in(second_->netns(), [&] {
            published_ = listen_tcp(80);
            private_ = listen_tcp(81);
        });
    }
    void TearDown() override {
        if (first_) networks_->close(std::move(first_));
        if (second_) networks_->close(std::move(second_));
        networks_.reset();
        OwnNetns::TearDown();
    }

    std::unique_ptr<Sandbox> start(const std::string& network, std::vector<PortMapping> ports) {
        auto sandbox = networks_->open_sandbox();
        JoinRequest request;
        request.network = network;
        request.container_id = std::string(64, 'a');
        request.container_name = "in-" + network;
        request.ports = std::move(ports);
        networks_->join(*sandbox, request);
        return sandbox;
    }

    static std::vector<std::string> jumps(NftFamily family) {
        sys::NetlinkSocket socket(NETLINK_NETFILTER);
        std::vector<std::string> out;
        const auto rules = list_rules(socket, family, "filter", "FORWARD");
        for (const NftRuleHead& rule : rules.value_or(std::vector<NftRuleHead>())) {
            out.push_back(rule.jump);
        }
        return out;
    }
    static std::size_t rules_in(std::string_view table, std::string_view chain) {
        sys::NetlinkSocket socket(NETLINK_NETFILTER);
        return list_rules(socket, NftFamily::ip, table, chain)
            .value_or(std::vector<NftRuleHead>())
            .size();
    }

    /// Waits for the healing, at most a second; how long it took in milliseconds, -1 if longer.
    static long wait_for(const std::function<bool()>& healed) {
        const auto begin = Clock::now();
        while (!healed()) {
            if (Clock::now() - begin > std::chrono::seconds(1)) return -1;
            ::usleep(200);
        }
        return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
    }

    /// What must hold again: isolation, the published port, and that others stay out.
    void expect_whole() {
        const std::vector<std::string> wanted{"DOCKER-USER", "DOCKER-FORWARD"};
        EXPECT_EQ(jumps(NftFamily::ip), wanted);
        EXPECT_EQ(jumps(NftFamily::ip6), wanted);
        const std::string there = second_->endpoints()[0].ipv4.address.str();
        in(first_->netns(), [&] { EXPECT_EQ(connect_tcp(there.c_str(), 81, 300), ETIMEDOUT); });
        in(outside_, [&] { EXPECT_EQ(connect_tcp("192.0.2.1", 8080), 0); });
    }

    /// All tables at once, but those that have an owner.
    static void flush_ruleset() { ASSERT_EQ(std::system("nft flush ruleset"), 0); }

    /// The kernel may let nobody else do that.
    static void commit(NftBatch& batch) {
        sys::NetlinkSocket socket(NETLINK_NETFILTER);
        try {
            batch.commit(socket);
        } catch (const base::Error& error) {
            EXPECT_EQ(error.errno_value(), EPERM);
        }
    }

    MemoryNetworkStore store_;
    std::unique_ptr<Networks> networks_;
    base::Fd outside_;
    std::unique_ptr<Sandbox> first_;
    std::unique_ptr<Sandbox> second_;
    base::Fd published_;
    base::Fd private_;
};

TEST_F(FirewallWatchTest, AFlushOfEverythingIsHealed) {
    expect_whole();
    for (int round = 0; round < 3; ++round) {
        flush_ruleset();
        const long took = wait_for([] { return jumps(NftFamily::ip6).size() == 2; });
        EXPECT_GE(took, 0) << "not within a second";
        EXPECT_EQ(jumps(NftFamily::ip).size(), 2U);
    }
    expect_whole();
}

TEST_F(FirewallWatchTest, RulesThatAreTakenAwayAreHealed) {
    // `iptables -F` empties every chain of the table.
    {
        NftBatch batch;
        for (const char* chain : {"FORWARD", "DOCKER-FORWARD", "DOCKER", "DOCKER-USER"}) {
            batch.flush_chain(NftFamily::ip, "filter", chain);
        }
        sys::NetlinkSocket socket(NETLINK_NETFILTER);
        batch.commit(socket);
    }
    EXPECT_GE(wait_for([] { return jumps(NftFamily::ip).size() == 2; }), 0);
    expect_whole();

    const std::size_t guards = rules_in("docker-bridges", "guard");
    ASSERT_GT(guards, 0U);
    {
        NftBatch batch;
        batch.flush_chain(NftFamily::ip, "docker-bridges", "guard");
        commit(batch);
    }
    EXPECT_GE(wait_for([&] { return rules_in("docker-bridges", "guard") == guards; }), 0);
    {
        NftBatch batch;
        batch.delete_table(NftFamily::ip, "docker-bridges");
        commit(batch);
    }
    EXPECT_GE(wait_for([&] { return rules_in("docker-bridges", "guard") == guards; }), 0);
    expect_whole();
}

TEST_F(FirewallWatchTest, WhatUsersTookAwayStaysAway) {
    sys::NetlinkSocket socket(NETLINK_NETFILTER);
    const auto add_accept = [&](const char* chain) {
        NftBatch batch;
        batch.begin_rule(NftFamily::ip, "filter", chain, NftBatch::Place::last);
        batch.verdict(NF_ACCEPT);
        batch.end_rule();
        batch.commit(socket);
    };
    add_accept("DOCKER-USER");
    add_accept("FORWARD");
    {
        NftBatch batch;
        const auto rules = list_rules(socket, NftFamily::ip, "filter", "FORWARD");
        ASSERT_EQ(rules->size(), 3U);
        batch.delete_rule(NftFamily::ip, "filter", "FORWARD", rules->back().handle);
        batch.flush_chain(NftFamily::ip, "filter", "DOCKER-USER");
        batch.flush_chain(NftFamily::ip, "filter", "DOCKER-CT");
        batch.commit(socket);
    }
    EXPECT_GE(wait_for([] { return rules_in("filter", "DOCKER-CT") > 0; }), 0);
    EXPECT_EQ(rules_in("filter", "DOCKER-USER"), 0U);
    EXPECT_EQ(rules_in("filter", "FORWARD"), 2U);
    expect_whole();
}

/// A watch with almost no room for notices, over a firewall with many ports.
class TightFirewallWatchTest : public OwnNetns {
protected:
    static std::optional<std::uint64_t> first_rule() {
        sys::NetlinkSocket socket(NETLINK_NETFILTER);
        const auto rules = list_rules(socket, NftFamily::ip, "filter", "DOCKER-CT");
        if (!rules || rules->empty()) return std::nullopt;
        return rules->front().handle;
    }
};

TEST_F(TightFirewallWatchTest, OwnChangesAreNoDamageHoweverMany) {
    Firewall firewall({});
    const FirewallNetwork network{.id = "one", .bridge = "br-one", .subnet4 = *IpPrefix::parse("10.9.0.0/24")};
    firewall.start({network});
    FirewallWatch watch(firewall, /*room=*/1);  // the kernel's least: some kilobytes
    const auto rules = first_rule();
    ASSERT_TRUE(rules);
    std::vector<PublishedPort> ports;
    for (std::uint16_t port = 10'000; port < 13'000; ++port) {
        PublishedPort published;
        published.container_port = port;
        published.host_port = port;
        published.host_ip = IpAddress::v4(0);
        published.container_ip = ip("10.9.0.2");
        ports.push_back(published);
    }
    firewall.add(network, "endpoint", {ip("10.9.0.2")}, ports);
    // The watch is alive, and its next repair is its first: what others do comes after our own
    // change, in one queue.
    EXPECT_EQ(first_rule(), rules) << "rules were built anew";
    {
        NftBatch batch;
        batch.flush_chain(NftFamily::ip, "filter", "DOCKER-CT");
        sys::NetlinkSocket socket(NETLINK_NETFILTER);
        batch.commit(socket);
    }
    const auto begin = Clock::now();
    while (!first_rule() && Clock::now() - begin < std::chrono::seconds(20)) ::usleep(1000);
    const auto repaired = first_rule();
    ASSERT_TRUE(repaired);
    // Its own repair, which has a notice for each of the ports, is no reason for another. A second
    // one would come 200 ms later at the latest.
    const auto settled = Clock::now() + std::chrono::milliseconds(600);
    while (Clock::now() < settled) {
        ASSERT_EQ(first_rule(), repaired) << "the repair was taken for damage";
        ::usleep(5000);
    }
}

}  // namespace
}  // namespace dockerd::net

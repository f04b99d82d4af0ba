#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <dockerd/base/error.hpp>

#include "own_netns.hpp"

/// What fails on the way of a creation or a removal leaves nothing of the one and all of the other.
namespace dockerd::net {
namespace {

using Records = std::map<std::string, std::string>;
using Names = std::vector<std::string>;

/// Asks first whether it may save.
class AskingStore : public MemoryNetworkStore {
public:
    void save(const Records& records) override {
        if (ask) ask(records);
        MemoryNetworkStore::save(records);
    }
    std::function<void(const Records&)> ask;
};

/// No thread with the usual stack can be made as long as it lives: no address space has room for
/// such a one.
class NoThreads {
public:
    NoThreads() {
        EXPECT_EQ(::pthread_getattr_default_np(&before_), 0);
        pthread_attr_t huge;
        ::pthread_attr_init(&huge);
        ::pthread_attr_setstacksize(&huge, std::size_t{1} << 60U);
        EXPECT_EQ(::pthread_setattr_default_np(&huge), 0);
        ::pthread_attr_destroy(&huge);
        EXPECT_THROW(std::thread([] {}).join(), std::system_error);
    }
    NoThreads(const NoThreads&) = delete;
    NoThreads& operator=(const NoThreads&) = delete;
    ~NoThreads() {
        ::pthread_setattr_default_np(&before_);
        ::pthread_attr_destroy(&before_);
    }

private:
    pthread_attr_t before_{};
};

class NetworkUndoTest : public OwnNetns {
protected:
    static model::NetworkCreate back() {
        model::NetworkCreate out;
        out.name = "back";
        return out;
    }
    static std::string key_of(const NetworkRecord& record) { return "network/" + record.id + "/"; }

    AskingStore store_;
};

TEST_F(NetworkUndoTest, ANetworkIsRemovedAlsoWhenNoThreadCanBeMade) {
    Networks networks(options(), store_);
    const NetworkRecord record = networks.create(back());
    ASSERT_TRUE(store_.load().contains(key_of(record)));
    {
        const NoThreads none;
        networks.remove("back");
    }
    EXPECT_EQ(link_names(), (Names{"docker0", "lo"}));
    EXPECT_FALSE(store_.load().contains(key_of(record)));
    EXPECT_THROW(networks.get("back"), base::Error);
}

TEST_F(NetworkUndoTest, ARemovalThatCannotBeWrittenDownLeavesTheNetwork) {
    Networks networks(options(), store_);
    const NetworkRecord record = networks.create(back());
    std::promise<void> refused;
    store_.ask = [&](const Records& records) {
        if (records.contains(key_of(record))) return;
        refused.set_value();
        throw std::bad_alloc();
    };
    auto sandbox = networks.open_sandbox();
    // Somebody joins as soon as the network is back, when its bridge may not be so yet.
    auto joined = std::async(std::launch::async, [&] {
        if (refused.get_future().wait_for(std::chrono::seconds(10)) != std::future_status::ready) {
            throw std::runtime_error("the store was not asked");
        }
        JoinRequest join;
        join.network = "back";
        join.container_id = std::string(64, 'a');
        join.container_name = "web";
        return networks.join(*sandbox, join);
    });
    EXPECT_THROW(networks.remove("back"), std::bad_alloc);
    EXPECT_EQ(joined.get().ipv4.str(), "172.18.0.2/16");
    in(sandbox->netns(), [] { EXPECT_TRUE(ping("172.18.0.1")); });
    EXPECT_EQ(networks.get("back").id, record.id);
    EXPECT_TRUE(store_.load().contains(key_of(record)));

    networks.close(std::move(sandbox));
    store_.ask = {};
    networks.remove("back");
    EXPECT_TRUE(wait_for_links({"docker0", "lo"}));
    EXPECT_FALSE(store_.load().contains(key_of(record)));
}

TEST_F(NetworkUndoTest, ACreationThatCannotBeWrittenDownLeavesNothing) {
    Networks networks(options(), store_);
    const Records before = store_.load();
    store_.ask = [](const Records&) { throw std::bad_alloc(); };
    EXPECT_THROW(networks.create(back()), std::bad_alloc);
    EXPECT_THROW(networks.get("back"), base::Error);
    EXPECT_EQ(link_names(), (Names{"docker0", "lo"}));
    {
        const NoThreads none;
        EXPECT_THROW(networks.create(back()), std::bad_alloc);
    }
    EXPECT_EQ(link_names(), (Names{"docker0", "lo"}));
    EXPECT_EQ(store_.load(), before);

    store_.ask = {};
    // Its subnet is free again, too.
    EXPECT_EQ(networks.create(back()).ipam.config.at(0).subnet, "172.18.0.0/16");
    networks.remove("back");
}

}  // namespace
}  // namespace dockerd::net

#include "engine/events/events.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace dockerd::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Event event(const std::string& type, const std::string& action, const std::string& id,
            EventAttributes attributes = {}) {
    return {type, action, id, std::move(attributes), "local", {}};
}

EventQuery query(std::initializer_list<std::pair<std::string, std::string>> filters) {
    EventQuery made;
    for (const auto& [key, value] : filters) made.filters.add(key, value);
    return made;
}

/// Publishes `published` and returns the actions that pass `asked`.
std::vector<std::string> seen(const EventQuery& asked, const std::vector<Event>& published) {
    Events events;
    std::vector<std::string> actions;
    const auto subscribed = events.subscribe(
        asked, [&](const EventPtr& delivered) { actions.push_back(delivered->action); });
    for (const auto& one : published) events.publish(one);
    return actions;
}

TEST(EventFilter, IsOrWithinAKeyAndAndBetweenKeys) {
    const std::vector<Event> all = {event("container", "start", "a"),
                                    event("container", "die", "a"), event("network", "start", "a"),
                                    event("container", "kill", "a")};
    EXPECT_THAT(seen(query({{"event", "start"}, {"event", "kill"}, {"type", "container"}}), all),
                ElementsAre("start", "kill"));
    EXPECT_THAT(seen(query({{"nonsense", "x"}}), all),
                ElementsAre("start", "die", "start", "kill"));
}

TEST(EventFilter, TakesExecActionsByPrefix) {
    const std::vector<Event> all = {event("container", "exec_create: sh -c x", "a"),
                                    event("container", "exec_start: sh -c x", "a"),
                                    event("container", "health_status: healthy", "a")};
    EXPECT_THAT(seen(query({{"event", "exec_create"}}), all), ElementsAre("exec_create: sh -c x"));
    EXPECT_THAT(seen(query({{"event", "health_status: healthy"}}), all),
                ElementsAre("health_status: healthy"));
    EXPECT_THAT(seen(query({{"event", "exec_create: sh"}}), all), IsEmpty());
}

TEST(EventFilter, FindsContainersByIdNameAndPrefix) {
    const std::vector<Event> all = {event("container", "a", "0123", {{"name", "web"}}),
                                    event("container", "b", "4567", {{"name", "db"}}),
                                    event("network", "c", "89", {{"container", "0123"}})};
    EXPECT_THAT(seen(query({{"container", "0123"}}), all), ElementsAre("a"));
    EXPECT_THAT(seen(query({{"container", "45"}}), all), ElementsAre("b"));
    EXPECT_THAT(seen(query({{"container", "web"}, {"container", "db"}}), all),
                ElementsAre("a", "b"));
}

TEST(EventFilter, MatchesLabelsWithAndWithoutValue) {
    const std::vector<Event> all = {event("container", "a", "1", {{"k", "v"}}),
                                    event("container", "b", "2", {{"k", "w"}}),
                                    event("container", "c", "3")};
    EXPECT_THAT(seen(query({{"label", "k"}}), all), ElementsAre("a", "b"));
    EXPECT_THAT(seen(query({{"label", "k=v"}}), all), ElementsAre("a"));
    EXPECT_THAT(seen(query({{"label", "k=v"}, {"label", "z"}}), all), IsEmpty());
}

TEST(EventFilter, FindsImagesWithAndWithoutTag) {
    const std::vector<Event> all = {event("image", "tag", "sha256:1", {{"name", "busybox:1.36"}}),
                                    event("image", "pull", "alpine:latest", {{"name", "alpine"}}),
                                    event("container", "create", "2", {{"image", "busybox:1.36"}})};
    EXPECT_THAT(seen(query({{"image", "busybox"}}), all), ElementsAre("tag", "create"));
    EXPECT_THAT(seen(query({{"image", "busybox:1.36"}}), all), ElementsAre("tag", "create"));
    EXPECT_THAT(seen(query({{"image", "alpine"}}), all), ElementsAre("pull"));
    EXPECT_THAT(seen(query({{"image", "alpine:latest"}}), all), ElementsAre("pull"));
    EXPECT_THAT(seen(query({{"image", "busy"}}), all), IsEmpty());
}

TEST(EventFilter, KnowsScopeAndDaemon) {
    Event swarm = event("node", "create", "n");
    swarm.scope = "swarm";
    const std::vector<Event> all = {swarm,
                                    event("daemon", "reload", "engine-id", {{"name", "host"}})};
    EXPECT_THAT(seen(query({{"scope", "swarm"}}), all), ElementsAre("create"));
    EXPECT_THAT(seen(query({{"daemon", "host"}}), all), ElementsAre("reload"));
}

TEST(Events, ReplaysTheLast256OldestFirst) {
    Events events;
    for (int i = 0; i < 300; ++i) events.publish(event("volume", std::to_string(i), "v"));
    EventQuery asked;
    asked.since = base::WallTime(0, 0);
    const auto subscribed = events.subscribe(asked, [](const EventPtr&) {});
    const auto& replayed = subscribed.first;
    ASSERT_EQ(replayed.size(), 256U);
    EXPECT_EQ(replayed.front()->action, "44");
    EXPECT_EQ(replayed.back()->action, "299");
}

TEST(Events, ReplaysNothingWithoutATimeAndOnlyTheWindowWithOne) {
    Events events;
    for (int i = 1; i <= 5; ++i) {
        Event one = event("volume", std::to_string(i), "v");
        one.time = base::WallTime(i, 0);
        events.publish(one);
    }
    EXPECT_THAT(events.subscribe({}, [](const EventPtr&) {}).first, IsEmpty());
    EventQuery window;
    window.since = base::WallTime(2, 0);
    window.until = base::WallTime(4, 0);
    const auto subscribed = events.subscribe(window, [](const EventPtr&) {});
    ASSERT_EQ(subscribed.first.size(), 3U);
    EXPECT_EQ(subscribed.first.front()->action, "2");
    EXPECT_EQ(subscribed.first.back()->action, "4");
}

TEST(Events, HasNoGapAndNoDoubleWhileOthersPublish) {
    Events events;
    std::atomic<int> published{0};
    std::jthread publisher([&](const std::stop_token& stop) {
        for (int i = 0; !stop.stop_requested(); ++i) {
            events.publish(event("volume", std::to_string(i), "v"));
            ++published;
        }
    });
    while (published < 100) std::this_thread::yield();
    for (int round = 0; round < 50; ++round) {
        std::vector<EventPtr> live;
        EventQuery asked;
        asked.since = base::WallTime(0, 0);
        auto [replayed, subscription] =
            events.subscribe(asked, [&](EventPtr one) { live.push_back(std::move(one)); });
        const int from = published;
        while (published < from + 5) std::this_thread::yield();
        subscription.reset();
        replayed.insert(replayed.end(), live.begin(), live.end());
        for (std::size_t i = 1; i < replayed.size(); ++i) {
            ASSERT_EQ(std::stoi(replayed[i]->action), std::stoi(replayed[i - 1]->action) + 1);
        }
    }
    publisher.request_stop();
}

TEST(Events, LetASubscriberEndItselfAndOutliveTheObject) {
    auto events = std::make_unique<Events>();
    int calls = 0;
    Subscription own;
    own = events
              ->subscribe({},
                          [&](const EventPtr&) {
                              ++calls;
                              own.reset();
                          })
              .second;
    EXPECT_EQ(events->listeners(), 1U);
    events->publish(event("volume", "a", "v"));
    events->publish(event("volume", "b", "v"));
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(events->listeners(), 0U);
    auto kept = events->subscribe({}, [](const EventPtr&) {}).second;
    events.reset();
    kept.reset();
}

TEST(Events, GiveContainersDockersAttributes) {
    Events events;
    EventPtr got;
    const auto subscribed = events.subscribe({}, [&](EventPtr one) { got = std::move(one); });
    events.container("die", "0123", "/web", "busybox:latest", {{"tier", "front"}},
                     {{"exitCode", "137"}});
    ASSERT_TRUE(got);
    EXPECT_EQ(got->type, "container");
    EXPECT_EQ(got->actor_id, "0123");
    const EventAttributes wanted = {
        {"exitCode", "137"}, {"image", "busybox:latest"}, {"name", "web"}, {"tier", "front"}};
    EXPECT_EQ(got->attributes, wanted);
    EXPECT_FALSE(got->time.is_zero());
}

TEST(Events, GiveOthersDockersAttributes) {
    Events events;
    EventPtr got;
    const auto subscribed = events.subscribe({}, [&](EventPtr one) { got = std::move(one); });
    events.network("connect", "n1", "front", "bridge", {{"container", "0123"}});
    EXPECT_EQ(got->attributes,
              (EventAttributes{{"container", "0123"}, {"name", "front"}, {"type", "bridge"}}));
    events.volume_mounted("data", "local", "0123", "/data", true, "");
    EXPECT_EQ(got->action, "mount");
    EXPECT_EQ(got->attributes, (EventAttributes{{"container", "0123"},
                                                {"destination", "/data"},
                                                {"driver", "local"},
                                                {"propagation", ""},
                                                {"read/write", "true"}}));
    events.pruned("image", 42);
    EXPECT_EQ(got->attributes, (EventAttributes{{"reclaimed", "42"}}));
    EXPECT_EQ(got->actor_id, "");
}

}  // namespace
}  // namespace dockerd::engine

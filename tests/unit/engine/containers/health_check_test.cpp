#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/containers/health_check.hpp"
#include "engine/containers/validate.hpp"

using namespace dockerd;
using namespace dockerd::engine;
using namespace std::chrono_literals;
using testing::ElementsAre;

namespace {

model::ContainerConfig checked(model::Strings test) {
    model::ContainerConfig config;
    config.healthcheck.emplace();
    config.healthcheck->test = std::move(test);
    return config;
}

store::HealthResult result(std::int64_t code) {
    return {.start = {}, .end = {}, .exit_code = code, .output = std::to_string(code)};
}

}  // namespace

TEST(HealthCheckOf, FillsDockersDefaultsIn) {
    const auto check = health_check_of(checked({"CMD", "probe", "-x"}));
    ASSERT_TRUE(check);
    EXPECT_THAT(check->command, ElementsAre("probe", "-x"));
    EXPECT_EQ(check->interval, 30s);
    EXPECT_EQ(check->timeout, 30s);
    EXPECT_EQ(check->start_period, 0s);
    EXPECT_EQ(check->start_interval, 5s);
    EXPECT_EQ(check->retries, 3);
}

TEST(HealthCheckOf, UsesTheShell) {
    auto config = checked({"CMD-SHELL", "test -e /ok"});
    EXPECT_THAT(health_check_of(config)->command, ElementsAre("/bin/sh", "-c", "test -e /ok"));
    config.shell.assign({"/bin/bash", "-ec"});
    EXPECT_THAT(health_check_of(config)->command, ElementsAre("/bin/bash", "-ec", "test -e /ok"));
}

TEST(HealthCheckOf, IsNoneForNoneAndWhatNobodyKnows) {
    EXPECT_FALSE(health_check_of({}));
    EXPECT_FALSE(health_check_of(checked({})));
    EXPECT_FALSE(health_check_of(checked({"NONE"})));
    EXPECT_FALSE(health_check_of(checked({"HTTP", "/"})));
}

TEST(UntilNextProbe, IsShorterWhileStarting) {
    HealthCheck check{.interval = 30s, .start_period = 60s, .start_interval = 1s};
    EXPECT_EQ(until_next_probe(check, 59s, "starting"), 1s);
    EXPECT_EQ(until_next_probe(check, 60s, "starting"), 30s);
    EXPECT_EQ(until_next_probe(check, 5s, "healthy"), 30s);
    EXPECT_EQ(until_next_probe(check, 5s, "unhealthy"), 30s);
}

TEST(TimeOfProbe, ComesNoEarlierAndAHundredthLaterAtMost) {
    using Time = std::chrono::steady_clock::time_point;
    // Two containers whose turns come one after the other are checked together.
    EXPECT_EQ(time_of_probe(Time(5s + 1ms), 1s), Time(6s + 10ms));
    EXPECT_EQ(time_of_probe(Time(5s + 9ms), 1s), Time(6s + 10ms));
    EXPECT_EQ(time_of_probe(Time(5s + 10ms), 1s), Time(6s + 10ms));
    EXPECT_EQ(time_of_probe(Time(5s + 1ns), 1ms), Time(5s + 1ms + 10us));
    // A long wait is no reason to be late: a tenth of a second.
    EXPECT_EQ(time_of_probe(Time(5s + 1ms), 1h), Time(3605s + 100ms));
    EXPECT_EQ(time_of_probe(Time(5s + 1ns), 50ns), Time(5s + 51ns));
}

TEST(TakeHealthResult, ChangesStatusAfterTheRetries) {
    const HealthCheck check{.retries = 2};
    store::HealthRecord health{.status = "starting"};
    EXPECT_FALSE(take_health_result(health, check, 1s, result(1)));
    EXPECT_EQ(health.failing_streak, 1);
    EXPECT_TRUE(take_health_result(health, check, 1s, result(1)));
    EXPECT_EQ(health.status, "unhealthy");
    EXPECT_FALSE(take_health_result(health, check, 1s, result(2)));
    EXPECT_EQ(health.failing_streak, 3);
    EXPECT_TRUE(take_health_result(health, check, 1s, result(0)));
    EXPECT_EQ(health.status, "healthy");
    EXPECT_EQ(health.failing_streak, 0);
}

TEST(TakeHealthResult, DoesNotCountFailuresOfTheStartPeriod) {
    const HealthCheck check{.start_period = 10s, .retries = 1};
    store::HealthRecord health{.status = "starting"};
    EXPECT_FALSE(take_health_result(health, check, 9s, result(1)));
    EXPECT_EQ(health.failing_streak, 0);
    EXPECT_TRUE(take_health_result(health, check, 10s, result(1)));
    EXPECT_EQ(health.status, "unhealthy");
    // Once it was healthy, the period is over.
    store::HealthRecord up{.status = "healthy"};
    EXPECT_TRUE(take_health_result(up, check, 1s, result(1)));
    EXPECT_EQ(up.status, "unhealthy");
}

TEST(TakeHealthResult, KeepsTheLastFive) {
    store::HealthRecord health{.status = "starting"};
    for (int code = 1; code <= 7; ++code) {
        (void)take_health_result(health, {.retries = 3}, 1s, result(code));
    }
    std::vector<std::int64_t> codes;
    for (const auto& entry : health.log) codes.push_back(entry.exit_code);
    EXPECT_THAT(codes, ElementsAre(3, 4, 5, 6, 7));
}

TEST(ProbeOutput, IsCutAt4096Bytes) {
    ProbeOutput output;
    output.append(std::string(4000, 'a'));
    output.append(std::string(96, 'b'));
    EXPECT_EQ(output.text(), std::string(4000, 'a') + std::string(96, 'b'));
    output.append("c");
    EXPECT_EQ(output.text(), std::string(4000, 'a') + std::string(96, 'b') + "...");
}

TEST(ProbeOutput, IsValidUtf8) {
    ProbeOutput output;
    output.append("a\xff");
    output.append("b\xc3");
    output.append("\xa9");
    EXPECT_EQ(output.text(),
              "a\xEF\xBF\xBD"
              "b\xc3\xa9");
}

TEST(ProbeTimeoutText, IsDockers) {
    EXPECT_EQ(probe_timeout_text({.timeout = 1500ms}, ""), "Health check exceeded timeout (1.5s)");
    EXPECT_EQ(probe_timeout_text({.timeout = 90s}, "out\n"),
              "Health check exceeded timeout (1m30s): out\n");
}

TEST(ShutdownPatience, IsAsLongAsTheLongestStop) {
    EXPECT_EQ(shutdown_patience(15s, {}), 15s);
    EXPECT_EQ(shutdown_patience(15s, {10, 5}), 15s);
    EXPECT_EQ(shutdown_patience(15s, {10, 20}), 25s);
    EXPECT_EQ(shutdown_patience(15s, {-1}), std::nullopt);
    EXPECT_EQ(shutdown_patience(-1s, {5}), std::nullopt);
}

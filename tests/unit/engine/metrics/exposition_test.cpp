#include "metrics/exposition.hpp"

#include <gtest/gtest.h>

namespace dockerd::engine {
namespace {

using namespace std::chrono_literals;

bool has(const std::string& page, const std::string& line) {
    return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

TEST(Exposition, HasHistogramsWithDockersBuckets) {
    EngineMetrics metrics;
    metrics.container_actions["start"].observe(20ms);
    metrics.container_actions["start"].observe(20s);
    const std::string page = metrics_text(metrics, {});
    const std::string name = "engine_daemon_container_actions_seconds";
    EXPECT_TRUE(has(page, "# TYPE " + name + " histogram"));
    // One of no length is there from the beginning.
    EXPECT_TRUE(has(page, name + "_bucket{action=\"start\",le=\"0.01\"} 1"));
    EXPECT_TRUE(has(page, name + "_bucket{action=\"start\",le=\"0.025\"} 2"));
    EXPECT_TRUE(has(page, name + "_bucket{action=\"start\",le=\"10\"} 2"));
    EXPECT_TRUE(has(page, name + "_bucket{action=\"start\",le=\"+Inf\"} 3"));
    EXPECT_TRUE(has(page, name + "_sum{action=\"start\"} 20.02"));
    EXPECT_TRUE(has(page, name + "_count{action=\"start\"} 3"));
    EXPECT_TRUE(has(page, name + "_count{action=\"commit\"} 1"));
    // What nobody has done yet is not there.
    EXPECT_EQ(page.find("engine_daemon_image_actions_seconds"), std::string::npos);
}

TEST(Exposition, EscapesLabelsAndCountsStates) {
    EngineMetrics metrics;
    MetricsFacts facts;
    facts.engine = {{"os", "A \"B\"\\\n"}, {"version", "1"}};
    facts.running = 2;
    const std::string page = metrics_text(metrics, facts);
    EXPECT_TRUE(has(page, R"(engine_daemon_engine_info{os="A \"B\"\\\n",version="1"} 1)")) << page;
    EXPECT_TRUE(has(page, "engine_daemon_container_states_containers{state=\"running\"} 2"));
    EXPECT_EQ(page.find("engine_container"), std::string::npos);
}

TEST(Exposition, ShowsEachContainerOnce) {
    EngineMetrics metrics;
    MetricsFacts facts;
    StatsSample sample;
    sample.id = "80";
    sample.name = "/web";
    sample.cgroup.cpu.total = 1'500'000'000;
    sample.cgroup.pids.current = 3;
    sample.networks["eth0"].rx_bytes = 5;
    sample.networks["eth1"].rx_bytes = 7;
    facts.containers = {sample};
    const std::string page = metrics_text(metrics, facts);
    EXPECT_TRUE(has(page, "engine_container_cpu_seconds_total{id=\"80\",name=\"web\"} 1.5"));
    EXPECT_TRUE(has(page, "engine_container_pids{id=\"80\",name=\"web\"} 3"));
    EXPECT_TRUE(has(page, "engine_container_network_receive_bytes_total{id=\"80\",name=\"web\"} 12"));
}

TEST(ScopeTimer, LeavesOutWhatFails) {
    base::DurationHistogram histogram;
    { const base::ScopeTimer timer(histogram); }
    EXPECT_EQ(histogram.values().count, 1U);
    try {
        const base::ScopeTimer timer(histogram);
        throw 1;
    } catch (int) {
    }
    EXPECT_EQ(histogram.values().count, 1U);
}

}  // namespace
}  // namespace dockerd::engine

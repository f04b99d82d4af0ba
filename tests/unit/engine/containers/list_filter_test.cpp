#include "engine/containers/list_filter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Containers a (the oldest) to e (the newest); b and d run.
class ListFilterTest : public ::testing::Test {
protected:
    ListFilterTest() {
        for (const char* name : {"e", "d", "c", "b", "a"}) {
            auto c = std::make_shared<ContainerSnapshot>();
            c->config = std::make_shared<model::ContainerConfig>();
            c->host_config = std::make_shared<model::HostConfig>();
            c->name = std::string("/") + name;
            c->id = std::string(63, name[0]) + "0";
            c->image_id = name[0] < 'c' ? "old" : "new";
            c->state.running = name[0] == 'b' || name[0] == 'd';
            c->state.status = c->state.running ? ContainerStatus::running : ContainerStatus::exited;
            c->state.started_at = base::WallTime{1, 0};
            c->state.exit_code = name[0] == 'e' ? 3 : 0;
            all_.push_back(c);
        }
        change("b").ports = {{"0.0.0.0", 80, 8080, "tcp"}};
        change("d").ports = {{"", 53, 0, "udp"}};
        change("c").mounts = {{.type = "volume", .name = "v", .source = "/var/v", .destination = "/x"},
                              {.type = "bind", .name = "", .source = "/srv", .destination = "/y"}};
        change("a").network.networks["net"].network_id = "0123456789";
    }

    ContainerSnapshot& change(const std::string& name) {
        for (auto& c : all_) {
            if (c->name == "/" + name) return *c;
        }
        throw std::out_of_range(name);
    }

    ListFilter filter(const ListOptions& options) {
        return ListFilter(options, {.container_id =
                                        [this](const std::string& name) {
                                            return change(name).id;
                                        },
                                    .image_ids =
                                        [](const std::string& name) {
                                            return name == "base"
                                                       ? std::vector<std::string>{"old", "new"}
                                                       : std::vector<std::string>{};
                                        }});
    }

    std::vector<std::string> names(const std::string& filters, bool all = true, int limit = 0) {
        const ListOptions options{
            .all = all, .limit = limit, .filters = model::Filters::parse(filters)};
        std::vector<std::string> out;
        const std::vector<ContainerPtr> newest_first(all_.begin(), all_.end());
        for (const auto& c : filter(options).select(newest_first)) out.push_back(c->name.substr(1));
        return out;
    }

    std::string refused(const std::string& filters, base::ErrorKind kind) {
        try {
            names(filters);
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), kind);
            return error.what();
        }
        return "accepted";
    }

    std::vector<std::shared_ptr<ContainerSnapshot>> all_;
};

TEST_F(ListFilterTest, ShowsWhatRunsUnlessAskedForMore) {
    EXPECT_THAT(names("{}", false), ElementsAre("d", "b"));
    EXPECT_THAT(names("{}"), ElementsAre("e", "d", "c", "b", "a"));
    EXPECT_THAT(names("{}", false, 3), ElementsAre("e", "d", "c"));
    EXPECT_THAT(names(R"({"status":["exited"]})", false), ElementsAre("e", "c", "a"));
    EXPECT_THAT(names(R"({"exited":["3"]})", false), IsEmpty());
    EXPECT_THAT(names(R"({"exited":["3"]})"), ElementsAre("e"));
    EXPECT_THAT(names(R"({"since":["c"]})", false), ElementsAre("d"));
}

/// Docker looks for `since` only among what `before` has not passed over.
TEST_F(ListFilterTest, BeforeAndSince) {
    EXPECT_THAT(names(R"({"before":["c"]})"), ElementsAre("b", "a"));
    EXPECT_THAT(names(R"({"since":["c"]})"), ElementsAre("e", "d"));
    EXPECT_THAT(names(R"({"since":["a"],"before":["d"]})"), ElementsAre("c", "b"));
    EXPECT_THAT(names(R"({"since":["d"],"before":["b"]})"), ElementsAre("a"));
}

TEST_F(ListFilterTest, NamesAndIds) {
    EXPECT_THAT(names(R"({"name":["^/[ab]$"]})"), ElementsAre("b", "a"));
    EXPECT_THAT(names(R"({"name":["["]})"), IsEmpty());
    EXPECT_THAT(names(R"({"id":["aaa"]})"), ElementsAre("a"));
    change("e").id = "aaab" + std::string(60, '0');
    EXPECT_THAT(names(R"({"id":["aaa"]})"), IsEmpty()) << "a prefix of two ids names neither";
    EXPECT_THAT(names(R"({"id":["aaab"],"name":["d"]})"), IsEmpty());
}

TEST_F(ListFilterTest, PortsOfEitherKind) {
    EXPECT_THAT(names(R"({"publish":["8000-8100"]})"), ElementsAre("b"));
    EXPECT_THAT(names(R"({"expose":["53/udp"]})"), ElementsAre("d"));
    EXPECT_THAT(names(R"({"expose":["53"]})"), IsEmpty());
    EXPECT_THAT(names(R"({"publish":["8080/"],"expose":["53/udp"]})"), ElementsAre("d", "b"));
    const auto internal = base::ErrorKind::internal;
    EXPECT_EQ(refused(R"({"publish":["x"]})", internal),
              "error while looking up for publish x: strconv.ParseUint: parsing \"x\": invalid "
              "syntax");
    EXPECT_EQ(refused(R"({"expose":["70000/udp"]})", internal),
              "error while looking up for expose 70000/udp: strconv.ParseUint: parsing \"70000\": "
              "value out of range");
    EXPECT_EQ(refused(R"({"expose":["9-1"]})", internal),
              "error while looking up for expose 9-1: invalid range specified for port: 9-1");
    EXPECT_EQ(refused(R"({"expose":["/tcp"]})", internal),
              "error while looking up for expose /tcp: empty string specified for ports");
    EXPECT_EQ(refused(R"({"publish":["1:2"]})", internal),
              "filter for 'publish' should not contain ':': 1:2");
}

TEST_F(ListFilterTest, MountsNetworksAndImages) {
    EXPECT_THAT(names(R"({"volume":["v"]})"), ElementsAre("c"));
    EXPECT_THAT(names(R"({"volume":["/var/v"]})"), IsEmpty());
    EXPECT_THAT(names(R"({"volume":["/srv"]})"), ElementsAre("c"));
    EXPECT_THAT(names(R"({"volume":["/y"]})"), ElementsAre("c"));
    EXPECT_THAT(names(R"({"network":["net"]})"), ElementsAre("a"));
    EXPECT_THAT(names(R"({"network":["0123"]})"), ElementsAre("a"));
    EXPECT_THAT(names(R"({"ancestor":["base"]})"), ElementsAre("e", "d", "c", "b", "a"));
    EXPECT_THAT(names(R"({"ancestor":["nope"]})"), IsEmpty());
    EXPECT_THAT(names(R"({"is-task":["true"]})"), IsEmpty());
    EXPECT_THAT(names(R"({"is-task":["false"]})").size(), 5U);
}

TEST_F(ListFilterTest, RefusesWhatMeansNothing) {
    const auto invalid = base::ErrorKind::invalid_argument;
    EXPECT_EQ(refused(R"({"nope":["x"]})", invalid), "invalid filter 'nope'");
    EXPECT_EQ(refused(R"({"exited":["x"]})", invalid),
              "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax");
    EXPECT_EQ(refused(R"({"status":["nope"]})", invalid),
              "invalid filter 'status=nope': invalid value for state (nope): must be one of "
              "created, running, paused, restarting, removing, exited, dead");
    EXPECT_EQ(refused(R"({"health":["x"]})", invalid),
              "invalid filter 'health=x': invalid value for health (x): must be one of none, "
              "starting, healthy, unhealthy");
    EXPECT_EQ(refused(R"({"is-task":["x"]})", invalid), "invalid filter 'is-task=[x]'");
}

}  // namespace
}  // namespace dockerd::engine

#include <dockerd/build/stages.hpp>

#include <gtest/gtest.h>

#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/build/dockerfile.hpp>

namespace dockerd::build {
namespace {

struct Planned {
    explicit Planned(const std::string& text)
        : program(read_program(parse_dockerfile(text))),
          names(program),
          graph(stage_graph(program, names, [](const Stage& stage) { return stage.base; })) {}
    Program program;
    StageNames names;
    StageGraph graph;
};

using Numbers = std::vector<std::size_t>;

TEST(StageGraph, KnowsBasesSourcesAndMounts) {
    const Planned plan(
        "FROM x AS a\nFROM x AS b\nFROM A\nCOPY --from=1 / /\nCOPY --from=b / /\n"
        "FROM x\nRUN --mount=type=bind,FROM=a,target=/m true\nADD f /\n");
    EXPECT_EQ(plan.graph[0], Numbers{});
    EXPECT_EQ(plan.graph[2], (Numbers{0, 1}));
    EXPECT_EQ(plan.graph[3], Numbers{0});
    EXPECT_EQ(needed_stages(plan.graph, plan.names), (std::vector<bool>{true, false, false, true}));
}

TEST(StageGraph, LaterStagesAreImagesAndWrongNumbersAreLeftToTheStep) {
    const Planned plan("FROM b\nCOPY --from=7 / /\nCOPY --from=0 / /\nFROM x AS b\nCOPY --from=alpine / /\n");
    EXPECT_EQ(plan.graph[0], Numbers{});
    EXPECT_EQ(plan.graph[1], Numbers{});
}

TEST(StageGraph, AStageWhoseNameIsTakenIsLookedAt) {
    const Planned plan("FROM x AS a\nFROM y AS A\nFROM z\n");
    EXPECT_EQ(needed_stages(plan.graph, plan.names), (std::vector<bool>{false, true, true}));
    EXPECT_TRUE(plan.names.is_taken(1));
    EXPECT_FALSE(plan.names.is_taken(0));
}

TEST(StageGraph, ManyStagesTakeNoLongerThanTheirNumber) {
    std::string text;
    for (int i = 0; i < 20000; ++i) {
        const std::string number = std::to_string(i);
        text += "FROM s" + number + " AS s" + std::to_string(i + 1) + "\n";
    }
    const Planned plan(text);
    EXPECT_EQ(plan.graph.back(), Numbers{19998});
    EXPECT_TRUE(needed_stages(plan.graph, plan.names).front());
}

TEST(StageNames, SaysWhatIsWrongWithANumber) {
    const Planned plan("FROM x\nFROM x\n");
    EXPECT_EQ(plan.names.find_or_number("0", 1), 0U);
    EXPECT_EQ(plan.names.find_or_number("x", 1), std::nullopt);
    EXPECT_THROW((void)plan.names.find_or_number("1", 1), base::Error);
    EXPECT_THROW((void)plan.names.find_or_number("-1", 1), base::Error);
}

}  // namespace
}  // namespace dockerd::build

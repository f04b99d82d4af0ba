#include "build/stage_output.hpp"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include <dockerd/base/error.hpp>

namespace dockerd::engine::builds {
namespace {

std::string all_of(ProgressBoard& board) {
    std::string out;
    for (const Progress& told : board.take()) out += told.stream.substr(0, 1);
    return out;
}

struct StageOutputTest : testing::Test {
    ProgressBoard board;
    base::CancellationPtr cancellation = std::make_shared<base::Cancellation>();
    StageOutput output{board, cancellation, {false, true, true, true}};
    const std::string much = std::string(1UL << 20U, 'c');
};

TEST_F(StageOutputTest, TellsStagesInTheirOrder) {
    output.pass(3, {.stream = "3"});
    output.pass(2, {.stream = "2"});
    output.pass(1, {.stream = "1"});
    EXPECT_TRUE(output.is_heard(1));
    EXPECT_FALSE(output.is_heard(2));
    EXPECT_EQ(all_of(board), "1");
    output.finish(2);
    EXPECT_EQ(all_of(board), "") << "its turn has not come";
    output.finish(1);
    EXPECT_EQ(all_of(board), "23");
}

TEST_F(StageOutputTest, AFailureIsHeardAtOnceAndEndsTheOthersText) {
    output.pass(1, {.stream = "1"});
    output.pass(3, {.stream = "3"});
    output.fail(3);
    output.pass(1, {.stream = "x"});
    output.fail(2);
    EXPECT_EQ(all_of(board), "13");
}

TEST_F(StageOutputTest, WhoTellsMuchWaitsForItsTurn) {
    auto told = std::async(std::launch::async, [this] { output.pass(2, {.stream = much}); });
    output.pass(1, {.stream = "1"});
    EXPECT_EQ(all_of(board), "1");
    output.finish(1);
    told.get();
    EXPECT_EQ(all_of(board), "c");
}

TEST_F(StageOutputTest, WhomSomebodyWaitsForDoesNotWaitButHasABound) {
    output.hurry(2);
    for (int i = 0; i < 63; ++i) output.pass(2, {.stream = much});
    try {
        for (int i = 0; i < 2; ++i) output.pass(2, {.stream = much});
        FAIL() << "more than 64 MiB were kept";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "stages that wait for each other tell too much");
    }
}

}  // namespace
}  // namespace dockerd::engine::builds

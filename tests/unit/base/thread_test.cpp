#include <dockerd/base/thread.hpp>

#include <gtest/gtest.h>

#include <future>

namespace dockerd::base {
namespace {

TEST(FinishWithin, WaitsForWorkThatEnds) {
    bool done = false;
    EXPECT_TRUE(finish_within(std::chrono::hours(1), [&] { done = true; }));
    EXPECT_TRUE(done);
}

TEST(FinishWithin, LeavesWorkThatDoesNot) {
    std::promise<void> release;
    std::promise<void> ended;
    EXPECT_FALSE(finish_within(std::chrono::milliseconds(10), [&] {
        release.get_future().wait();
        ended.set_value();
    }));
    release.set_value();
    ended.get_future().wait();  // the thread uses what is on this stack
}

}  // namespace
}  // namespace dockerd::base

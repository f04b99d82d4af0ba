#include "store/reaper.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

namespace dockerd::store {
namespace {

TEST(Reaper, DoesAllJobsInTheirOrder) {
    std::string done;
    {
        Reaper reaper;
        reaper.post([&] { done += 'a'; });
        reaper.post([&] {
            done += 'b';
            throw std::runtime_error("this one fails");
        });
        reaper.post([&] { done += 'c'; });
        reaper.settle();
        EXPECT_EQ(done, "abc");
        reaper.post([&] { done += 'd'; });
    }
    EXPECT_EQ(done, "abcd") << "what is quickly done is done at the end";
}

/// The daemon does not stay because of a tree that takes long: the next one goes on with it.
TEST(Reaper, LeavesWhatTakesLong) {
    std::promise<void> begun;
    bool told = false;
    bool next = false;
    {
        Reaper reaper;
        reaper.post([&] {
            begun.set_value();
            while (!reaper.stop()->load()) std::this_thread::yield();
            told = true;
        });
        reaper.post([&] { next = true; });
        begun.get_future().wait();
    }
    EXPECT_TRUE(told);
    EXPECT_FALSE(next);
}

}  // namespace
}  // namespace dockerd::store

#include <dockerd/base/worker_pool.hpp>

#include <dockerd/base/mutex.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace dockerd::base {
namespace {

using namespace std::chrono_literals;

/// Counts, and waits until a count is reached.
class Counter {
public:
    void add() {
        const std::lock_guard lock(mutex_);
        ++count_;
        changed_.notify_all();
    }
    bool reach(int wanted, std::chrono::seconds patience = 10s) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return count_ >= wanted; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};

TEST(WorkerPool, RunsEveryJobOnFewThreads) {
    WorkerPool pool({.name = "test", .max_threads = 4});
    Counter done;
    for (int i = 0; i < 1000; ++i) pool.post([&] { done.add(); });
    EXPECT_TRUE(done.reach(1000));
    EXPECT_LE(pool.threads(), 4u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep memory their way
/// What of this process is in memory, in bytes.
std::size_t resident() {
    std::ifstream file("/proc/self/statm");
    std::size_t all = 0;
    std::size_t pages = 0;
    file >> all >> pages;
    return pages * 4096;
}

TEST(WorkerPool, GivesMemoryBackWhenItIsQuiet) {
    constexpr std::size_t block = 16 * 1024;
    constexpr std::size_t blocks = 4096;
    std::vector<std::unique_ptr<char[]>> held;
    std::size_t used = 0;
    {
        WorkerPool pool({.name = "test", .max_threads = 1, .idle = 10ms});
        pool.post([&] {
            for (std::size_t i = 0; i < blocks; ++i) {
                held.emplace_back(new char[block]);
                std::fill_n(held.back().get(), block, 'x');
            }
            used = resident();
            // What stays lies between, so that nothing is free at the end of the heap.
            for (std::size_t i = 0; i < blocks; ++i) {
                if (i % 16 != 15) held[i].reset();
            }
        });
        while (pool.pending() != 0 || pool.threads() != 0) std::this_thread::yield();
    }
    EXPECT_LT(resident() + blocks * block / 2, used);
}
#endif

TEST(WorkerPool, WhatAJobHoldsMayPostWhenItGoes) {
    WorkerPool pool({.name = "test", .max_threads = 1});
    Counter done;
    const auto post = [&](const int*) { pool.post([&] { done.add(); }); };
    int held = 0;
    pool.post([last = std::shared_ptr<int>(&held, post)] {});
    EXPECT_TRUE(done.reach(1));
}

TEST(WorkerPool, StartsWithoutThreadsAndGrowsForBlockedJobs) {
    WorkerPool pool({.name = "test", .max_threads = 8});
    EXPECT_EQ(pool.threads(), 0u);
    Counter begun;
    Counter gate;
    for (int i = 0; i < 8; ++i) {
        pool.post([&] {
            begun.add();
            gate.reach(1);
        });
    }
    EXPECT_TRUE(begun.reach(8));
    EXPECT_EQ(pool.threads(), 8u);
    gate.add();
}

TEST(WorkerPool, UsesOneThreadForJobsOneAfterTheOther) {
    WorkerPool pool({.name = "test", .max_threads = 64});
    for (int i = 1; i <= 200; ++i) {
        Counter done;
        pool.post([&] { done.add(); });
        ASSERT_TRUE(done.reach(1));
        // A job is done a moment before its thread is free again.
        while (pool.pending() > 0) std::this_thread::yield();
    }
    EXPECT_EQ(pool.threads(), 1u);
}

TEST(WorkerPool, LongWaitsLeaveTheirPlaceToOthers) {
    WorkerPool pool({.name = "test", .max_threads = 2, .max_waiting = 3, .idle = 1h});
    Counter begun;
    Counter gate;
    Counter done;
    for (int i = 0; i < 3; ++i) {
        pool.post([&] {
            const LongWait wait;
            const LongWait inner;  // counts once
            begun.add();
            gate.reach(1);
        });
    }
    EXPECT_TRUE(begun.reach(3));
    for (int i = 0; i < 100; ++i) pool.post([&] { done.add(); });
    EXPECT_TRUE(done.reach(100));
    EXPECT_LE(pool.threads(), 5u);
    gate.add();
    while (pool.pending() > 0) std::this_thread::yield();
    // Those that are too many go at once, not when they have been idle for long.
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (pool.threads() > 2 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    EXPECT_EQ(pool.threads(), 2u);
    for (int i = 0; i < 100; ++i) pool.post([&] { done.add(); });
    EXPECT_TRUE(done.reach(200));
}

TEST(WorkerPool, AWokenThreadThatIsTooManyLeavesItsJobToAnother) {
    WorkerPool pool({.name = "test", .max_threads = 2, .idle = 1h});
    Counter begun;
    Counter waited;
    Counter wait_over;
    Counter rest;
    Counter last;
    Counter done;
    pool.post([&] {
        {
            const LongWait wait;
            begun.add();
            wait_over.reach(1);
        }
        waited.add();
        last.reach(1, 60s);  // it is not to come back before the other job is given up
    });
    ASSERT_TRUE(begun.reach(1));
    for (int i = 0; i < 2; ++i) {
        pool.post([&] {
            begun.add();
            rest.reach(1);
        });
    }
    ASSERT_TRUE(begun.reach(3));
    rest.add();
    while (pool.pending() > 1) std::this_thread::yield();
    ASSERT_EQ(pool.threads(), 3u);  // two of them are idle
    wait_over.add();
    ASSERT_TRUE(waited.reach(1));
    // The first that is woken is one too many, as the job whose wait is over runs on.
    pool.post([&] { done.add(); });
    EXPECT_TRUE(done.reach(1));
    EXPECT_EQ(pool.threads(), 2u);
    last.add();
}

TEST(WorkerPool, TooManyLongWaitsKeepTheirPlaces) {
    WorkerPool pool({.name = "test", .max_threads = 1, .max_waiting = 1});
    Counter begun;
    Counter gate;
    Counter done;
    for (int i = 0; i < 2; ++i) {
        pool.post([&] {
            const LongWait wait;
            begun.add();
            gate.reach(1);
        });
    }
    EXPECT_TRUE(begun.reach(2));
    pool.post([&] { done.add(); });
    EXPECT_EQ(pool.threads(), 2u);
    gate.add();
    EXPECT_TRUE(done.reach(1));
}

TEST(WorkerPool, AMutexHeldForSecondsIsWaitedForInALongWait) {
    WorkerPool pool({.name = "test", .max_threads = 1});
    Mutex mutex{Mutex::Held::for_seconds};
    Counter held;
    Counter gate;
    Counter done;
    std::thread holder([&] {
        const Lock lock(mutex);
        held.add();
        gate.reach(1);
    });
    EXPECT_TRUE(held.reach(1));
    pool.post([&] {
        const Lock lock(mutex);
        done.add();
    });
    pool.post([&] { gate.add(); });  // by the thread that stands in for the waiting one
    EXPECT_TRUE(done.reach(1));
    holder.join();
}

TEST(WorkerPool, LosesIdleThreads) {
    WorkerPool pool({.name = "test", .max_threads = 8, .idle = 1ms});
    Counter done;
    pool.post([&] { done.add(); });
    ASSERT_TRUE(done.reach(1));
    while (pool.threads() > 0) std::this_thread::yield();
    pool.post([&] { done.add(); });
    EXPECT_TRUE(done.reach(2));
}

TEST(WorkerPool, SurvivesAJobThatThrows) {
    WorkerPool pool({.name = "test"});
    Counter done;
    pool.post([] { throw std::runtime_error("no"); });
    pool.post([&] { done.add(); });
    EXPECT_TRUE(done.reach(1));
}

TEST(WorkerPool, WaitsForRunningJobsAtItsEnd) {
    std::atomic<bool> finished{false};
    Counter begun;
    {
        WorkerPool pool({.name = "test"});
        pool.post([&] {
            begun.add();
            std::this_thread::sleep_for(5ms);
            finished = true;
        });
        ASSERT_TRUE(begun.reach(1));
    }
    EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace dockerd::base

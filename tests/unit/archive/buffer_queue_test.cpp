#include "archive/buffer_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <future>
#include <utility>
#include <vector>

#include <dockerd/base/worker_pool.hpp>

namespace dockerd::archive {
namespace {

using namespace std::chrono_literals;

constexpr int rounds = 100;

TEST(BufferQueue, WhoHasNothingToWaitForKeepsTheThreadsPlace) {
    BufferQueue queue(1, 1);
    std::promise<void> queued;
    std::promise<std::size_t> most_threads;
    base::WorkerPool pool({.name = "test", .max_threads = 1});
    pool.post([&] {
        queued.get_future().wait();
        std::size_t most = 0;
        std::vector<char> used;
        for (int i = 0; i < rounds; ++i) {
            std::vector<char> buffer = queue.take_spare().value();
            most = std::max(most, pool.threads());
            buffer.assign(1, static_cast<char>(i));
            queue.put(std::move(buffer));
            EXPECT_TRUE(queue.next(used));
            EXPECT_EQ(used, std::vector<char>(1, static_cast<char>(i)));
            most = std::max(most, pool.threads());
        }
        most_threads.set_value(most);
    });
    pool.post([] {});  // would be begun by a thread that takes the first one's place
    queued.set_value();
    EXPECT_EQ(most_threads.get_future().get(), 1u);
}

TEST(BufferQueue, WhoWaitsLeavesTheThreadsPlaceToOthers) {
    BufferQueue queue(1, 1);
    std::promise<bool> ended;
    base::WorkerPool pool({.name = "test", .max_threads = 1});
    pool.post([&] {
        std::vector<char> used;
        ended.set_value(queue.next(used));
    });
    pool.post([&] { queue.close(); });
    auto end = ended.get_future();
    const bool in_time = end.wait_for(10s) == std::future_status::ready;
    queue.close();
    ASSERT_TRUE(in_time);
    EXPECT_FALSE(end.get());
}

}  // namespace
}  // namespace dockerd::archive

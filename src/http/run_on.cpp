#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dockerd/http/stream.hpp>

namespace dockerd::http {

Task<void> run_on(base::WorkerPool& pool, std::function<void()> work) {
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    auto start = [&pool, executor, &work](auto handler) {
        // std::function wants copies; the handler can only be moved.
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        pool.post([executor, &work, shared]() {
            work();
            asio::post(executor, [shared]() { std::move (*shared)(); });
        });
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(start,
                                                                         asio::use_awaitable);
}

}  // namespace dockerd::http

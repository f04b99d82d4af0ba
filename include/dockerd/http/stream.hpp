#pragma once

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/worker_pool.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::http {

namespace asio = boost::asio;

template <typename T>
using Task = asio::awaitable<T>;

class StreamImpl;

/// Wakes a coroutine from any thread. Copies share one state.
///
/// A notification that comes while nobody waits is remembered; several count as one.
class Notifier {
public:
    /// Pre: called on the io thread, in the coroutine that will wait.
    static Task<Notifier> make();

    /// Thread: any. Does not block and never fails.
    void notify() const noexcept;

    struct State;

private:
    friend class StreamImpl;
    explicit Notifier(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

/// Why a wait ended.
enum class Wake { notified, readable, timeout, closed };

/// A connection taken out of HTTP: everything the client sends from now on is raw.
struct RawConnection {
    /// The socket itself (of a TLS client: one end of a pair that is relayed), O_NONBLOCK set.
    base::Fd fd;
    /// What the client sent after the request and the server has already read.
    std::string early;
};

/// How a connection is taken over.
struct HijackHead {
    /// In the 101 answer; a client without `Upgrade` gets 200 and raw-stream.
    std::string content_type = "application/vnd.docker.raw-stream";
    /// Adds the API's own headers: exec start has them, attach has not.
    bool api_headers = false;
    /// What an upgrading client is switched to: "tcp", "h2c".
    std::string protocol = "tcp";
    /// Sent in place of all that when not empty: a whole head with its blank line.
    std::string raw_head;
};

/// One answer of a session route: a coroutine on the io thread.
///
/// An exception that leaves the handler becomes a JSON error (or the route's own form) as long
/// as nothing was sent; afterwards it breaks the connection off.
/// Throws: unavailable, "client went away", from every function that sends.
class Stream {
public:
    virtual ~Stream() = default;

    /// Sends status and headers at once; the body is chunked, or ends with the connection for
    /// HTTP/1.0. The API's own headers are added.
    virtual Task<void> send_head(int status, Headers headers) = 0;
    /// Sends one piece of the body at once. `bytes` must live until it returns.
    virtual Task<void> write(std::string_view bytes) = 0;
    /// A whole answer in place of send_head() and write().
    virtual Task<void> respond(Response response) = 0;
    /// Ends the body. Also done when the handler returns.
    virtual Task<void> finish() = 0;

    /// Waits for `notifier`, the client's end, or the time-out; whatever comes first.
    virtual Task<Wake> wait(Notifier& notifier,
                            std::optional<std::chrono::nanoseconds> timeout = std::nullopt) = 0;
    /// The same for a descriptor becoming readable (pipe, socket, inotify, pidfd; no plain file).
    virtual Task<Wake> wait_readable(
        int fd, std::optional<std::chrono::nanoseconds> timeout = std::nullopt) = 0;
    /// Waits for both: `readable` or `notified` says which came first.
    virtual Task<Wake> wait_either(
        Notifier& notifier, int fd,
        std::optional<std::chrono::nanoseconds> timeout = std::nullopt) = 0;
    /// Sleeps; `timeout` when the time is over, `closed` when the client went first.
    virtual Task<Wake> sleep(std::chrono::nanoseconds time) = 0;
    /// Returns when the client has closed its end.
    virtual Task<void> closed() = 0;
    /// Whether the client is known to be gone; only as fresh as the last wait.
    [[nodiscard]] virtual bool is_closed() const = 0;

    /// Whether the request carries an Upgrade header.
    [[nodiscard]] virtual bool upgrade_requested() const = 0;
    /// Answers 101 or 200 and gives the connection away. Nothing else may be called afterwards.
    /// Source: moby api/server/router/container/container_routes.go, postContainersAttach.
    virtual Task<RawConnection> hijack(HijackHead head) = 0;
    /// Answers `HTTP/1.1 <status> <text>` in the bare form of attach errors, and closes.
    virtual Task<void> bare_error(int status, std::string text) = 0;

    /// The pool of ordinary calls, for offload().
    [[nodiscard]] virtual base::WorkerPool& calls() = 0;
    /// The pool of long transfers.
    [[nodiscard]] virtual base::WorkerPool& transfers() = 0;
};

/// Runs `work` on `pool` and continues on the io thread. Internal: use offload().
Task<void> run_on(base::WorkerPool& pool, std::function<void()> work);

/// Runs `work` on `pool` and continues the caller on the io thread with its result or exception.
/// `work` must not wait for something another request has to do. Name the lambda first:
/// g++ 12 destroys a temporary one twice.
template <typename Work>
Task<std::invoke_result_t<Work&>> offload(base::WorkerPool& pool, Work work) {
    using Result = std::invoke_result_t<Work&>;
    std::exception_ptr failure;
    if constexpr (std::is_void_v<Result>) {
        std::function<void()> job = [&]() {
            try {
                work();
            } catch (...) {
                failure = std::current_exception();
            }
        };
        co_await run_on(pool, std::move(job));
        if (failure) std::rethrow_exception(failure);
    } else {
        std::optional<Result> result;
        std::function<void()> job = [&]() {
            try {
                result.emplace(work());
            } catch (...) {
                failure = std::current_exception();
            }
        };
        co_await run_on(pool, std::move(job));
        if (failure) std::rethrow_exception(failure);
        co_return std::move(*result);
    }
}

}  // namespace dockerd::http

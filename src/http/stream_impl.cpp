#include "stream_impl.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/undo.hpp>

namespace dockerd::http {
namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

/// Closes the door when the io_context goes, before anything that waits there does.
class Doorkeeper final : public asio::execution_context::service {
public:
    static asio::execution_context::id id;
    explicit Doorkeeper(asio::execution_context& context) : service(context) {}

    const std::shared_ptr<NotifierDoor> door = std::make_shared<NotifierDoor>();

private:
    void shutdown() override {
        const base::Lock lock(door->mutex);
        door->open = false;
    }
};

asio::execution_context::id Doorkeeper::id;

iovec part_of(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

Task<Notifier> Notifier::make() {
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    auto& context = asio::query(executor, asio::execution::context);
    co_return Notifier(
        std::make_shared<State>(executor, asio::use_service<Doorkeeper>(context).door));
}

void Notifier::notify() const noexcept {
    if (state_->posted.exchange(true)) return;
    const base::Lock lock(state_->door->mutex);
    if (!state_->door->open) return;
    auto wake = [state = state_]() {
        state->posted = false;
        state->fired = true;
        if (state->waiter) state->waiter->cancel();
    };
    asio::post(state_->executor, wake);
}

StreamImpl::StreamImpl(Connection& connection, const Request& request, const Endpoint& endpoint,
                       bool keep)
    : connection_(connection),
      endpoint_(endpoint),
      head_request_(request.method == Method::head),
      http10_(request.http10),
      upgrade_(request.headers.contains("Upgrade")),
      keep_(keep) {}

void StreamImpl::require_connected() const {
    if (watch_->closed) throw_client_gone();
}

// --- the answer ----------------------------------------------------------------------------

Task<void> StreamImpl::send_head(int status, Headers headers) {
    if (started_) co_return;
    started_ = true;
    if (head_request_ || is_bodyless(status)) {
        framing_ = Framing::none;
    } else if (headers.contains("Content-Length")) {
        framing_ = Framing::length;
    } else if (http10_) {
        framing_ = Framing::close;
    }
    if (framing_ == Framing::close) keep_ = false;
    std::string out;
    append_head(out, status, endpoint_.headers, headers, {.framing = framing_, .close = !keep_});
    co_await connection_.write_all(out);
}

Task<void> StreamImpl::write(std::string_view bytes) {
    if (!started_) co_await send_head(200, {});
    require_connected();
    if (bytes.empty() || framing_ == Framing::none) co_return;
    const bool chunk = framing_ == Framing::chunked;
    const std::string head = chunk ? fmt::format("{:x}\r\n", bytes.size()) : std::string();
    std::array<iovec, 3> parts{part_of(head), part_of(bytes), part_of(chunk ? "\r\n" : "")};
    co_await connection_.write_parts(parts);
}

Task<void> StreamImpl::respond(Response response) {
    std::string out;
    append_response(out, response, endpoint_.headers, head_request_, http10_, keep_);
    started_ = true;
    finished_ = true;
    co_await connection_.write_all(out);
}

Task<void> StreamImpl::finish() {
    if (!started_) co_await send_head(200, {});
    if (finished_) co_return;
    finished_ = true;
    if (framing_ == Framing::chunked) co_await connection_.write_all("0\r\n\r\n");
}

Task<void> StreamImpl::complete() {
    if (connection_.released_ || finished_) co_return;
    if (watch_->closed) throw_client_gone();
    co_await finish();
}

// --- waiting -------------------------------------------------------------------------------

/// Looks for the client's end. Bytes that come meanwhile are kept for the next request, up to a
/// limit beyond which the client is no longer watched.
void StreamImpl::watch(const std::shared_ptr<Connection>& connection,
                       const std::shared_ptr<Watch>& state) {
    if (state->pending || state->closed || state->stopped) return;
    if (connection->in_.size() > connection->core_.receive_buffer.size()) return;
    state->pending = true;
    auto on_readable = [connection, state](const boost::system::error_code& error) {
        state->pending = false;
        if (state->stopped) return;
        if (error || connection->receive_now() == Connection::Received::end) {
            state->closed = true;
            if (state->waiter) state->waiter->cancel();
            return;
        }
        watch(connection, state);
    };
    connection->socket_.async_wait(Socket::wait_read, on_readable);
}

void StreamImpl::stop_watching() {
    watch_->stopped = true;
    if (!watch_->pending || connection_.released_) return;
    boost::system::error_code ignored;
    connection_.socket_.cancel(ignored);
}

Task<Wake> StreamImpl::wait_any(Notifier::State* notifier, int fd,
                                std::optional<std::chrono::nanoseconds> timeout) {
    asio::io_context& io = connection_.core_.io;
    watch(connection_.shared_from_this(), watch_);

    asio::steady_timer timer(io);
    using Duration = asio::steady_timer::duration;
    if (timeout) {
        timer.expires_after(std::chrono::duration_cast<Duration>(*timeout));
    } else {
        timer.expires_at(asio::steady_timer::time_point::max());
    }

    // The handler may run after this frame is gone: it sees only `readable`.
    auto readable = std::make_shared<asio::steady_timer*>(&timer);
    auto is_readable = std::make_shared<bool>(false);
    asio::posix::stream_descriptor descriptor(io);
    if (fd >= 0) {
        descriptor.assign(fd);
        auto on_readable = [readable, is_readable](const boost::system::error_code& error) {
            if (error || !*readable) return;
            *is_readable = true;
            (*readable)->cancel();
        };
        descriptor.async_wait(asio::posix::descriptor_base::wait_read, on_readable);
    }
    watch_->waiter = &timer;
    if (notifier) notifier->waiter = &timer;
    base::Undo unlink([&]() noexcept {
        *readable = nullptr;
        watch_->waiter = nullptr;
        if (notifier) notifier->waiter = nullptr;
        if (descriptor.is_open()) (void)descriptor.release();
    });

    bool timed_out = false;
    while (true) {
        if (notifier && std::exchange(notifier->fired, false)) co_return Wake::notified;
        if (*is_readable) co_return Wake::readable;
        if (watch_->closed) co_return Wake::closed;
        if (timed_out) co_return Wake::timeout;
        const auto [error] = co_await timer.async_wait(as_result);
        timed_out = !error;
    }
}

Task<Wake> StreamImpl::wait(Notifier& notifier, std::optional<std::chrono::nanoseconds> timeout) {
    co_return co_await wait_any(notifier.state_.get(), -1, timeout);
}

Task<Wake> StreamImpl::wait_readable(int fd, std::optional<std::chrono::nanoseconds> timeout) {
    co_return co_await wait_any(nullptr, fd, timeout);
}

Task<Wake> StreamImpl::wait_either(Notifier& notifier, int fd,
                                   std::optional<std::chrono::nanoseconds> timeout) {
    co_return co_await wait_any(notifier.state_.get(), fd, timeout);
}

Task<Wake> StreamImpl::sleep(std::chrono::nanoseconds time) {
    co_return co_await wait_any(nullptr, -1, time);
}

Task<void> StreamImpl::closed() { (void)co_await wait_any(nullptr, -1, std::nullopt); }

// --- leaving HTTP --------------------------------------------------------------------------

Task<RawConnection> StreamImpl::hijack(HijackHead head) {
    stop_watching();
    std::string out;
    if (upgrade_) {
        out = fmt::format(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: {}\r\nConnection: Upgrade\r\nUpgrade: {}\r\n",
            head.content_type, head.protocol);
    } else {
        out = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n";
    }
    if (head.api_headers) out += endpoint_.headers;
    out += "\r\n";
    if (!head.raw_head.empty()) out = std::move(head.raw_head);
    started_ = true;
    finished_ = true;
    co_await connection_.write_all(out);

    connection_.released_ = true;
    RawConnection raw{.fd = base::Fd(connection_.socket_.release()),
                      .early = std::move(connection_.in_)};
    connection_.in_.clear();
    co_return raw;
}

// Source: moby api/server/router/container/container_routes.go, postContainersAttach, its
// errors after the connection was hijacked.
Task<void> StreamImpl::bare_error(int status, std::string text) {
    started_ = true;
    finished_ = true;
    keep_ = false;
    connection_.linger_ = true;
    const std::string out = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
        "{}\r\n",
        status, status_text(status), text);
    co_await connection_.write_all(out);
}

Task<void> StreamImpl::bare_error_response(const Response& response) {
    co_await bare_error(response.status, response.error_text);
}

}  // namespace dockerd::http

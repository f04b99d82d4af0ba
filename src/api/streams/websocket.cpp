#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>

#include <dockerd/base/error.hpp>

#include "../codec/container_requests.hpp"
#include "streams.hpp"
#include "websocket_frames.hpp"

namespace dockerd::api {

namespace asio = boost::asio;
using http::HijackHead;
using http::RawConnection;
using http::Request;
using http::Stream;
using http::Task;
using websocket::Opcode;

namespace {

using Socket = asio::generic::stream_protocol::socket;

Socket adopt(const asio::any_io_executor& executor, base::Fd fd) {
    return Socket(executor, asio::generic::stream_protocol(AF_UNIX, 0), fd.release());
}

/// Copies between a websocket client and the raw stream of a container.
class Relay : public std::enable_shared_from_this<Relay> {
public:
    Relay(const asio::any_io_executor& executor, RawConnection client, base::Fd inner,
          Opcode opcode)
        : client_(adopt(executor, std::move(client.fd))),
          inner_(adopt(executor, std::move(inner))),
          written_(executor),
          opcode_(opcode) {
        frames_.feed(client.early);
    }

    /// Frames of the client to bytes of the container, until either end closes.
    Task<void> inward() {
        std::array<char, 16384> piece;
        boost::system::error_code error;
        while (!error && co_await handle_frames()) {
            const std::size_t got = co_await client_.async_read_some(
                asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
            if (!error) frames_.feed({piece.data(), got});
        }
        // A websocket has no half-close: the client leaves, and outward() says goodbye.
        boost::system::error_code ignored;
        inner_.close(ignored);
    }

    /// Bytes of the container to frames, until it closes.
    Task<void> outward() {
        std::array<char, 32768> piece;
        boost::system::error_code error;
        for (;;) {
            const std::size_t got = co_await inner_.async_read_some(
                asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
            if (error) break;
            co_await send(websocket::frame(opcode_, {piece.data(), got}));
            co_await drained();
        }
        // 1000: a normal end. Source: RFC 6455, 7.4.1.
        co_await send(websocket::frame(Opcode::close, std::string_view("\x03\xE8", 2)));
        co_await drained();
        client_.close(error);
    }

private:
    /// Acts on what was received; false when the client is done.
    Task<bool> handle_frames() {
        using Event = websocket::Reader::Event;
        for (;;) {
            auto result = frames_.next();
            if (result.event == Event::need_more) co_return true;
            if (result.event == Event::close || result.event == Event::broken) co_return false;
            if (result.event == Event::ping) {
                co_await send(websocket::frame(Opcode::pong, result.payload));
                continue;
            }
            boost::system::error_code error;
            co_await asio::async_write(inner_, asio::buffer(result.payload),
                                       asio::redirect_error(asio::use_awaitable, error));
            if (error) co_return false;
        }
    }

    /// Queues a frame; whoever finds nobody writing writes the queue out.
    Task<void> send(std::string bytes) {
        queued_ += bytes;
        if (writing_) co_return;
        writing_ = true;
        boost::system::error_code error;
        while (!error && !queued_.empty()) {
            const std::string out = std::exchange(queued_, "");
            co_await asio::async_write(client_, asio::buffer(out),
                                       asio::redirect_error(asio::use_awaitable, error));
        }
        writing_ = false;
        written_.cancel();
    }

    /// Waits until the queue is out, so that a slow client slows the container's stream.
    Task<void> drained() {
        while (writing_) {
            written_.expires_at(asio::steady_timer::time_point::max());
            boost::system::error_code cancelled;
            co_await written_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        }
    }

    Socket client_;
    Socket inner_;
    asio::steady_timer written_;
    Opcode opcode_;
    websocket::Reader frames_;
    std::string queued_;
    bool writing_ = false;
};

Task<void> run_inward(std::shared_ptr<Relay> relay) { co_await relay->inward(); }
Task<void> run_outward(std::shared_ptr<Relay> relay) { co_await relay->outward(); }

std::array<base::Fd, 2> make_pair() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
        base::throw_errno(errno, "socketpair");
    }
    return {base::Fd(fds[0]), base::Fd(fds[1])};
}

}  // namespace

// GET /containers/{name}/attach/ws
Task<void> Streams::attach_websocket(Request request, Stream& stream) {
    const engine::AttachOptions options = codec::decode_websocket_attach(request);
    auto open = [&] { return containers_.attach(request.path_param("name"), options); };
    base::WorkerPool& pool = stream.calls();
    const auto session = co_await http::offload(pool, std::move(open));

    const websocket::Handshake handshake = websocket::accept(request);
    HijackHead head;
    head.raw_head = handshake.head;
    if (!handshake.error.empty()) {
        head.raw_head = "HTTP/1.1 400 Bad Request\r\n\r\n" + handshake.error;
    }
    RawConnection raw = co_await stream.hijack(std::move(head));
    if (!handshake.error.empty()) co_return;

    auto ends = make_pair();
    const auto executor = co_await asio::this_coro::executor;
    const Opcode opcode = codec::websocket_is_binary(request) ? Opcode::binary : Opcode::text;
    const auto relay =
        std::make_shared<Relay>(executor, std::move(raw), std::move(ends[0]), opcode);
    auto run = [&] { session->run(std::move(ends[1]), ""); };
    co_await http::offload(pool, std::move(run));
    asio::co_spawn(executor, run_inward(relay), asio::detached);
    asio::co_spawn(executor, run_outward(relay), asio::detached);
}

}  // namespace dockerd::api

#include "connection.hpp"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "response_head.hpp"
#include "stream_impl.hpp"
#include "transfer.hpp"

namespace dockerd::http {
namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

std::optional<PeerCredentials> peer_of(int fd, int family) {
    if (family != AF_UNIX) return std::nullopt;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
    return PeerCredentials{.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
}

/// What is wrong with the Host header, in Go's words; "" when nothing is.
/// Source: Go net/http server.go, readRequest; golang.org/x/net/http/httpguts, ValidHostHeader.
std::string_view host_fault(const Request& request) {
    const std::string* host = nullptr;
    for (const Header& header : request.headers.all()) {
        if (!base::iequals(header.name, "Host")) continue;
        if (host != nullptr) return "too many Host headers";
        host = &header.value;
    }
    if (host == nullptr) return request.http10 ? "" : "missing required Host header";
    const auto valid = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("!$%&'()*+,-.:;=[]_~").find(c) != std::string_view::npos;
    };
    return std::ranges::all_of(*host, valid) ? "" : "malformed Host header";
}

bool expects_continue(const Request& request) {
    return !request.http10 && request.headers.has_token("Expect", "100-continue");
}

/// Method and target without headers and body: what error() needs once the request is given away.
Request brief_of(const Request& request) {
    Request brief;
    brief.method = request.method;
    brief.method_text = request.method_text;
    brief.target = request.target;
    brief.path = request.path;
    brief.version_text = request.version_text;
    brief.version = request.version;
    brief.http10 = request.http10;
    brief.from_network = request.from_network;
    brief.id = request.id;
    return brief;
}

template <typename Function>
Response guarded(Application& app, const Request& request, const Function& run) {
    try {
        return run(request);
    } catch (...) {
        return app.error(request, std::current_exception());
    }
}

}  // namespace

void throw_client_gone() { throw base::Error(base::ErrorKind::unavailable, "client went away"); }

Connection::Connection(Core& core, base::Fd fd, int family, bool from_network,
                       std::shared_ptr<const TlsPeer> tls)
    : core_(core),
      socket_(core.io),
      family_(family),
      from_network_(from_network),
      tls_(std::move(tls)) {
    if (!from_network) peer_ = peer_of(fd.get(), family);
    socket_.assign(asio::generic::stream_protocol(family, 0), fd.get());
    (void)fd.release();
}

void Connection::shutdown(int how) noexcept {
    if (released_) return;
    // The descriptor is open even while a transfer has it: it is closed by this class alone.
    (void)::shutdown(socket_.is_open() ? socket_.native_handle() : transfer_fd_, how);
}

void Connection::enter(State state) {
    if (state_ == State::idle) core_.idle.erase(idle_position_);
    state_ = state;
    if (state == State::idle) {
        idle_position_ = core_.idle.insert(core_.idle.end(), this);
    }
}

void Connection::account(std::size_t bytes) {
    core_.buffered = core_.buffered - accounted_ + bytes;
    accounted_ = bytes;
}

Task<void> Connection::serve(std::shared_ptr<Connection> self) {
    try {
        while (co_await self->serve_one()) {
        }
    } catch (const base::Error&) {
        // The client went away while it was being answered.
    } catch (const std::exception& error) {
        base::log::error("http connection failed: {}", error.what());
    }
    self->enter(State::closing);
    self->account(0);
    if (!self->released_ && self->linger_) co_await self->linger();
    boost::system::error_code ignored;
    if (self->socket_.is_open()) self->socket_.close(ignored);
    Core& core = self->core_;
    core.connections.erase(self->position);
    --core.connection_count;
}

// --- bytes ---------------------------------------------------------------------------------

Connection::Received Connection::receive_now() {
    while (true) {
        const ssize_t count = ::recv(socket_.native_handle(), core_.receive_buffer.data(),
                                     core_.receive_buffer.size(), MSG_DONTWAIT);
        if (count > 0) {
            in_.append(core_.receive_buffer.data(), static_cast<std::size_t>(count));
            return Received::data;
        }
        if (count == 0) return Received::end;
        if (errno == EINTR) continue;
        return errno == EAGAIN ? Received::nothing : Received::end;
    }
}

Task<bool> Connection::receive() {
    while (true) {
        const auto [error] = co_await socket_.async_wait(Socket::wait_read, as_result);
        if (error) co_return false;
        switch (receive_now()) {
            case Received::data:
                co_return true;
            case Received::end:
                co_return false;
            case Received::nothing:
                break;
        }
    }
}

bool Connection::write_now(std::span<iovec> parts) {
    while (true) {
        while (!parts.empty() && parts.front().iov_len == 0) parts = parts.subspan(1);
        if (parts.empty()) return true;
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        const ssize_t sent =
            ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return false;
            throw_client_gone();
        }
        auto left = static_cast<std::size_t>(sent);
        for (iovec& part : parts) {
            const std::size_t taken = std::min(left, part.iov_len);
            part.iov_base = static_cast<char*>(part.iov_base) + taken;
            part.iov_len -= taken;
            left -= taken;
        }
    }
}

Task<void> Connection::write_parts(std::span<iovec> parts) {
    while (!write_now(parts)) {
        const auto [error] = co_await socket_.async_wait(Socket::wait_write, as_result);
        if (error) throw_client_gone();
    }
}

Task<void> Connection::write_all(std::string_view bytes) {
    // sendmsg takes a pointer to mutable bytes and does not change them.
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    co_await write_parts({&part, 1});
}

RequestParser::Result Connection::feed(RequestParser& parser) {
    std::string_view rest = in_;
    const RequestParser::Result result = parser.feed(rest);
    if (rest.empty()) {
        std::string().swap(in_);
    } else {
        in_.erase(0, in_.size() - rest.size());
    }
    return result;
}

// --- one request ---------------------------------------------------------------------------

Task<bool> Connection::wait_for_request() {
    if (core_.stopping) co_return false;
    enter(State::idle);
    const bool got = co_await receive();
    enter(State::reading);
    co_return got;
}

/// The slow path: a head that comes in several pieces, within the header timeout.
Task<bool> Connection::read_head(RequestParser& parser) {
    asio::steady_timer deadline(core_.io, core_.options.limits.header_timeout);
    auto on_deadline = [weak = weak_from_this()](const boost::system::error_code& error) {
        if (error) return;
        if (const auto self = weak.lock()) self->shutdown(SHUT_RD);
    };
    deadline.async_wait(on_deadline);
    while (true) {
        account(in_.size());
        if (core_.buffered > core_.options.limits.buffered_bytes) {
            co_return co_await refuse(503, "503 Service Unavailable");
        }
        const bool more = co_await receive();
        if (!more) co_return false;
        switch (feed(parser)) {
            case RequestParser::Result::need_more:
                break;
            case RequestParser::Result::head:
            case RequestParser::Result::done:
                account(0);
                co_return true;
            case RequestParser::Result::bad:
                co_return co_await refuse(parser.error_status(), parser.error());
        }
    }
}

Task<bool> Connection::serve_one() {
    if (in_.empty()) {
        const bool got = co_await wait_for_request();
        if (!got) co_return false;
    }
    continue_sent_ = false;
    RequestParser parser(core_.options.limits.header_bytes);
    switch (feed(parser)) {
        case RequestParser::Result::head:
        case RequestParser::Result::done:
            break;
        case RequestParser::Result::bad:
            co_return co_await refuse(parser.error_status(), parser.error());
        case RequestParser::Result::need_more: {
            const bool complete = co_await read_head(parser);
            if (!complete) co_return false;
            break;
        }
    }
    Request request = std::move(parser.request());
    if (const auto fault = host_fault(request); !fault.empty()) {
        // Go keeps the last one of these to itself.
        const bool told = fault != "too many Host headers";
        std::string text = "400 Bad Request";
        if (told) text += fmt::format(": {}", fault);
        co_return co_await refuse(400, std::move(text), told);
    }
    request.peer = peer_;
    request.from_network = from_network_;
    request.tls = tls_;
    co_return co_await dispatch(parser, std::move(request));
}

Task<bool> Connection::dispatch(RequestParser& parser, Request request) {
    if (request.headers.contains("Expect") && !expects_continue(request)) {
        // Source: Go net/http, sendExpectationFailed: no text, and the connection ends.
        linger_ = true;
        co_await write_all(
            "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        co_return false;
    }
    const Endpoint& endpoint = core_.app.route(request);
    if (std::holds_alternative<Transfer>(endpoint.kind)) {
        co_return co_await answer_transfer(parser, request, endpoint);
    }

    const bool is_session = std::holds_alternative<Session>(endpoint.kind);
    // What follows a chunked upgrade request is the session's input: an upgrade is answered
    // before its body ends.
    const bool raw_body =
        is_session && request.content_length < 0 && request.headers.contains("Upgrade");
    if (!raw_body && !parser.done()) {
        switch (co_await read_body(parser, request)) {
            case BodyResult::complete:
                break;
            case BodyResult::gone:
                co_return false;
            case BodyResult::bad:
                co_return co_await refuse(parser.error_status(), parser.error());
            case BodyResult::too_large:
                co_return co_await refuse(413, "413 Request Entity Too Large");
        }
    }
    request.body = std::move(parser.body());
    if (is_session) co_return co_await answer_session(parser, std::move(request), endpoint);
    co_return co_await answer_call(parser, request, endpoint);
}

Task<Connection::BodyResult> Connection::read_body(RequestParser& parser, const Request& request) {
    const std::size_t limit = core_.options.limits.body_bytes;
    if (request.content_length > static_cast<std::int64_t>(limit)) {
        co_return BodyResult::too_large;
    }
    while (true) {
        switch (feed(parser)) {
            case RequestParser::Result::done:
                account(0);
                co_return BodyResult::complete;
            case RequestParser::Result::bad:
                co_return BodyResult::bad;
            case RequestParser::Result::head:
            case RequestParser::Result::need_more:
                break;
        }
        account(in_.size() + parser.body().size());
        // A chunk header longer than any buffer is an attack as well.
        if (parser.body().size() > limit || in_.size() > core_.receive_buffer.size() * 2 ||
            core_.buffered > core_.options.limits.buffered_bytes) {
            co_return BodyResult::too_large;
        }
        if (expects_continue(request) && !continue_sent_) {
            continue_sent_ = true;
            co_await write_all("HTTP/1.1 100 Continue\r\n\r\n");
        }
        const bool more = co_await receive();
        if (!more) co_return BodyResult::gone;
    }
}

/// An answer outside the API, after which the connection ends. Source: Go net/http, serve.
Task<bool> Connection::refuse(int status, std::string text, bool in_status_line) {
    const std::string line =
        in_status_line ? text : fmt::format("{} {}", status, status_text(status));
    const std::string head = fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Connection: close\r\n\r\n{}",
        line, text);
    linger_ = true;
    co_await write_all(head);
    co_return false;
}

Task<bool> Connection::send(const Request& request, const Endpoint& endpoint,
                            const Response& response, bool keep) {
    std::string& out = core_.send_buffer;
    out.clear();
    append_response(out, response, endpoint.headers, request.method == Method::head, request.http10,
                    keep);
    iovec part{out.data(), out.size()};
    const bool sent = write_now({&part, 1});
    std::string rest;
    // The buffer belongs to the next answer as soon as this coroutine waits.
    if (!sent) rest.assign(static_cast<const char*>(part.iov_base), part.iov_len);
    if (out.capacity() > (256u << 10)) std::string().swap(out);
    if (!sent) co_await write_all(rest);
    co_return keep;
}

Task<bool> Connection::answer_call(RequestParser& parser, Request& request,
                                   const Endpoint& endpoint) {
    const bool keep = parser.keep_alive();
    if (const auto* call = std::get_if<InlineCall>(&endpoint.kind)) {
        const Response response = guarded(core_.app, request, call->run);
        co_return co_await send(request, endpoint, response, keep && !core_.stopping);
    }
    enter(State::calling);
    Response response;
    const auto& run = std::get<Call>(endpoint.kind).run;
    std::function<void()> job = [&]() { response = guarded(core_.app, request, run); };
    co_await run_on(core_.calls, std::move(job));
    enter(State::reading);
    co_return co_await send(request, endpoint, response, keep && !core_.stopping);
}

Task<bool> Connection::answer_session(RequestParser& parser, Request request,
                                      const Endpoint& endpoint) {
    enter(State::session);
    const bool keep = parser.keep_alive() && parser.done();
    const Request brief = brief_of(request);
    const Session& session = std::get<Session>(endpoint.kind);
    StreamImpl stream(*this, request, endpoint, keep);
    std::exception_ptr failure;
    try {
        co_await session.run(std::move(request), stream);
        co_await stream.complete();
    } catch (...) {
        failure = std::current_exception();
    }
    stream.stop_watching();
    if (failure) {
        if (stream.started() || released_) co_return false;
        const Response response = core_.app.error(brief, failure);
        if (session.bare_errors) {
            co_await stream.bare_error_response(response);
            co_return false;
        }
        enter(State::reading);
        co_return co_await send(brief, endpoint, response, keep && !core_.stopping);
    }
    if (released_) co_return false;
    enter(State::reading);
    co_return stream.keep() && !core_.stopping;
}

/// Gives the descriptor to a pool thread, which reads and writes it directly: no byte of a
/// transfer passes through the io thread.
Task<bool> Connection::answer_transfer(RequestParser& parser, Request& request,
                                       const Endpoint& endpoint) {
    enter(State::transfer);
    TransferSetup setup{.app = core_.app,
                        .request = request,
                        .endpoint = endpoint,
                        .parser = parser,
                        .input = in_,
                        .limits = core_.options.limits,
                        .keep_alive = parser.keep_alive() && !core_.stopping,
                        .expects_continue = expects_continue(request)};
    // Out of epoll: otherwise every arriving packet would wake the io thread as well.
    transfer_fd_ = socket_.release();
    setup.fd = transfer_fd_;
    TransferResult result;
    std::function<void()> job = [&]() { result = run_transfer(setup); };
    co_await run_on(core_.transfers, std::move(job));
    socket_.assign(asio::generic::stream_protocol(family_, 0), std::exchange(transfer_fd_, -1));
    enter(State::reading);
    linger_ = result.unread;
    co_return result.keep && !core_.stopping;
}

/// Ends our side and reads on for a moment, so that the answer is not lost in a reset while the
/// client is still sending. Source: Go net/http, closeWriteAndWait.
Task<void> Connection::linger() {
    (void)::shutdown(socket_.native_handle(), SHUT_WR);
    asio::steady_timer deadline(core_.io, std::chrono::milliseconds(500));
    auto on_deadline = [weak = weak_from_this()](const boost::system::error_code& error) {
        if (error) return;
        if (const auto self = weak.lock()) self->shutdown(SHUT_RDWR);
    };
    deadline.async_wait(on_deadline);
    constexpr std::size_t most = 8u << 20;
    for (std::size_t dropped = 0; dropped < most;) {
        const bool more = co_await receive();
        if (!more) co_return;
        dropped += in_.size();
        in_.clear();
    }
}

}  // namespace dockerd::http

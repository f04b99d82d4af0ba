#include "transfer.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/worker_pool.hpp>

#include "connection.hpp"
#include "response_head.hpp"

namespace dockerd::http {
namespace {

constexpr std::size_t receive_size = 128u << 10;
constexpr std::size_t send_size = 32u << 10;

/// Waits for `events`. False when the time is over.
bool wait_for(int fd, short events, int timeout_ms = -1) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    const base::LongWait wait;
    while (true) {
        const int ready = ::poll(&entry, 1, timeout_ms);
        if (ready >= 0) return ready > 0;
        if (errno != EINTR) base::throw_errno(errno, "poll");
    }
}

void send_parts(int fd, std::span<iovec> parts) {
    while (true) {
        while (!parts.empty() && parts.front().iov_len == 0) parts = parts.subspan(1);
        if (parts.empty()) return;
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) throw_client_gone();
            (void)wait_for(fd, POLLOUT);
            continue;
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

iovec part_of(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

class SocketBody final : public BodyReader {
public:
    explicit SocketBody(TransferSetup& setup)
        : setup_(setup), expects_continue_(setup.expects_continue) {}

    std::size_t read(std::span<char> buffer) override {
        if (buffer.empty()) return 0;
        std::string& ready = setup_.parser.body();
        while (taken_ == ready.size()) {
            ready.clear();
            taken_ = 0;
            if (!parse_more()) return 0;
        }
        const std::size_t count = std::min(buffer.size(), ready.size() - taken_);
        std::memcpy(buffer.data(), ready.data() + taken_, count);
        taken_ += count;
        return count;
    }

    [[nodiscard]] bool has_body() const override { return setup_.request.content_length != 0; }
    /// True when the client was told to send, or never asked.
    [[nodiscard]] bool may_be_sending() const { return !expects_continue_; }

private:
    /// Feeds the parser until it has body bytes. False at the end of the body.
    bool parse_more() {
        while (true) {
            std::string_view rest = setup_.input;
            const auto result = setup_.parser.feed(rest);
            setup_.input.erase(0, setup_.input.size() - rest.size());
            if (result == RequestParser::Result::bad) {
                base::fail(base::ErrorKind::invalid_argument, setup_.parser.error());
            }
            if (!setup_.parser.body().empty()) return true;
            if (setup_.parser.done()) return false;
            if (setup_.input.size() > receive_size) {
                base::fail(base::ErrorKind::invalid_argument, "malformed chunked encoding");
            }
            receive();
        }
    }

    void receive() {
        if (expects_continue_) {
            expects_continue_ = false;
            iovec part = part_of("HTTP/1.1 100 Continue\r\n\r\n");
            send_parts(setup_.fd, {&part, 1});
        }
        const std::size_t old = setup_.input.size();
        setup_.input.resize(old + receive_size);
        ssize_t count = -1;
        while (true) {
            count = ::recv(setup_.fd, setup_.input.data() + old, receive_size, MSG_DONTWAIT);
            if (count >= 0) break;
            if (errno == EAGAIN) {
                (void)wait_for(setup_.fd, POLLIN);
            } else if (errno != EINTR) {
                break;
            }
        }
        setup_.input.resize(old + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        // Source: Go io, ErrUnexpectedEOF: what Docker's handlers report of a broken upload.
        if (count <= 0) base::fail(base::ErrorKind::invalid_argument, "unexpected EOF");
    }

    TransferSetup& setup_;
    bool expects_continue_;
    std::size_t taken_ = 0;
};

class SocketWriter final : public ResponseWriter {
public:
    SocketWriter(TransferSetup& setup, const SocketBody& body)
        : setup_(setup), body_(body), keep_(setup.keep_alive) {}

    void head(int status, Headers headers) override {
        status_ = status;
        headers_ = std::move(headers);
    }

    void write(std::string_view bytes) override {
        if (pending_.size() + bytes.size() <= send_size) {
            pending_ += bytes;
            return;
        }
        send_body(pending_, bytes);
        pending_.clear();
    }

    void flush() override {
        send_body(pending_, {});
        pending_.clear();
    }

    void respond(Response response) override {
        keep_ = keep_ && can_keep();
        std::string out;
        append_response(out, response, setup_.endpoint.headers,
                        setup_.request.method == Method::head, setup_.request.http10, keep_);
        started_ = true;
        complete_ = true;
        iovec part = part_of(out);
        send_parts(setup_.fd, {&part, 1});
    }

    [[nodiscard]] bool started() const override { return started_; }

    [[nodiscard]] bool client_gone() override {
        pollfd entry{.fd = setup_.fd, .events = POLLRDHUP, .revents = 0};
        return ::poll(&entry, 1, 0) > 0;
    }

    [[nodiscard]] int poll_fd() const override { return setup_.fd; }

    /// Ends the answer.
    void finish() {
        if (complete_) return;
        if (!started_) {
            // Short and never flushed: its length is known.
            Response whole = Response::empty(status_);
            whole.headers = std::move(headers_);
            whole.body = std::move(pending_);
            respond(std::move(whole));
            return;
        }
        flush();
        complete_ = true;
        if (framing_ == Framing::chunked) {
            iovec part = part_of("0\r\n\r\n");
            send_parts(setup_.fd, {&part, 1});
        }
    }

    [[nodiscard]] bool keep() const { return keep_ && framing_ != Framing::close; }

private:
    /// Whether what is left of the body is little enough to be read and dropped.
    [[nodiscard]] bool can_keep() const {
        if (setup_.parser.done()) return true;
        const std::int64_t length = setup_.request.content_length;
        return body_.may_be_sending() && length >= 0 &&
               length <= static_cast<std::int64_t>(setup_.limits.drain_bytes);
    }

    std::string start() {
        started_ = true;
        const Request& request = setup_.request;
        if (request.method == Method::head || is_bodyless(status_)) {
            framing_ = Framing::none;
        } else if (headers_.contains("Content-Length")) {
            framing_ = Framing::length;
        } else {
            framing_ = request.http10 ? Framing::close : Framing::chunked;
        }
        keep_ = keep_ && can_keep() && framing_ != Framing::close;
        std::string out;
        append_head(out, status_, setup_.endpoint.headers, headers_,
                    {.framing = framing_, .close = !keep_});
        return out;
    }

    void send_body(std::string_view first, std::string_view second) {
        const std::string head = started_ ? std::string() : start();
        const std::size_t size = first.size() + second.size();
        const bool chunk = framing_ == Framing::chunked && size > 0;
        const std::string chunk_head = chunk ? fmt::format("{:x}\r\n", size) : std::string();
        if (framing_ == Framing::none) first = second = {};
        std::array<iovec, 5> parts{part_of(head), part_of(chunk_head), part_of(first),
                                   part_of(second), part_of(chunk ? "\r\n" : "")};
        send_parts(setup_.fd, parts);
    }

    TransferSetup& setup_;
    const SocketBody& body_;
    int status_ = 200;
    Headers headers_;
    std::string pending_;
    Framing framing_ = Framing::length;
    bool keep_;
    bool started_ = false;
    bool complete_ = false;
};

/// Drops what is left of the body. True when it came to its end.
bool drain_rest(TransferSetup& setup, SocketBody& body) {
    if (setup.parser.done()) return true;
    if (!body.may_be_sending()) return false;
    std::array<char, 8192> buffer;
    try {
        for (std::size_t dropped = 0; dropped < setup.limits.drain_bytes;) {
            if (setup.input.empty() && setup.parser.body().empty() &&
                !wait_for(setup.fd, POLLIN, /*timeout_ms=*/2000)) {
                return false;
            }
            const std::size_t count = body.read(buffer);
            if (count == 0) return true;
            dropped += count;
        }
    } catch (const base::Error&) {
        return false;
    }
    return false;
}

}  // namespace

TransferResult run_transfer(TransferSetup& setup) noexcept {
    SocketBody body(setup);
    SocketWriter writer(setup, body);
    try {
        try {
            std::get<Transfer>(setup.endpoint.kind).run(setup.request, body, writer);
        } catch (...) {
            if (writer.started()) throw;
            // First the rest of a small body: else its sender fails before it reads why.
            // Source: Go net/http, chunkWriter.writeHeader.
            const bool small = setup.request.content_length <=
                               static_cast<std::int64_t>(setup.limits.drain_bytes);
            if (setup.keep_alive && small) (void)drain_rest(setup, body);
            writer.respond(setup.app.error(setup.request, std::current_exception()));
        }
        writer.finish();
    } catch (const std::exception& error) {
        // Too late for an answer: the broken connection tells the client.
        base::log::debug("{} {}: {}", setup.request.method_text, setup.request.target,
                         error.what());
        return {.keep = false, .unread = false};
    }
    if (!writer.keep()) return {.keep = false, .unread = !setup.parser.done()};
    const bool drained = drain_rest(setup, body);
    return {.keep = drained, .unread = !drained};
}

std::string BodyReader::read_all(std::size_t limit) {
    std::string out;
    std::array<char, 16384> buffer;
    while (const std::size_t count = read(buffer)) {
        if (out.size() + count > limit) {
            base::fail(base::ErrorKind::invalid_argument, "request body too large");
        }
        out.append(buffer.data(), count);
    }
    return out;
}

void BodyReader::drain() {
    std::array<char, 16384> buffer;
    while (read(buffer) > 0) {
    }
}

}  // namespace dockerd::http

#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <dockerd/http/message.hpp>

namespace dockerd::http {

/// The body of a request to a transfer route, read as it arrives.
///
/// Thread: the transfer's own; calls block until the client sends.
class BodyReader {
public:
    virtual ~BodyReader() = default;

    /// Reads up to buffer.size() bytes; 0 at the end of the body. The first call answers an
    /// `Expect: 100-continue`.
    /// Throws: invalid_argument, "unexpected EOF" when the client vanishes within the body, or a
    /// text on bad chunks.
    virtual std::size_t read(std::span<char> buffer) = 0;

    /// Reads the whole body. Throws: invalid_argument, "request body too large".
    std::string read_all(std::size_t limit = 16u << 20);
    /// Reads and drops what is left.
    void drain();
    /// True when the request declares a body.
    [[nodiscard]] virtual bool has_body() const = 0;
};

/// The answer of a transfer route, written as it is made.
///
/// Unless head() set a Content-Length, a short answer that was never flushed gets one and any
/// other is chunked. An exception that leaves the handler becomes a JSON error when nothing was
/// sent yet, and breaks the connection off otherwise.
///
/// Thread: the transfer's own; calls block while the client is slow.
/// Throws: unavailable, "client went away", from every function but client_gone().
class ResponseWriter {
public:
    virtual ~ResponseWriter() = default;

    /// Sets status and headers; sent with the first bytes. Not called: 200 without headers.
    virtual void head(int status, Headers headers) = 0;
    /// Appends to the body; sent when the buffer is full, at flush() and at the end.
    virtual void write(std::string_view bytes) = 0;
    /// Sends everything now: after each message of a progress stream.
    virtual void flush() = 0;
    /// A whole answer in place of head() and write().
    virtual void respond(Response response) = 0;
    /// True once anything, the head included, has gone to the client.
    [[nodiscard]] virtual bool started() const = 0;
    /// Whether the client has closed its end; does not block.
    [[nodiscard]] virtual bool client_gone() = 0;
    /// The connection, to poll for POLLRDHUP beside something else.
    [[nodiscard]] virtual int poll_fd() const = 0;
};

}  // namespace dockerd::http

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <dockerd/http/message.hpp>

namespace dockerd::http {

/// Reads one HTTP/1.x request out of bytes as they come. Knows nothing of sockets.
class RequestParser {
public:
    enum class Result {
        need_more,  ///< consumed what it could
        head,       ///< the head is complete, once
        done,       ///< the whole request is complete
        bad,        ///< malformed: see error()
    };

    explicit RequestParser(std::size_t header_limit);
    ~RequestParser();
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    /// Takes bytes from the front of `input` and says how far it came. Body bytes go to body().
    /// Stops after the head and at the end of the request; the rest of `input` is left.
    Result feed(std::string_view& input);

    /// The head, after Result::head.
    Request& request();
    /// Decoded body bytes not taken yet.
    std::string& body();
    /// After the head: whether the whole body was read.
    [[nodiscard]] bool done() const;
    [[nodiscard]] bool keep_alive() const;
    /// The status and text of the answer to a malformed request. Source: Go net/http, serve.
    [[nodiscard]] int error_status() const;
    [[nodiscard]] const std::string& error() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::http

#pragma once

#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <memory>
#include <string>

#include "client_connection.hpp"

namespace dockerd::http {

/// An answer being read: what is left of the connection, and where in the body we are.
struct ClientResponse::State {
    using Parser = boost::beast::http::response_parser<boost::beast::http::buffer_body>;

    /// Reads the head, passing over 1xx. `is_head`: there is no body whatever the head says.
    void read_head(bool is_head, Deadline deadline);
    std::size_t read(std::span<char> buffer);
    [[nodiscard]] Deadline silence_from_now() const { return earlier(after(silence), whole); }

    std::unique_ptr<ClientConnection> connection;
    std::chrono::milliseconds silence{};
    Deadline whole;  ///< of all of it
    Url url;
    int status = 0;
    std::string status_line;
    Headers headers;
    std::int64_t content_length = -1;

private:
    void take_head();
    bool fill(Deadline deadline);
    std::size_t read_plain(std::span<char> buffer);
    std::size_t read_chunks(std::span<char> buffer);

    std::unique_ptr<Parser> parser_;
    std::string input_;  ///< what was read and not parsed
    std::size_t at_ = 0;
    bool chunked_ = false;
    bool done_ = false;
    std::int64_t left_ = 0;  ///< of a body with a length; -1 until the end of the connection
};

}  // namespace dockerd::http

#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <dockerd/api/api.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/http/server.hpp>

#include "fakes.hpp"

namespace dockerd::test {

/// One answer, its body without chunks.
struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string head;                            ///< as received
    std::string body;
};

/// A connection to the API. Reads fail the test after ten seconds instead of hanging.
class Connection {
public:
    explicit Connection(const std::string& socket_path);

    void send(std::string_view bytes) const;
    /// Ends what the client sends; answers still come.
    void close_write() const;
    /// Reads up to and including the blank line after the head.
    std::string read_head();
    /// Reads until `end` was seen; returns everything read with it.
    std::string read_until(std::string_view end);
    std::string read_all();
    Answer read_answer(bool head_request);

private:
    bool fill();
    std::string read_body(const Answer& answer);
    std::string read_exactly(std::size_t bytes);

    base::Fd socket_;
    std::string buffer_;
};

/// The whole API over fakes, behind a real server on a Unix socket.
class ServedApi {
public:
    explicit ServedApi(api::ApiOptions options = {});
    ~ServedApi();

    Fakes fakes;

    /// Asks "GET /v1.47/containers/json" with a JSON body, if any.
    Answer ask(std::string_view line, std::string_view body = "",
               std::string_view more_headers = "");
    Connection connect() { return Connection(path_); }
    /// A request as text, for what ask() does not do.
    static std::string request(std::string_view line, std::string_view body = "",
                               std::string_view more_headers = "");

private:
    std::string path_;
    std::unique_ptr<http::Application> application_;
    std::unique_ptr<http::Server> server_;
};

/// {"message":"<text>"} and a newline, the text escaped as JSON.
std::string message(std::string_view text);

}  // namespace dockerd::test

#pragma once

#include <string>
#include <string_view>

#include <dockerd/http/message.hpp>

namespace dockerd::http {

/// How the body of an answer ends.
enum class Framing { length, chunked, close, none };

struct HeadOptions {
    Framing framing = Framing::length;
    std::size_t length = 0;  ///< for Framing::length
    bool close = false;      ///< adds Connection: close
    bool http10_keep_alive = false;
};

/// Appends the head of an answer: status line, the endpoint's header lines, `headers`, Date and
/// what `options` asks for. A Content-Length in `headers` wins over `options`.
void append_head(std::string& out, int status, std::string_view endpoint_headers,
                 const Headers& headers, const HeadOptions& options);

/// True when an answer of this status has no body: 1xx, 204, 304.
constexpr bool is_bodyless(int status) { return status < 200 || status == 204 || status == 304; }

/// A whole answer with its body.
/// `head_only`: the request was HEAD. `http10`, `keep_alive`: as the request asks.
void append_response(std::string& out, const Response& response, std::string_view endpoint_headers,
                     bool head_only, bool http10, bool keep_alive);

}  // namespace dockerd::http

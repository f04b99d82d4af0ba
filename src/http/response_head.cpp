#include "response_head.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <iterator>

namespace dockerd::http {
namespace {

/// "Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n", made once a second and thread.
std::string_view date_line() {
    thread_local std::time_t made_at = 0;
    thread_local std::array<char, 48> line{};
    thread_local std::size_t size = 0;
    const std::time_t now = std::time(nullptr);
    if (now != made_at) {
        constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        std::tm utc{};
        ::gmtime_r(&now, &utc);
        const auto end = fmt::format_to_n(line.data(), line.size(),
                                          "Date: {}, {:02} {} {} {:02}:{:02}:{:02} GMT\r\n",
                                          days[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                                          months[static_cast<std::size_t>(utc.tm_mon)],
                                          utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
        size = end.size;
        made_at = now;
    }
    return {line.data(), size};
}

}  // namespace

void append_head(std::string& out, int status, std::string_view endpoint_headers,
                 const Headers& headers, const HeadOptions& options) {
    fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", status, status_text(status));
    out += endpoint_headers;
    for (const Header& header : headers.all()) {
        out += header.name;
        out += ": ";
        out += header.value;
        out += "\r\n";
    }
    out += date_line();
    switch (options.framing) {
        case Framing::length:
            if (!headers.contains("Content-Length")) {
                fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", options.length);
            }
            break;
        case Framing::chunked:
            out += "Transfer-Encoding: chunked\r\n";
            break;
        case Framing::close:
        case Framing::none:
            break;
    }
    if (options.close) {
        out += "Connection: close\r\n";
    } else if (options.http10_keep_alive) {
        out += "Connection: keep-alive\r\n";
    }
    out += "\r\n";
}

void append_response(std::string& out, const Response& response, std::string_view endpoint_headers,
                     bool head_only, bool http10, bool keep_alive) {
    HeadOptions options{.length = response.body.size(),
                        .close = !keep_alive,
                        .http10_keep_alive = http10 && keep_alive};
    if (is_bodyless(response.status) || (head_only && response.body.empty())) {
        options.framing = Framing::none;
    }
    if (response.plain) endpoint_headers = {};
    append_head(out, response.status, endpoint_headers, response.headers, options);
    if (!head_only && !is_bodyless(response.status)) out += response.body;
}

}  // namespace dockerd::http

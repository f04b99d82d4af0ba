#include "error_response.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string>

#include <dockerd/base/log.hpp>

namespace dockerd::api {
namespace {

/// Length of the UTF-8 sequence at the front of `text`, 0 when it is none.
std::size_t sequence_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    const std::size_t length = first < 0x80                    ? 1
                               : first >= 0xC2 && first < 0xE0 ? 2
                               : first >= 0xE0 && first < 0xF0 ? 3
                               : first >= 0xF0 && first < 0xF5 ? 4
                                                               : 0;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return length;
}

/// `text` as a JSON string, as Go's encoder writes it with HTML escaping off.
std::string json_string(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        const std::string_view piece = text.substr(0, length ? length : 1);
        text.remove_prefix(piece.size());
        if (length == 0) {
            out += "\\ufffd";
        } else if (piece == "\"" || piece == "\\") {
            out += '\\';
            out += piece;
        } else if (piece == "\n") {
            out += "\\n";
        } else if (piece == "\r") {
            out += "\\r";
        } else if (piece == "\t") {
            out += "\\t";
        } else if (piece == "\b") {
            out += "\\b";
        } else if (piece == "\f") {
            out += "\\f";
        } else if (length == 1 && static_cast<unsigned char>(piece[0]) < 0x20) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}",
                           static_cast<unsigned>(static_cast<unsigned char>(piece[0])));
        } else if (piece == "\u2028") {
            out += "\\u2028";
        } else if (piece == "\u2029") {
            out += "\\u2029";
        } else {
            out += piece;
        }
    }
    return out + '"';
}

}  // namespace

int status_of(base::ErrorKind kind) {
    switch (kind) {
        case base::ErrorKind::invalid_argument:
            return 400;
        case base::ErrorKind::unauthenticated:
            return 401;
        case base::ErrorKind::permission_denied:
            return 403;
        case base::ErrorKind::not_found:
            return 404;
        case base::ErrorKind::not_allowed:
            return 405;
        case base::ErrorKind::conflict:
            return 409;
        case base::ErrorKind::too_many_requests:
            return 429;
        case base::ErrorKind::internal:
            return 500;
        case base::ErrorKind::not_implemented:
            return 501;
        case base::ErrorKind::unavailable:
            return 503;
    }
    return 500;
}

http::Response error_json(int status, std::string_view message) {
    http::Response response =
        http::Response::json(status, fmt::format("{{\"message\":{}}}\n", json_string(message)));
    response.error_text = message;
    return response;
}

http::Response error_response(const http::Request& request, std::exception_ptr failure) noexcept {
    int status = 500;
    std::string message = "unknown error";
    try {
        std::rethrow_exception(std::move(failure));
    } catch (const base::Error& error) {
        status = status_of(error.kind());
        message = error.what();
    } catch (const std::exception& error) {
        message = error.what();
    } catch (...) {
    }
    if (status >= 500) {
        // Source: moby api/server/server.go, makeHTTPHandler.
        base::log::error("Handler for {} {} returned error: {}", request.method_text,
                         std::string_view(request.target).substr(0, request.target.find('?')),
                         message);
    }
    return error_json(status, message);
}

}  // namespace dockerd::api

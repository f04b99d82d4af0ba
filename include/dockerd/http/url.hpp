#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::http {

/// An absolute http or https URL, its parts as they were written.
struct Url {
    std::string scheme;     ///< "http" or "https"
    std::string user_info;  ///< "user:password", percent-encoded; or empty
    std::string host;       ///< "registry.example:5000", "[::1]:5000"
    std::string path;       ///< percent-encoded; empty or starts with "/"
    std::string query;      ///< percent-encoded, without "?"

    /// Throws: invalid_argument, `parse "x": <why>`. Source: Go net/url, Parse.
    static Url parse(std::string_view text);

    /// Without port and brackets.
    [[nodiscard]] std::string host_name() const;
    /// The port given or the scheme's. Pre: made by parse(), which has checked it.
    [[nodiscard]] std::uint16_t port() const;
    /// What a request line has: path and query.
    [[nodiscard]] std::string target() const;
    /// The whole, without the user's password.
    [[nodiscard]] std::string text() const;
    /// What `reference`, absolute or not, means on this page. Source: RFC 3986, 5.2.
    [[nodiscard]] Url resolve(std::string_view reference) const;
    /// Whether scheme, name and port are the same: what credentials are for.
    [[nodiscard]] bool same_origin(const Url& other) const;
};

/// Percent-encodes everything but letters, digits and "-_.~"; a space becomes "+".
/// Source: Go net/url, QueryEscape.
std::string query_escape(std::string_view text);

}  // namespace dockerd::http

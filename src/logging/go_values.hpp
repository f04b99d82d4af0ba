#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

/// Values in texts, read with Go's rules and refused in Go's words.
namespace dockerd::logging {

/// Throws Error{invalid_argument, text}.
[[noreturn]] void refuse(const std::string& text);

/// Throws: `strconv.Atoi: parsing "x": invalid syntax` or `... value out of range`.
std::int64_t parse_atoi(std::string_view text);
/// Throws: `strconv.ParseInt: parsing "x": invalid syntax` or `... value out of range`.
std::int32_t parse_int32(std::string_view text);
/// Throws: `strconv.ParseUint: parsing "x": invalid syntax` or `... value out of range`.
std::uint64_t parse_uint(std::string_view text, std::uint64_t most);
/// Throws: `strconv.ParseBool: parsing "x": invalid syntax`.
bool parse_bool(std::string_view text);
/// Throws: `time: invalid duration "x"`.
std::chrono::nanoseconds parse_go_duration(std::string_view text);
/// "1.5s", "300ms". Source: Go time, Duration.String.
std::string format_go_duration(std::chrono::nanoseconds duration);

/// The parts of a URL that addresses of log servers have.
struct Url {
    std::string scheme;
    std::string host;  ///< with port and brackets
    std::string path;
    [[nodiscard]] std::string hostname() const;
    [[nodiscard]] std::string port() const;
};
/// Throws: `parse "x": first path segment in URL cannot contain colon` and the like.
/// Source: Go net/url, Parse.
Url parse_url(std::string_view text);

/// Host and port of "host:port", "[v6]:port".
struct HostPort {
    std::string host;
    std::string port;
};
/// Throws: `address x: missing port in address`. Source: Go net, SplitHostPort.
HostPort split_host_port(std::string_view text);
/// "host:port", with brackets around what has colons.
std::string join_host_port(std::string_view host, std::string_view port);

}  // namespace dockerd::logging

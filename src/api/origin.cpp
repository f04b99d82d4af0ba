#include "origin.hpp"

#include <arpa/inet.h>

#include <array>
#include <string>

#include <dockerd/base/strings.hpp>

namespace dockerd::api {
namespace {

/// The host of "example.org:2375" or "[::1]:2375", without brackets.
std::string host_of(std::string_view authority) {
    if (authority.starts_with('[')) {
        return std::string(authority.substr(1, authority.find(']') - 1));
    }
    return std::string(authority.substr(0, authority.find(':')));
}

bool is_address(const std::string& text) {
    std::array<unsigned char, 16> address;
    return ::inet_pton(AF_INET, text.c_str(), address.data()) == 1 ||
           ::inet_pton(AF_INET6, text.c_str(), address.data()) == 1;
}

/// A name that nobody else's nameserver can lead here.
bool is_own_name(std::string_view authority, std::string_view host_name) {
    const std::string host = host_of(authority);
    return is_address(host) || base::to_lower(host) == "localhost" ||
           (!host_name.empty() && base::to_lower(host) == base::to_lower(host_name));
}

}  // namespace

// Differs from Docker: its engine answers every page that a browser on this machine shows.
// Source: Fetch Standard, "Origin" header; Fetch Metadata Request Headers, Sec-Fetch-Site.
bool comes_from_a_web_page(const http::Request& request, std::string_view host_name) {
    const std::string* const origin = request.headers.find("Origin");
    const std::string site = base::to_lower(request.headers.get("Sec-Fetch-Site"));
    const bool marked = site == "cross-site" || site == "same-site" || site == "same-origin";
    if (origin == nullptr && !marked) return false;
    if (site == "cross-site" || site == "same-site") return true;
    // Libraries for web sockets send an Origin made of the address they were given. No page can take
    // its browser's name away.
    const bool socket = request.headers.has_token("Upgrade", "websocket");
    if (socket && !marked && !request.headers.contains("User-Agent")) return false;
    const std::string_view host = request.headers.get("Host");
    if (!is_own_name(host, host_name)) return true;
    if (origin == nullptr) return false;
    const auto mark = origin->find("://");
    return mark == std::string::npos ||
           base::to_lower(origin->substr(mark + 3)) != base::to_lower(host);
}

}  // namespace dockerd::api

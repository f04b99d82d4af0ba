#include "hosts.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::app {
namespace {

constexpr std::string_view default_socket = "/var/run/docker.sock";

[[noreturn]] void bad_address(std::string_view text, const std::string& why) {
    base::fail(base::ErrorKind::invalid_argument,
               fmt::format("invalid bind address ({}): {}", text, why));
}

// Missing host is localhost, missing port 2375, also with TLS.
Host parse_tcp(std::string_view text, std::string_view address) {
    if (address.find('/') != std::string_view::npos) {
        bad_address(text, "should not contain a path element");
    }
    HostPort parts = split_host_port(address);
    if (parts.host.empty()) parts.host = "localhost";
    if (parts.port.empty()) parts.port = "2375";
    const auto port = base::parse_int(parts.port);
    if (!port || *port <= 0) bad_address(text, "invalid port: " + parts.port);
    const bool v6 = parts.host.find(':') != std::string::npos;
    return {"tcp", fmt::format("{}{}{}:{}", v6 ? "[" : "", parts.host, v6 ? "]" : "", parts.port)};
}

}  // namespace

HostPort split_host_port(std::string_view address) {
    if (address.starts_with('[')) {
        const auto end = address.find(']');
        std::string_view rest =
            end == std::string_view::npos ? std::string_view() : address.substr(end + 1);
        if (rest.starts_with(':')) rest.remove_prefix(1);
        return {std::string(address.substr(1, end - 1)), std::string(rest)};
    }
    const auto colon = address.rfind(':');
    if (colon == std::string_view::npos) return {std::string(address), {}};
    return {std::string(address.substr(0, colon)), std::string(address.substr(colon + 1))};
}

Host parse_host(std::string_view text) {
    text = base::trim(text);
    const auto mark = text.find("://");
    if (mark == std::string_view::npos) return parse_tcp(text, text);
    const std::string protocol(text.substr(0, mark));
    const std::string_view address = text.substr(mark + 3);
    if (protocol == "tcp") return parse_tcp(text, address);
    if (protocol == "fd") return {protocol, std::string(address)};
    if (protocol != "unix" && protocol != "npipe") {
        bad_address(text, fmt::format("unsupported proto '{}'", protocol));
    }
    if (address.find("://") != std::string_view::npos) {
        bad_address(text, fmt::format("invalid {} address: {}", protocol, address));
    }
    const std::string_view fallback =
        protocol == "unix" ? default_socket : std::string_view("//./pipe/docker_engine");
    return {protocol, std::string(address.empty() ? fallback : address)};
}

std::vector<Host> normalize_hosts(const std::vector<std::string>& hosts, bool tls) {
    std::vector<Host> out;
    for (const std::string& text : hosts.empty() ? std::vector<std::string>{""} : hosts) {
        if (!base::trim(text).empty()) {
            out.push_back(parse_host(text));
        } else if (tls) {
            out.push_back({"tcp", "localhost:2376"});
        } else {
            out.push_back({"unix", std::string(default_socket)});
        }
    }
    std::ranges::sort(out, {}, &Host::text);
    const auto twins = std::ranges::unique(out);
    out.erase(twins.begin(), twins.end());
    return out;
}

}  // namespace dockerd::app

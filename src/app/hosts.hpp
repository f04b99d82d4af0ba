#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dockerd::app {

/// An address to listen on, completed: "tcp", "127.0.0.1:2375"; "unix", "/var/run/docker.sock".
struct Host {
    std::string protocol;
    std::string address;

    [[nodiscard]] std::string text() const { return protocol + "://" + address; }
    friend auto operator<=>(const Host&, const Host&) = default;
};

/// Completes one -H value.
/// Throws: invalid_argument, "invalid bind address (x): unsupported proto 'y'" and the like.
/// Source: moby opts/hosts.go, parseDaemonHost and ParseTCPAddr.
Host parse_host(std::string_view text);

/// All of them without duplicates, sorted; none gives the default.
/// Source: moby cmd/dockerd/daemon.go, normalizeHosts.
std::vector<Host> normalize_hosts(const std::vector<std::string>& hosts, bool tls);

/// "127.0.0.1:2375" or "[::1]:2375" taken apart.
struct HostPort {
    std::string host;
    std::string port;
};
HostPort split_host_port(std::string_view address);

}  // namespace dockerd::app

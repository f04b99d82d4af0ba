#pragma once

#include <memory>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/http/server.hpp>

#include "config.hpp"
#include "hosts.hpp"

namespace dockerd::app {

/// A bound and listening socket.
struct BoundSocket {
    base::Fd fd;
    std::string name;       ///< for "API listen on": "/var/run/docker.sock", "127.0.0.1:2375"
    std::string path;       ///< of a Unix socket that we made; removed at the end
    bool tcp_like = false;  ///< carries TLS when TLS is on
};

/// Binds every host of the configuration. Sockets that are bound when another fails are closed.
///
/// Throws: what the caller shows behind "failed to load listeners: ": "can't create unix socket
///         /x: ...", "no sockets found via socket activation: make sure the service was started
///         by systemd".
/// Source: moby cmd/dockerd/daemon.go, loadListeners; daemon/listeners/listeners_linux.go.
std::vector<BoundSocket> bind_listeners(const Config& config);

/// Binds "127.0.0.1:9323"; no host means all addresses.
/// Throws: "listen tcp <address>: bind: <why>".
BoundSocket bind_tcp(const std::string& address);
/// Whether `host` is an address, or a name that has one.
bool can_listen_on(const std::string& host);

/// TLS material when the configuration asks for TLS, else null.
std::shared_ptr<http::TlsContext> load_tls(const Config& config);

}  // namespace dockerd::app

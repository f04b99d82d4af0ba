#pragma once

#include <boost/asio/io_context.hpp>

#include <memory>

#include <dockerd/base/fd.hpp>
#include <dockerd/http/server.hpp>

namespace dockerd::http {

/// Speaks TLS with `client` and gives the other end of a socket pair that carries the plain
/// bytes, half-closes included. So everything above sees one kind of connection. `peer` is filled
/// before the first of them come.
/// Thread: the io thread, where the relay runs as well.
base::Fd start_tls(asio::io_context& io, base::Fd client, std::shared_ptr<TlsContext> context,
                   std::shared_ptr<TlsPeer> peer);

}  // namespace dockerd::http

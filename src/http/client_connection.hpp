#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/http/client.hpp>

#include "ssl_context.hpp"

namespace dockerd::http {

/// OpenSSL's context of a client.
class ClientTls : public SslContext {
public:
    using SslContext::SslContext;
    std::string server_name;  ///< empty: the name in the URL
};

/// A moment after which a call gives up; none for never.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

/// The earlier of both.
Deadline earlier(Deadline a, Deadline b);
/// `time` from now.
Deadline after(std::chrono::milliseconds time);

/// One stream to a server: TCP, or TLS over it. Every wait heeds deadline and cancellation.
///
/// Throws: ClientError, "read tcp a->b: read: connection reset by peer", "i/o timeout";
///         unavailable, "context canceled".
class ClientConnection {
public:
    /// Connects to `host`:`port`. Throws: ClientError, "dial tcp ...".
    ClientConnection(const std::string& host, std::uint16_t port, Deadline deadline,
                     base::CancellationPtr cancellation);
    ClientConnection(const ClientConnection&) = delete;
    ClientConnection& operator=(const ClientConnection&) = delete;
    ~ClientConnection();

    /// Goes over to TLS with the server `name`.
    /// Throws: ClientError, "tls: failed to verify certificate: ...", "net/http: TLS handshake
    ///         timeout", "http: server gave HTTP response to HTTPS client".
    void start_tls(const ClientTls& tls, const std::string& name, Deadline deadline);

    /// Up to buffer.size() bytes; 0 at the end.
    std::size_t read(std::span<char> buffer, Deadline deadline);
    void write(std::string_view bytes, Deadline deadline);
    /// Whether there is something to read at once: the answer to a body the server does not want.
    [[nodiscard]] bool has_input() const;

private:
    /// False when the time is over.
    bool wait(short events, Deadline deadline) const;
    [[nodiscard]] std::string peer(std::string_view verb) const;
    /// `reason` is SSL_get_error's.
    [[noreturn]] void fail_handshake(int reason) const;
    void wait_for_ssl(int result, Deadline deadline, std::string_view verb);

    base::CancellationPtr cancellation_;
    base::Fd socket_;
    SSL* ssl_ = nullptr;
};

/// "host:port" with brackets where they are needed.
std::string host_and_port(const std::string& host, std::uint16_t port);

/// Connects to the first address of `host` that answers.
base::Fd dial(const std::string& host, std::uint16_t port, Deadline deadline,
              const base::Cancellation& cancellation);

}  // namespace dockerd::http

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <dockerd/base/fd.hpp>

#include "settings.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace dockerd::logging {

/// How a TLS peer is checked, and who we are.
struct TlsSettings {
    bool skip_verify = false;
    std::string ca_cert, cert, key;  ///< files, or empty
};

/// A connected socket, perhaps with TLS. Thread: one.
class Connection {
public:
    /// Zero for `timeout`: as long as the kernel tries.
    /// Throws: internal, "dial tcp 127.0.0.1:514: connect: connection refused".
    Connection(const Address& address, const TlsSettings& tls, std::chrono::milliseconds timeout);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Writes all of it; a datagram in one. Zero for `timeout`: however long it takes.
    /// Throws: internal, "write tcp: broken pipe".
    void write(std::string_view bytes, std::chrono::nanoseconds timeout = {});
    /// At least one byte; 0 at the end. Throws: internal.
    std::size_t read(char* buffer, std::size_t size);

    /// A stream's peer may have closed it: then what is written next would be lost silently.
    [[nodiscard]] bool peer_closed() const;

private:
    void connect_unix(const Address& address);
    void connect_inet(const Address& address, std::chrono::milliseconds timeout);
    void start_tls(const Address& address, const TlsSettings& settings);

    std::string network_;
    base::Fd socket_;
    std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
    std::unique_ptr<ssl_st, void (*)(ssl_st*)> tls_;
};

}  // namespace dockerd::logging

#include "tls.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "core.hpp"
#include "ssl_context.hpp"

namespace dockerd::http {

class TlsContext : public SslContext {
public:
    using SslContext::SslContext;
};

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds handshake_timeout{30};

std::string openssl_error() {
    const unsigned long code = ::ERR_get_error();
    ::ERR_clear_error();
    const char* const reason = ::ERR_reason_error_string(code);
    return reason ? reason : "unknown error";
}

[[noreturn]] void fail(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, "invalid TLS configuration: " + text);
}

/// One TLS client: its socket, the plain end of the pair, and the state between them.
struct Relay {
    Relay(asio::io_context& io, base::Fd client, base::Fd pair_end,
          const std::shared_ptr<TlsContext>& with, std::shared_ptr<TlsPeer> about)
        : context(with), secure(io), plain(io), peer(std::move(about)), ssl(::SSL_new(with->get())) {
        // The family does not matter: only readiness is asked of the objects.
        secure.assign(asio::generic::stream_protocol(AF_INET, 0), client.get());
        (void)client.release();
        plain.assign(asio::generic::stream_protocol(AF_UNIX, 0), pair_end.get());
        (void)pair_end.release();
        ::SSL_set_fd(ssl, secure.native_handle());
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;
    ~Relay() { ::SSL_free(ssl); }

    std::shared_ptr<TlsContext> context;
    Socket secure;
    Socket plain;
    std::shared_ptr<TlsPeer> peer;
    SSL* ssl;
};
using RelayPtr = std::shared_ptr<Relay>;

/// Waits for what OpenSSL asked for. False when the connection is over.
Task<bool> wait_for_ssl(Relay& relay, int result) {
    const int reason = ::SSL_get_error(relay.ssl, result);
    const bool reads = reason == SSL_ERROR_WANT_READ;
    if (!reads && reason != SSL_ERROR_WANT_WRITE) co_return false;
    const auto [error] =
        co_await relay.secure.async_wait(reads ? Socket::wait_read : Socket::wait_write, as_result);
    co_return !error;
}

Task<bool> write_plain(Relay& relay, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t sent =
            ::send(relay.plain.native_handle(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            data += sent;
            size -= static_cast<std::size_t>(sent);
        } else if (errno == EAGAIN) {
            const auto [error] = co_await relay.plain.async_wait(Socket::wait_write, as_result);
            if (error) co_return false;
        } else if (errno != EINTR) {
            co_return false;
        }
    }
    co_return true;
}

/// Client to server, until the client's close_notify or end.
Task<void> relay_in(RelayPtr relay) {
    std::array<char, 16384> buffer;
    while (true) {
        ::ERR_clear_error();
        const int count = ::SSL_read(relay->ssl, buffer.data(), static_cast<int>(buffer.size()));
        if (count > 0) {
            const bool written =
                co_await write_plain(*relay, buffer.data(), static_cast<std::size_t>(count));
            if (!written) break;
            continue;
        }
        const bool again = co_await wait_for_ssl(*relay, count);
        if (!again) break;
    }
    (void)::shutdown(relay->plain.native_handle(), SHUT_WR);
}

Task<bool> write_secure(Relay& relay, const char* data, std::size_t size) {
    while (size > 0) {
        ::ERR_clear_error();
        const int sent = ::SSL_write(relay.ssl, data, static_cast<int>(size));
        if (sent > 0) {
            data += sent;
            size -= static_cast<std::size_t>(sent);
            continue;
        }
        const bool again = co_await wait_for_ssl(relay, sent);
        if (!again) co_return false;
    }
    co_return true;
}

/// Server to client, until the server's end; then a close_notify.
Task<void> relay_out(RelayPtr relay) {
    std::array<char, 16384> buffer;
    while (true) {
        const ssize_t count =
            ::recv(relay->plain.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count > 0) {
            const bool written =
                co_await write_secure(*relay, buffer.data(), static_cast<std::size_t>(count));
            if (!written) break;
        } else if (count < 0 && errno == EAGAIN) {
            const auto [error] = co_await relay->plain.async_wait(Socket::wait_read, as_result);
            if (error) break;
        } else if (count == 0 || errno != EINTR) {
            break;
        }
    }
    ::ERR_clear_error();
    (void)::SSL_shutdown(relay->ssl);
    // A half-close leaves the other direction open; when the server has closed altogether, the
    // client's side is of no use to anyone.
    pollfd entry{.fd = relay->plain.native_handle(), .events = 0, .revents = 0};
    if (::poll(&entry, 1, 0) == 0) {
        (void)co_await relay->plain.async_wait(Socket::wait_error, as_result);
    }
    (void)::shutdown(relay->secure.native_handle(), SHUT_RDWR);
}

Task<bool> handshake(Relay& relay) {
    asio::steady_timer deadline(relay.secure.get_executor(), handshake_timeout);
    const int fd = relay.secure.native_handle();
    auto on_deadline = [fd](const boost::system::error_code& error) {
        if (!error) (void)::shutdown(fd, SHUT_RDWR);
    };
    deadline.async_wait(on_deadline);
    while (true) {
        ::ERR_clear_error();
        const int result = ::SSL_accept(relay.ssl);
        if (result == 1) co_return true;
        if (ERR_GET_REASON(::ERR_peek_error()) == SSL_R_HTTP_REQUEST) {
            // Source: Go net/http server.go, serve.
            constexpr std::string_view text =
                "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
            (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            co_return false;
        }
        const bool again = co_await wait_for_ssl(relay, result);
        if (!again) {
            base::log::debug("http: TLS handshake error: {}", openssl_error());
            co_return false;
        }
    }
}

std::string pem_of(X509* certificate) {
    const std::unique_ptr<BIO, decltype(&::BIO_free)> out(::BIO_new(::BIO_s_mem()), &::BIO_free);
    if (!out || ::PEM_write_bio_X509(out.get(), certificate) != 1) return {};
    char* bytes = nullptr;
    const long size = ::BIO_get_mem_data(out.get(), &bytes);
    return {bytes, static_cast<std::size_t>(std::max(size, 0L))};
}

/// The last common name of the certificate's subject. Source: Go crypto/x509/pkix,
/// FillFromRDNSequence.
std::string common_name_of(X509* certificate) {
    const X509_NAME* const subject = ::X509_get_subject_name(certificate);
    int last = -1;
    for (int at = -1; (at = ::X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) last = at;
    if (last < 0) return {};
    unsigned char* bytes = nullptr;
    const int size = ::ASN1_STRING_to_UTF8(
        &bytes, ::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(subject, last)));
    if (size < 0) return {};
    std::string out(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    ::OPENSSL_free(bytes);
    return out;
}

void note_peer(SSL* ssl, TlsPeer& peer) {
    const std::unique_ptr<X509, decltype(&::X509_free)> own(::SSL_get1_peer_certificate(ssl),
                                                           &::X509_free);
    if (!own) return;
    peer.common_name = common_name_of(own.get());
    peer.certificates.push_back(pem_of(own.get()));
    // On a server's side the chain is without the client's own.
    const STACK_OF(X509)* const chain = ::SSL_get_peer_cert_chain(ssl);
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        peer.certificates.push_back(pem_of(sk_X509_value(chain, i)));
    }
}

Task<void> run_relay(RelayPtr relay) {
    const bool secured = co_await handshake(*relay);
    if (!secured) co_return;
    note_peer(relay->ssl, *relay->peer);
    const auto executor = relay->secure.get_executor();
    asio::co_spawn(executor, relay_in(relay), asio::detached);
    asio::co_spawn(executor, relay_out(relay), asio::detached);
}

}  // namespace

// Source: docker/go-connections tlsconfig/config.go, Server: TLS 1.2 at least, and with an
// authority given, client certificates from that alone.
std::shared_ptr<TlsContext> make_tls_context(const TlsOptions& options) {
    auto context = std::make_shared<TlsContext>(::SSL_CTX_new(::TLS_server_method()));
    SSL_CTX* const raw = context->get();
    if (!raw) fail(openssl_error());
    ::SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    ::SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
    ::SSL_CTX_set_options(
        raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);

    const std::string pair = fmt::format("(cert: {}, key: {})", base::quote(options.cert_file),
                                         base::quote(options.key_file));
    for (const std::string& file : {options.cert_file, options.key_file}) {
        if (::access(file.c_str(), R_OK) != 0) {
            fail(fmt::format("could not load X509 key pair {}: open {}: {}", pair, file,
                             base::errno_text(errno)));
        }
    }
    if (::SSL_CTX_use_certificate_chain_file(raw, options.cert_file.c_str()) != 1 ||
        ::SSL_CTX_use_PrivateKey_file(raw, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
        ::SSL_CTX_check_private_key(raw) != 1) {
        fail(fmt::format("error reading X509 key pair - make sure the key is not encrypted {}: {}",
                         pair, openssl_error()));
    }
    if (!options.verify_client) return context;

    if (!options.ca_file.empty()) {
        if (::access(options.ca_file.c_str(), R_OK) != 0) {
            fail(fmt::format("could not read CA certificate {}: open {}: {}",
                             base::quote(options.ca_file), options.ca_file,
                             base::errno_text(errno)));
        }
        if (::SSL_CTX_load_verify_locations(raw, options.ca_file.c_str(), nullptr) != 1) {
            fail(fmt::format("could not read CA certificate {}: {}", base::quote(options.ca_file),
                             openssl_error()));
        }
        ::SSL_CTX_set_client_CA_list(raw, ::SSL_load_client_CA_file(options.ca_file.c_str()));
    }
    ::SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    return context;
}

base::Fd start_tls(asio::io_context& io, base::Fd client, std::shared_ptr<TlsContext> context,
                   std::shared_ptr<TlsPeer> peer) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0) {
        base::throw_errno(errno, "socketpair");
    }
    base::Fd server_end(pair[0]);
    auto relay = std::make_shared<Relay>(io, std::move(client), base::Fd(pair[1]), context,
                                         std::move(peer));
    asio::co_spawn(io, run_relay(std::move(relay)), asio::detached);
    return server_end;
}

}  // namespace dockerd::http

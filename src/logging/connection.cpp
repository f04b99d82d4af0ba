#include "connection.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "go_values.hpp"

namespace dockerd::logging {

namespace {

/// How long a peer may take to close its end.
constexpr int closing_time_ms = 1000;

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

std::string tls_error() {
    const unsigned long code = ::ERR_get_error();
    const char* const reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
    return reason == nullptr ? "handshake failure" : reason;
}

/// 0 or an errno. Waits at most `timeout`, for ever if that is zero.
int connect_within(int fd, const sockaddr* address, socklen_t size,
                   std::chrono::milliseconds timeout) {
    if (timeout.count() == 0) {
        while (::connect(fd, address, size) != 0) {
            if (errno != EINTR) return errno;
        }
        return 0;
    }
    const int flags = ::fcntl(fd, F_GETFL);
    (void)::fcntl(fd, F_SETFL, flags | O_NONBLOCK);  // valid flags of an open socket
    int error = ::connect(fd, address, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
        socklen_t length = sizeof error;
        if (::poll(&ready, 1, static_cast<int>(timeout.count())) <= 0) {
            error = ETIMEDOUT;
        } else if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
            error = errno;
        }
    }
    (void)::fcntl(fd, F_SETFL, flags);  // as above
    return error;
}

/// The name's address as the socket sees it, for messages.
std::string numeric(const addrinfo& found) {
    char host[NI_MAXHOST] = "";
    char port[NI_MAXSERV] = "";
    (void)::getnameinfo(found.ai_addr, found.ai_addrlen, host, sizeof host, port, sizeof port,
                        NI_NUMERICHOST | NI_NUMERICSERV);  // a name less in a message
    return join_host_port(host, port);
}

}  // namespace

Connection::Connection(const Address& address, const TlsSettings& tls,
                       std::chrono::milliseconds timeout)
    : network_(address.network), context_(nullptr, ::SSL_CTX_free), tls_(nullptr, ::SSL_free) {
    if (network_ == "unix" || network_ == "unixgram") {
        connect_unix(address);
        return;
    }
    connect_inet(address, timeout);
    if (network_ == "tls") start_tls(address, tls);
}

Connection::~Connection() {
    if (!tls_) return;
    (void)::SSL_shutdown(tls_.get());  // the peer may be gone
    // What the peer sent and nobody read (its session tickets) would turn the close into a reset,
    // and the peer would lose what it has not read yet.
    (void)::shutdown(socket_.get(), SHUT_WR);
    char buffer[4096];
    pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&ready, 1, closing_time_ms) > 0 &&
           ::recv(socket_.get(), buffer, sizeof buffer, 0) > 0) {
    }
}

void Connection::connect_unix(const Address& address) {
    const auto bad = [&](int error) {
        fail(fmt::format("dial {} {}: connect: {}", network_, address.path,
                         base::errno_text(error)));
    };
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (address.path.size() >= sizeof where.sun_path) bad(EINVAL);
    std::memcpy(where.sun_path, address.path.data(), address.path.size());
    const int type = network_ == "unix" ? SOCK_STREAM : SOCK_DGRAM;
    socket_.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!socket_) bad(errno);
    const int error =
        connect_within(socket_.get(), reinterpret_cast<sockaddr*>(&where), sizeof where, {});
    if (error != 0) bad(error);
}

void Connection::connect_inet(const Address& address, std::chrono::milliseconds timeout) {
    const std::string network = network_ == "udp" ? "udp" : "tcp";
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = network == "udp" ? SOCK_DGRAM : SOCK_STREAM;
    addrinfo* list = nullptr;
    const std::string host = address.host.empty() ? "127.0.0.1" : address.host;
    const int found = ::getaddrinfo(host.c_str(), address.port.c_str(), &hints, &list);
    if (found != 0) {
        const bool unknown = found == EAI_NONAME || found == EAI_NODATA;
        fail(fmt::format("dial {}: lookup {}: {}", network, host,
                         unknown ? "no such host" : ::gai_strerror(found)));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    std::string problem;
    for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
        base::Fd candidate{::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, 0)};
        const int error =
            candidate ? connect_within(candidate.get(), at->ai_addr, at->ai_addrlen, timeout)
                      : errno;
        if (error == 0) {
            socket_ = std::move(candidate);
            return;
        }
        // Of several addresses the first one's failure is told.
        if (problem.empty()) {
            problem = error == ETIMEDOUT && timeout.count() > 0
                          ? fmt::format("dial {} {}: i/o timeout", network, numeric(*at))
                          : fmt::format("dial {} {}: connect: {}", network, numeric(*at),
                                        base::errno_text(error));
        }
    }
    fail(problem);
}

// Source: docker/go-connections tlsconfig, Client: the system's certificates and the given ones.
void Connection::start_tls(const Address& address, const TlsSettings& settings) {
    context_.reset(::SSL_CTX_new(::TLS_client_method()));
    SSL_CTX* const context = context_.get();
    ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    ::SSL_CTX_set_default_verify_paths(context);
    if (!settings.ca_cert.empty()) {
        const base::Fd readable{::open(settings.ca_cert.c_str(), O_RDONLY | O_CLOEXEC)};
        if (!readable) {
            fail(fmt::format("could not read CA certificate {}: open {}: {}",
                             base::quote(settings.ca_cert), settings.ca_cert,
                             base::errno_text(errno)));
        }
        if (::SSL_CTX_load_verify_locations(context, settings.ca_cert.c_str(), nullptr) != 1) {
            fail("failed to append certificates from PEM file: " + base::quote(settings.ca_cert));
        }
    }
    if (!settings.cert.empty() || !settings.key.empty()) {
        if (::SSL_CTX_use_certificate_chain_file(context, settings.cert.c_str()) != 1 ||
            ::SSL_CTX_use_PrivateKey_file(context, settings.key.c_str(), SSL_FILETYPE_PEM) != 1) {
            fail("could not load X509 key pair: " + tls_error());
        }
    }
    ::SSL_CTX_set_verify(context, settings.skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                         nullptr);
    tls_.reset(::SSL_new(context));
    ::SSL_set_fd(tls_.get(), socket_.get());
    X509_VERIFY_PARAM* const checks = ::SSL_get0_param(tls_.get());
    if (::X509_VERIFY_PARAM_set1_ip_asc(checks, address.host.c_str()) != 1) {
        (void)::X509_VERIFY_PARAM_set1_host(checks, address.host.c_str(), 0);  // only out of memory
        (void)::SSL_set_tlsext_host_name(tls_.get(), address.host.c_str());
    }
    if (::SSL_connect(tls_.get()) == 1) return;
    if (const long verdict = ::SSL_get_verify_result(tls_.get()); verdict != X509_V_OK) {
        fail(fmt::format("tls: failed to verify certificate: x509: {}",
                         ::X509_verify_cert_error_string(verdict)));
    }
    fail("remote error: tls: " + tls_error());
}

bool Connection::peer_closed() const {
    if (network_ == "udp" || network_ == "unixgram") return false;
    pollfd state{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Connection::write(std::string_view bytes, std::chrono::nanoseconds timeout) {
    const bool stream = network_ != "udp" && network_ != "unixgram";
    if (timeout.count() > 0) {
        const auto count = timeout.count();
        const timeval wait{count / 1'000'000'000, (count % 1'000'000'000) / 1000 + 1};
        (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    }
    while (!bytes.empty()) {
        ssize_t sent = 0;
        if (tls_) {
            sent = ::SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
            if (sent <= 0) fail("write tls: " + tls_error());
        } else {
            sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        }
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {
            fail(fmt::format("write {}: {}", network_,
                             errno == EAGAIN ? "i/o timeout" : base::errno_text(errno)));
        }
        if (!stream) return;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

std::size_t Connection::read(char* buffer, std::size_t size) {
    for (;;) {
        const ssize_t got = tls_ ? ::SSL_read(tls_.get(), buffer, static_cast<int>(size))
                                 : ::recv(socket_.get(), buffer, size, 0);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (tls_) return 0;
        if (errno != EINTR) fail("read " + network_ + ": " + base::errno_text(errno));
    }
}

}  // namespace dockerd::logging

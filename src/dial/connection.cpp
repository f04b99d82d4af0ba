#include <dockerd/dial/connection.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include <fmt/format.h>

#include <dockerd/base/strings.hpp>
#include <dockerd/base/worker_pool.hpp>

namespace dockerd::dial {
namespace {

/// How long a peer may take to close its end.
constexpr int closing_time_ms = 1000;

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }
[[noreturn]] void time_out(const std::string& step) {
    // Source: Go internal/poll, DeadlineExceededError.
    throw TimedOut(base::ErrorKind::internal, step + ": i/o timeout");
}

std::string tls_error() {
    const unsigned long code = ::ERR_get_error();
    const char* const reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
    return reason == nullptr ? "handshake failure" : reason;
}

bool is_datagram(const std::string& network) { return network == "udp" || network == "unixgram"; }

/// The name's address as the socket sees it, for messages.
std::string numeric(const addrinfo& found) {
    char host[NI_MAXHOST] = "";
    char port[NI_MAXSERV] = "";
    (void)::getnameinfo(found.ai_addr, found.ai_addrlen, host, sizeof host, port, sizeof port,
                        NI_NUMERICHOST | NI_NUMERICSERV);  // a name less in a message
    const bool ipv6 = found.ai_family == AF_INET6;
    return fmt::format("{}{}{}:{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port);
}

}  // namespace

Connection::Connection(const Address& address, const TlsSettings* tls, Clock::time_point deadline,
                       const Hurry* hurry)
    : network_(address.network),
      deadline_(deadline),
      hurry_(hurry),
      context_(nullptr, ::SSL_CTX_free),
      tls_(nullptr, ::SSL_free) {
    // Files that cannot be read are told before anybody is called.
    if (network_ == "tls" && tls == nullptr) {
        read_tls_files({.careful_close = true});
    } else if (tls != nullptr && !is_datagram(network_)) {
        read_tls_files(*tls);
    }
    if (network_ == "unix" || network_ == "unixgram") {
        connect_unix(address);
    } else {
        connect_inet(address);
    }
    if (context_) start_tls(address);
}

Connection::~Connection() {
    if (!tls_) return;
    (void)::SSL_shutdown(tls_.get());  // the peer may be gone
    if (!careful_close_) return;
    // What the peer sent and nobody read (its session tickets) would turn the close into a reset,
    // and the peer would lose what it has not read yet.
    (void)::shutdown(socket_.get(), SHUT_WR);
    char buffer[4096];
    pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&ready, 1, closing_time_ms) > 0 &&
           ::recv(socket_.get(), buffer, sizeof buffer, 0) > 0) {
    }
}

Clock::time_point Connection::limit() const {
    return hurry_ == nullptr ? deadline_ : std::min(deadline_, hurry_->end_of(opened_));
}

bool Connection::wait(short events) {
    for (;;) {
        // Once it has begun, the limit says so, and there is nothing to be woken for. In this order: it
        // may begin in between.
        const bool alert = hurry_ != nullptr && !hurry_->begun();
        const auto end = limit();
        int patience = -1;
        if (end != never) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
            if (left.count() <= 0) return false;
            patience = static_cast<int>(std::min<std::int64_t>(left.count(), INT_MAX));
        }
        std::array<pollfd, 2> ready{{{.fd = socket_.get(), .events = events, .revents = 0},
                                     {.fd = alert ? hurry_->fd() : -1, .events = POLLIN, .revents = 0}}};
        const base::LongWait wait;
        if (::poll(ready.data(), ready.size(), patience) < 0 && errno != EINTR) {
            fail("poll: " + base::errno_text(errno));
        }
        if (ready[0].revents != 0) return true;
    }
}

/// 0 or an errno; ETIMEDOUT when the time is over.
int Connection::connect_one(const void* address, unsigned size) {
    int error =
        ::connect(socket_.get(), static_cast<const sockaddr*>(address), size) == 0 ? 0 : errno;
    if (error != EINPROGRESS) return error;
    if (!wait(POLLOUT)) return ETIMEDOUT;
    socklen_t length = sizeof error;
    return ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
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
    // A server whose queue is full is waited for by those who have all the time. For others it
    // counts as refused: there is nothing to wait on.
    const bool waits = deadline_ == never && hurry_ == nullptr;
    socket_.reset(::socket(AF_UNIX, type | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0));
    if (!socket_) bad(errno);
    int error = 0;
    do {
        error = connect_one(&where, sizeof where);
    } while (error == EINTR);
    if (error != 0) bad(error);
    if (waits) (void)::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);  // an open socket
}

void Connection::connect_inet(const Address& address) {
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
    bool late = false;
    for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
        socket_.reset(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int error = socket_ ? connect_one(at->ai_addr, at->ai_addrlen) : errno;
        if (error == 0) return;
        // Of several addresses the first one's failure is told.
        if (!problem.empty()) continue;
        problem = fmt::format("dial {} {}", network,
                              address.host.empty() ? ":" + address.port : numeric(*at));
        late = error == ETIMEDOUT && Clock::now() >= limit();
        if (!late) problem += ": connect: " + base::errno_text(error);
    }
    if (late) time_out(problem);
    fail(problem);
}

// Source: docker/go-connections tlsconfig, Client: the system's certificates and the given ones.
void Connection::read_tls_files(const TlsSettings& settings) {
    careful_close_ = settings.careful_close;
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
}

void Connection::start_tls(const Address& address) {
    tls_.reset(::SSL_new(context_.get()));
    ::SSL_set_fd(tls_.get(), socket_.get());
    X509_VERIFY_PARAM* const checks = ::SSL_get0_param(tls_.get());
    if (::X509_VERIFY_PARAM_set1_ip_asc(checks, address.host.c_str()) != 1) {
        (void)::X509_VERIFY_PARAM_set1_host(checks, address.host.c_str(), 0);  // only out of memory
        (void)::SSL_set_tlsext_host_name(tls_.get(), address.host.c_str());
    }
    for (int result = ::SSL_connect(tls_.get()); result != 1; result = ::SSL_connect(tls_.get())) {
        if (const long verdict = ::SSL_get_verify_result(tls_.get()); verdict != X509_V_OK) {
            fail(fmt::format("tls: failed to verify certificate: x509: {}",
                             ::X509_verify_cert_error_string(verdict)));
        }
        wait_for_tls(result, "remote error: tls");
    }
}

void Connection::wait_for_tls(int result, const char* step) {
    const int need = ::SSL_get_error(tls_.get(), result);
    if (need != SSL_ERROR_WANT_READ && need != SSL_ERROR_WANT_WRITE) {
        fail(fmt::format("{}: {}", step, tls_error()));
    }
    if (!wait(need == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) time_out(step);
}

bool Connection::peer_closed() const {
    if (is_datagram(network_)) return false;
    pollfd state{.fd = socket_.get(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Connection::write(std::string_view bytes) {
    while (!bytes.empty()) {
        // A peer that is always ready makes nobody wait, and may still not go on for ever.
        if (Clock::now() >= limit()) time_out("write " + network_);
        if (tls_) {
            const int sent = ::SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
            if (sent <= 0) {
                wait_for_tls(sent, "write tls");
            } else {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
            }
            continue;
        }
        const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            if (is_datagram(network_)) return;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            if (!wait(POLLOUT)) time_out("write " + network_);
        } else if (errno != EINTR) {
            fail(fmt::format("write {}: {}", network_, base::errno_text(errno)));
        }
    }
}

std::size_t Connection::read(char* buffer, std::size_t size) {
    for (;;) {
        if (Clock::now() >= limit()) time_out("read " + network_);
        if (tls_) {
            const int got = ::SSL_read(tls_.get(), buffer, static_cast<int>(size));
            if (got > 0) return static_cast<std::size_t>(got);
            const int error = ::SSL_get_error(tls_.get(), got);
            if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL) return 0;
            wait_for_tls(got, "read tls");
            continue;
        }
        const ssize_t got = ::recv(socket_.get(), buffer, size, 0);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno == EAGAIN) {
            if (!wait(POLLIN)) time_out("read " + network_);
        } else if (errno != EINTR) {
            fail("read " + network_ + ": " + base::errno_text(errno));
        }
    }
}

}  // namespace dockerd::dial

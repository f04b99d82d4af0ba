#include "channel.hpp"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace dockerd::plugins {
namespace {

[[noreturn]] void unreachable(const std::string& text) {
    throw Unreachable(base::ErrorKind::internal, text);
}

std::string tls_error() {
    const unsigned long code = ::ERR_get_error();
    const char* const reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
    return reason == nullptr ? "handshake failure" : reason;
}

std::string host_and_port(const Endpoint& endpoint) {
    const bool ipv6 = endpoint.host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", ipv6 ? "[" : "", endpoint.host, ipv6 ? "]" : "", endpoint.port);
}

}  // namespace

Channel::Channel(const Endpoint& endpoint, Clock::time_point deadline)
    : deadline_(deadline), context_(nullptr, ::SSL_CTX_free), tls_(nullptr, ::SSL_free) {
    if (endpoint.network == "unix") {
        connect_unix(endpoint);
    } else {
        connect_tcp(endpoint);
    }
    if (endpoint.tls) start_tls(endpoint);
}

Channel::~Channel() = default;

void Channel::wait(short events) {
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
        pollfd ready{.fd = socket_.get(), .events = events, .revents = 0};
        const int found = left > 0 ? ::poll(&ready, 1, static_cast<int>(left)) : 0;
        if (found > 0) return;
        // Source: Go context, deadlineExceededError.
        if (found == 0) unreachable("context deadline exceeded");
        if (errno != EINTR) unreachable("poll: " + base::errno_text(errno));
    }
}

void Channel::connect_unix(const Endpoint& endpoint) {
    const auto bad = [&](int error) {
        unreachable(
            fmt::format("dial unix {}: connect: {}", endpoint.path, base::errno_text(error)));
    };
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (endpoint.path.size() >= sizeof where.sun_path) bad(EINVAL);
    std::memcpy(where.sun_path, endpoint.path.data(), endpoint.path.size());
    socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) bad(errno);
    // A full queue of a plugin that accepts nobody is no reason to spin: it counts as refused, and
    // the next attempt comes after a pause.
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) {
        bad(errno);
    }
}

void Channel::connect_tcp(const Endpoint& endpoint) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const std::string host = endpoint.host.empty() ? "127.0.0.1" : endpoint.host;
    const int found = ::getaddrinfo(host.c_str(), endpoint.port.c_str(), &hints, &list);
    if (found != 0) {
        const bool unknown = found == EAI_NONAME || found == EAI_NODATA;
        unreachable(fmt::format("dial tcp: lookup {}: {}", host,
                                unknown ? "no such host" : ::gai_strerror(found)));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    std::string problem;
    for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
        socket_.reset(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        int error = socket_ && ::connect(socket_.get(), at->ai_addr, at->ai_addrlen) == 0 ? 0
                                                                                           : errno;
        if (error == EINPROGRESS) {
            wait(POLLOUT);
            socklen_t length = sizeof error;
            if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
                error = errno;
            }
        }
        if (error == 0) return;
        // Of several addresses the first one's failure is told.
        if (problem.empty()) {
            problem = fmt::format("dial tcp {}: connect: {}", host_and_port(endpoint),
                                  base::errno_text(error));
        }
    }
    unreachable(problem);
}

// Source: docker/go-connections tlsconfig, Client.
void Channel::start_tls(const Endpoint& endpoint) {
    context_.reset(::SSL_CTX_new(::TLS_client_method()));
    SSL_CTX* const context = context_.get();
    ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    ::SSL_CTX_set_default_verify_paths(context);
    if (!endpoint.ca_file.empty() &&
        ::SSL_CTX_load_verify_locations(context, endpoint.ca_file.c_str(), nullptr) != 1) {
        unreachable("could not read CA certificate \"" + endpoint.ca_file + "\": " + tls_error());
    }
    if (!endpoint.cert_file.empty() || !endpoint.key_file.empty()) {
        if (::SSL_CTX_use_certificate_chain_file(context, endpoint.cert_file.c_str()) != 1 ||
            ::SSL_CTX_use_PrivateKey_file(context, endpoint.key_file.c_str(), SSL_FILETYPE_PEM) !=
                1) {
            unreachable("could not load X509 key pair: " + tls_error());
        }
    }
    ::SSL_CTX_set_verify(context, endpoint.skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                         nullptr);
    tls_.reset(::SSL_new(context));
    ::SSL_set_fd(tls_.get(), socket_.get());
    X509_VERIFY_PARAM* const checks = ::SSL_get0_param(tls_.get());
    if (::X509_VERIFY_PARAM_set1_ip_asc(checks, endpoint.host.c_str()) != 1) {
        (void)::X509_VERIFY_PARAM_set1_host(checks, endpoint.host.c_str(), 0);  // only out of memory
        (void)::SSL_set_tlsext_host_name(tls_.get(), endpoint.host.c_str());
    }
    for (int result = ::SSL_connect(tls_.get()); result != 1; result = ::SSL_connect(tls_.get())) {
        if (const long verdict = ::SSL_get_verify_result(tls_.get()); verdict != X509_V_OK) {
            unreachable(fmt::format("tls: failed to verify certificate: x509: {}",
                                    ::X509_verify_cert_error_string(verdict)));
        }
        wait_for_tls(result, "remote error: tls");
    }
}

void Channel::wait_for_tls(int result, const char* what) {
    switch (::SSL_get_error(tls_.get(), result)) {
        case SSL_ERROR_WANT_READ:
            return wait(POLLIN);
        case SSL_ERROR_WANT_WRITE:
            return wait(POLLOUT);
        default:
            unreachable(fmt::format("{}: {}", what, tls_error()));
    }
}

/// A peer that is always ready makes nobody wait, and may still not go on for ever.
void Channel::check_deadline() const {
    if (Clock::now() >= deadline_) unreachable("context deadline exceeded");
}

void Channel::write(std::string_view bytes) {
    while (!bytes.empty()) {
        check_deadline();
        if (tls_) {
            const int sent =
                ::SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
            if (sent <= 0) {
                wait_for_tls(sent, "write tls");
            } else {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
            }
            continue;
        }
        const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            wait(POLLOUT);
        } else if (errno != EINTR) {
            unreachable("write: " + base::errno_text(errno));
        }
    }
}

std::size_t Channel::read(char* buffer, std::size_t size) {
    for (;;) {
        check_deadline();
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
            wait(POLLIN);
        } else if (errno != EINTR) {
            unreachable("read: " + base::errno_text(errno));
        }
    }
}

}  // namespace dockerd::plugins

#include "client_connection.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <dockerd/base/worker_pool.hpp>

#include "client_tls.hpp"

namespace dockerd::http {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& text, int errno_value = 0) {
    throw ClientError(base::ErrorKind::internal, text, errno_value);
}

std::string address_text(int socket, decltype(&::getpeername) get) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (get(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "?";
    std::array<char, INET6_ADDRSTRLEN> name{};
    if (storage.ss_family == AF_INET6) {
        const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
        ::inet_ntop(AF_INET6, &in6.sin6_addr, name.data(), name.size());
        return host_and_port(name.data(), ntohs(in6.sin6_port));
    }
    const auto& in4 = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &in4.sin_addr, name.data(), name.size());
    return host_and_port(name.data(), ntohs(in4.sin_port));
}

}  // namespace

Deadline earlier(Deadline a, Deadline b) {
    if (!a) return b;
    if (!b) return a;
    return std::min(*a, *b);
}

Deadline after(std::chrono::milliseconds time) { return Clock::now() + time; }

ClientConnection::ClientConnection(const std::string& host, std::uint16_t port, Deadline deadline,
                                   base::CancellationPtr cancellation)
    : cancellation_(std::move(cancellation)),
      socket_(dial(host, port, deadline, *cancellation_)) {}

ClientConnection::~ClientConnection() { ::SSL_free(ssl_); }

bool ClientConnection::wait(short events, Deadline deadline) const {
    for (;;) {
        cancellation_->check();
        int timeout = -1;
        if (deadline) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                                  *deadline - Clock::now()).count();
            if (left < 0) return false;
            timeout = static_cast<int>(std::min<std::int64_t>(left + 1, 3'600'000));
        }
        std::array<pollfd, 2> entries{
            pollfd{.fd = socket_.get(), .events = events, .revents = 0},
            pollfd{.fd = cancellation_->fd(), .events = POLLIN, .revents = 0}};
        const base::LongWait wait;
        const int ready = ::poll(entries.data(), entries.size(), timeout);
        if (ready < 0 && errno != EINTR) base::throw_errno(errno, "poll");
        cancellation_->check();
        if (ready > 0 && entries[0].revents != 0) return true;
    }
}

bool ClientConnection::has_input() const {
    if (ssl_ != nullptr) {
        // The socket alone does not tell: session tickets come unasked.
        char byte = 0;
        ::ERR_clear_error();
        const int n = ::SSL_peek(ssl_, &byte, 1);
        const int reason = ::SSL_get_error(ssl_, n);
        return n > 0 || (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE);
    }
    pollfd entry{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) > 0;
}

/// "read tcp 127.0.0.1:1->127.0.0.1:2". Source: Go net, OpError.Error.
std::string ClientConnection::peer(std::string_view verb) const {
    return fmt::format("{} tcp {}->{}", verb, address_text(socket_.get(), &::getsockname),
                       address_text(socket_.get(), &::getpeername));
}

void ClientConnection::start_tls(const ClientTls& tls, const std::string& name,
                                 Deadline deadline) {
    ssl_ = ::SSL_new(tls.get());
    if (ssl_ == nullptr) fail("tls: out of memory");
    prepare_for_server(ssl_, tls.server_name.empty() ? name : tls.server_name);
    ::SSL_set_fd(ssl_, socket_.get());
    bool looked = false;
    for (;;) {
        ::ERR_clear_error();
        const int result = ::SSL_connect(ssl_);
        if (result == 1) return;
        const int reason = ::SSL_get_error(ssl_, result);
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            fail_handshake(reason);
        }
        if (!wait(reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) {
            fail("net/http: TLS handshake timeout");
        }
        if (reason != SSL_ERROR_WANT_READ || looked) continue;
        looked = true;
        // Source: Go net/http transport.go, addTLS.
        std::array<char, 5> head{};
        const ssize_t n = ::recv(socket_.get(), head.data(), head.size(), MSG_PEEK | MSG_DONTWAIT);
        if (n == 5 && std::string_view(head.data(), 5) == "HTTP/") {
            fail("http: server gave HTTP response to HTTPS client");
        }
    }
}

void ClientConnection::fail_handshake(int reason) const {
    const long verified = ::SSL_get_verify_result(ssl_);
    if (verified != X509_V_OK) fail(verify_failure(ssl_, verified));
    if (reason == SSL_ERROR_SYSCALL || reason == SSL_ERROR_ZERO_RETURN) {
        const int saved = errno;
        if (reason == SSL_ERROR_SYSCALL && saved == ECONNRESET) {
            fail(peer("read") + ": read: connection reset by peer", saved);
        }
        fail("EOF");
    }
    fail(handshake_failure());
}

void ClientConnection::wait_for_ssl(int result, Deadline deadline, std::string_view verb) {
    const int reason = ::SSL_get_error(ssl_, result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
        if (wait(reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) return;
        fail(peer(verb) + ": i/o timeout", ETIMEDOUT);
    }
    if (reason == SSL_ERROR_SYSCALL && errno != 0) {
        fail(fmt::format("{}: {}: {}", peer(verb), verb, base::errno_text(errno)), errno);
    }
    fail(handshake_failure());
}

std::size_t ClientConnection::read(std::span<char> buffer, Deadline deadline) {
    for (;;) {
        if (ssl_ != nullptr) {
            ::ERR_clear_error();
            errno = 0;
            const int n = ::SSL_read(ssl_, buffer.data(),
                                     static_cast<int>(std::min<std::size_t>(buffer.size(), 1 << 20)));
            if (n > 0) return static_cast<std::size_t>(n);
            if (::SSL_get_error(ssl_, n) == SSL_ERROR_ZERO_RETURN || is_truncation(ssl_, n)) return 0;
            wait_for_ssl(n, deadline, "read");
            continue;
        }
        const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno == EINTR) continue;
        if (errno != EAGAIN) {
            const int saved = errno;
            fail(peer("read") + ": read: " + base::errno_text(saved), saved);
        }
        if (!wait(POLLIN, deadline)) fail(peer("read") + ": i/o timeout", ETIMEDOUT);
    }
}

void ClientConnection::write(std::string_view bytes, Deadline deadline) {
    while (!bytes.empty()) {
        if (ssl_ != nullptr) {
            ::ERR_clear_error();
            errno = 0;
            const int n = ::SSL_write(ssl_, bytes.data(),
                                      static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
            if (n > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(n));
            } else {
                wait_for_ssl(n, deadline, "write");
            }
            continue;
        }
        const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(n));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) {
            const int saved = errno;
            fail(peer("write") + ": write: " + base::errno_text(saved), saved);
        }
        if (!wait(POLLOUT, deadline)) fail(peer("write") + ": i/o timeout", ETIMEDOUT);
    }
}

}  // namespace dockerd::http

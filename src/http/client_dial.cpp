#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include <dockerd/base/thread.hpp>
#include <dockerd/base/worker_pool.hpp>

#include "client_connection.hpp"

namespace dockerd::http {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& text, int errno_value = 0) {
    throw ClientError(base::ErrorKind::internal, text, errno_value);
}

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] std::string host() const {
        std::array<char, INET6_ADDRSTRLEN> name{};
        const void* bytes = &reinterpret_cast<const sockaddr_in&>(storage).sin_addr;
        if (storage.ss_family == AF_INET6) {
            bytes = &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
        }
        ::inet_ntop(storage.ss_family, bytes, name.data(), name.size());
        return name.data();
    }
    [[nodiscard]] std::string text() const {
        const bool v6 = storage.ss_family == AF_INET6;
        const auto port = v6 ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                             : reinterpret_cast<const sockaddr_in&>(storage).sin_port;
        return host_and_port(host(), ntohs(port));
    }
};

/// A look-up on a thread of its own: the resolver's library can be neither stopped nor timed.
struct Lookup {
    std::string host;
    std::string port;
    int result = EAI_AGAIN;
    int saved_errno = 0;
    std::vector<Address> addresses;
    base::Cancellation done;

    void run(int flags) {
        addrinfo hints{};
        hints.ai_flags = flags;
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* list = nullptr;
        result = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
        saved_errno = errno;
        for (const addrinfo* at = result == 0 ? list : nullptr; at; at = at->ai_next) {
            Address address;
            std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
            address.size = at->ai_addrlen;
            addresses.push_back(address);
        }
        if (result == 0) ::freeaddrinfo(list);
    }
};

int milliseconds_left(Deadline deadline) {
    if (!deadline) return -1;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now()).count();
    return left <= 0 ? 0 : static_cast<int>(std::min<std::int64_t>(left + 1, 3'600'000));
}

/// False when the time is over.
bool wait_for(int fd, short events, Deadline deadline, const base::Cancellation& cancellation) {
    const base::LongWait wait;
    for (;;) {
        cancellation.check();
        std::array<pollfd, 2> entries{pollfd{.fd = fd, .events = events, .revents = 0},
                                      pollfd{.fd = cancellation.fd(), .events = POLLIN, .revents = 0}};
        const int ready = ::poll(entries.data(), entries.size(), milliseconds_left(deadline));
        if (ready < 0 && errno != EINTR) base::throw_errno(errno, "poll");
        cancellation.check();
        if (ready > 0 && entries[0].revents != 0) return true;
        if (ready == 0) return false;
    }
}

/// Source: Go net, DNSError.
[[noreturn]] void lookup_failed(const Lookup& lookup) {
    std::string why = "no such host";
    if (lookup.result == EAI_AGAIN) why = "server misbehaving";
    if (lookup.result == EAI_SYSTEM) why = base::errno_text(lookup.saved_errno);
    fail(fmt::format("dial tcp: lookup {}: {}", lookup.host, why));
}

std::vector<Address> resolve(const std::string& host, std::uint16_t port, Deadline deadline,
                             const base::Cancellation& cancellation) {
    if (host.empty()) fail(fmt::format("dial tcp :{}: no Host in request URL", port));
    const auto lookup = std::make_shared<Lookup>();
    lookup->host = host;
    lookup->port = std::to_string(port);
    lookup->run(AI_NUMERICHOST | AI_NUMERICSERV);
    if (lookup->result == 0) return lookup->addresses;
    std::thread thread = base::start_quiet_thread([lookup] {
        lookup->run(AI_NUMERICSERV | AI_ADDRCONFIG);
        lookup->done.cancel();
    });
    // It ends by itself and keeps what it writes to.
    thread.detach();
    if (!wait_for(lookup->done.fd(), POLLIN, deadline, cancellation)) {
        fail(fmt::format("dial tcp: lookup {}: i/o timeout", host));
    }
    (void)lookup->done.is_cancelled();  // orders what the thread wrote before what is read here
    if (lookup->result != 0) lookup_failed(*lookup);
    return lookup->addresses;
}

/// Nothing, or why it did not succeed.
std::string try_connect(const Address& address, base::Fd& out, Deadline deadline,
                        const base::Cancellation& cancellation) {
    out.reset(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!out) return "socket: " + base::errno_text(errno);
    if (::connect(out.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0) {
        return {};
    }
    if (errno != EINPROGRESS) return "connect: " + base::errno_text(errno);
    if (!wait_for(out.get(), POLLOUT, deadline, cancellation)) return "i/o timeout";
    int error = 0;
    socklen_t size = sizeof error;
    (void)::getsockopt(out.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? std::string() : "connect: " + base::errno_text(error);
}

/// Source: Go net, Dialer.KeepAlive as moby sets it; requests are small and are answered.
void tune(int socket) {
    const int on = 1;
    const int seconds = 30;
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

}  // namespace

std::string host_and_port(const std::string& host, std::uint16_t port) {
    const bool v6 = host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

std::vector<std::string> lookup_host(const std::string& host, std::chrono::milliseconds time,
                                     const base::Cancellation& cancellation) {
    std::vector<std::string> out;
    for (const Address& address : resolve(host, 0, after(time), cancellation)) {
        out.push_back(address.host());
    }
    return out;
}

base::Fd dial(const std::string& host, std::uint16_t port, Deadline deadline,
              const base::Cancellation& cancellation) {
    const auto addresses = resolve(host, port, deadline, cancellation);
    std::string first_failure;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        // Each address gets its share of what is left. Source: Go net, partialDeadline.
        Deadline mine = deadline;
        if (deadline) {
            const auto left = *deadline - Clock::now();
            mine = Clock::now() + left / static_cast<int>(addresses.size() - i);
        }
        base::Fd socket;
        const std::string why = try_connect(addresses[i], socket, mine, cancellation);
        if (why.empty()) {
            tune(socket.get());
            return socket;
        }
        if (first_failure.empty()) {
            first_failure = fmt::format("dial tcp {}: {}", addresses[i].text(), why);
        }
    }
    fail(first_failure);
}

}  // namespace dockerd::http

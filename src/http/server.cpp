#include <dockerd/http/server.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/thread.hpp>

#include "connection.hpp"
#include "core.hpp"
#include "tls.hpp"

namespace dockerd::http {
namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

struct Listener {
    Listener(asio::io_context& io, int fd, int of_family, std::shared_ptr<TlsContext> with)
        : socket(io), family(of_family), tls(std::move(with)) {
        socket.assign(asio::generic::stream_protocol(family, 0), fd);
    }
    Socket socket;
    int family;
    std::shared_ptr<TlsContext> tls;
};

int family_of(int fd) {
    int family = 0;
    socklen_t size = sizeof family;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
        base::throw_errno(errno, "getsockopt");
    }
    return family;
}

// Source: Go net, TCPListener: no delay, keep-alive of 15 seconds.
void set_tcp_options(int fd) {
    const int on = 1;
    const int seconds = 15;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

}  // namespace

struct Server::Impl {
    Impl(Application& application, ServerOptions options)
        : core(application, options), work(asio::make_work_guard(core.io)) {}

    static Task<void> accept_loop(Impl& self, std::shared_ptr<Listener> listener);
    bool accept_some(Listener& listener);
    void admit(base::Fd client, Listener& listener);
    bool make_room(bool for_network);
    [[nodiscard]] bool has_local_listener() const;
    void add_connection(base::Fd client, int family, bool from_network,
                        std::shared_ptr<const TlsPeer> tls);
    void close_listeners();
    void wind_down();
    void break_off();
    void run();

    Core core;
    asio::executor_work_guard<asio::io_context::executor_type> work;
    std::vector<std::shared_ptr<Listener>> listeners;
    std::thread thread;
    std::mutex mutex;
    std::condition_variable changed;
    bool stopped = false;
};

// --- accepting -----------------------------------------------------------------------------

Task<void> Server::Impl::accept_loop(Impl& self, std::shared_ptr<Listener> listener) {
    while (listener->socket.is_open()) {
        const auto [error] = co_await listener->socket.async_wait(Socket::wait_read, as_result);
        if (error) co_return;
        if (self.accept_some(*listener)) continue;
        // Out of descriptors: clients wait in the kernel's queue meanwhile.
        (void)self.make_room(listener->family != AF_UNIX);
        asio::steady_timer pause(self.core.io, std::chrono::milliseconds(50));
        (void)co_await pause.async_wait(as_result);
    }
}

/// Accepts what is there. False when the process is out of descriptors or memory.
bool Server::Impl::accept_some(Listener& listener) {
    // Few at a time, so that served connections get their turn.
    for (int i = 0; i < 64; ++i) {
        base::Fd client(::accept4(listener.socket.native_handle(), nullptr, nullptr,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return errno == EAGAIN;
        }
        try {
            admit(std::move(client), listener);
        } catch (const std::exception& error) {
            base::log::warn("http connection refused: {}", error.what());
        }
    }
    return true;
}

void Server::Impl::admit(base::Fd client, Listener& listener) {
    if (core.stopping) return;
    // The last quarter is for clients of this machine: the network cannot shut them out.
    const std::size_t most = core.options.limits.connections;
    const bool from_network = listener.family != AF_UNIX;
    const std::size_t limit = from_network && has_local_listener() ? most - most / 4 : most;
    if (core.connection_count >= limit && !make_room(from_network)) {
        constexpr std::string_view busy =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Connection: close\r\n\r\n503 Service Unavailable: too many connections";
        (void)::send(client.get(), busy.data(), busy.size(), MSG_NOSIGNAL);
        return;
    }
    if (from_network) set_tcp_options(client.get());
    if (listener.tls) {
        auto peer = std::make_shared<TlsPeer>();
        base::Fd plain = start_tls(core.io, std::move(client), listener.tls, peer);
        add_connection(std::move(plain), AF_UNIX, from_network, std::move(peer));
    } else {
        add_connection(std::move(client), listener.family, from_network, nullptr);
    }
}

bool Server::Impl::has_local_listener() const {
    return std::ranges::any_of(listeners, [](const auto& one) { return one->family == AF_UNIX; });
}

/// Ends the connection that has been idle longest; for clients of the network one of theirs, for they
/// must not drive out those of this machine. False when none is.
bool Server::Impl::make_room(bool for_network) {
    const auto found = std::ranges::find_if(core.idle, [&](const Connection* connection) {
        return !for_network || connection->from_network();
    });
    if (found == core.idle.end()) return false;
    (*found)->shutdown(SHUT_RDWR);
    // Out of the way at once, so that the next one is another; it stays linked elsewhere.
    core.idle.splice(core.idle.end(), core.idle, found);
    return true;
}

void Server::Impl::add_connection(base::Fd client, int family, bool from_network,
                                  std::shared_ptr<const TlsPeer> tls) {
    auto connection =
        std::make_shared<Connection>(core, std::move(client), family, from_network, std::move(tls));
    connection->position = core.connections.insert(core.connections.end(), connection);
    ++core.connection_count;
    asio::co_spawn(core.io, Connection::serve(connection), asio::detached);
}

// --- stopping ------------------------------------------------------------------------------

void Server::Impl::close_listeners() {
    for (const auto& listener : listeners) {
        boost::system::error_code ignored;
        listener->socket.close(ignored);
    }
}

/// Ends what waits for its client; what is being answered goes on.
void Server::Impl::wind_down() {
    core.stopping = true;
    close_listeners();
    for (const auto& connection : core.connections) {
        const auto state = connection->state();
        if (state == Connection::State::idle || state == Connection::State::reading ||
            state == Connection::State::session) {
            connection->shutdown(SHUT_RD);
        }
    }
}

void Server::Impl::break_off() {
    for (const auto& connection : core.connections) connection->shutdown(SHUT_RDWR);
}

void Server::Impl::run() {
    (void)::pthread_setname_np(::pthread_self(), "io");
    while (true) {
        try {
            core.io.run();
            return;
        } catch (const std::exception& error) {
            base::log::error("io thread: {}", error.what());
        }
    }
}

Server::Server(Application& application, ServerOptions options)
    : impl_(std::make_unique<Impl>(application, options)) {}

Server::~Server() { stop(std::chrono::milliseconds(0)); }

void Server::add_listener(base::Fd socket, std::shared_ptr<TlsContext> tls) {
    const int family = family_of(socket.get());
    // accept4 is called until nothing is left: it must not block.
    const int flags = ::fcntl(socket.get(), F_GETFL);
    (void)::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK);
    auto listener =
        std::make_shared<Listener>(impl_->core.io, socket.get(), family, std::move(tls));
    (void)socket.release();
    impl_->listeners.push_back(std::move(listener));
}

void Server::start() {
    for (const auto& listener : impl_->listeners) {
        asio::co_spawn(impl_->core.io, Impl::accept_loop(*impl_, listener), asio::detached);
    }
    impl_->thread = base::start_quiet_thread([impl = impl_.get()]() { impl->run(); });
}

void Server::stop_accepting() {
    asio::post(impl_->core.io, [impl = impl_.get()]() { impl->close_listeners(); });
}

void Server::stop(std::chrono::milliseconds grace) {
    if (!impl_->thread.joinable()) return;
    Impl& impl = *impl_;
    // Polls on the io thread: connections end there, and nobody else is in a hurry.
    auto watch = std::make_shared<asio::steady_timer>(impl.core.io);
    const auto give_up = std::chrono::steady_clock::now() + grace;
    const auto deadline = give_up + std::chrono::milliseconds(500);
    std::function<void()> check = [&impl, watch, give_up, deadline, &check]() {
        const auto now = std::chrono::steady_clock::now();
        if (impl.core.connections.empty() || now >= deadline) {
            impl.work.reset();
            impl.core.io.stop();
            return;
        }
        if (now >= give_up) impl.break_off();
        watch->expires_after(std::chrono::milliseconds(2));
        watch->async_wait([&check](const boost::system::error_code&) { check(); });
    };
    asio::post(impl.core.io, [&impl, &check]() {
        impl.wind_down();
        check();
    });
    impl.thread.join();
}

base::WorkerPool& Server::calls() { return impl_->core.calls; }
base::WorkerPool& Server::transfers() { return impl_->core.transfers; }
std::size_t Server::connections() const { return impl_->core.connection_count; }

}  // namespace dockerd::http

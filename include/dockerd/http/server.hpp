#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/worker_pool.hpp>
#include <dockerd/http/body.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/http/stream.hpp>

namespace dockerd::http {

/// Runs on the io thread: answers from memory only, never blocks.
struct InlineCall {
    std::function<Response(const Request&)> run;
};
/// Runs on the calls pool: may block in the kernel. Gets the whole body.
struct Call {
    std::function<Response(const Request&)> run;
};
/// Runs on the transfers pool with the body and the answer as streams.
struct Transfer {
    std::function<void(Request&, BodyReader&, ResponseWriter&)> run;
};
/// Runs as a coroutine on the io thread, for answers that outlive the question. Gets the whole
/// body, unless it is chunked and the connection is to be upgraded.
struct Session {
    std::function<Task<void>(Request, Stream&)> run;
    /// Errors before the head are written in attach's bare form instead of as JSON.
    bool bare_errors = false;
};

/// How one route is run.
struct Endpoint {
    std::variant<InlineCall, Call, Transfer, Session> kind;
    /// Header lines ("Name: value\r\n" each) of every answer of this endpoint, errors included.
    std::string headers;
};

/// What the server serves: the API's router.
///
/// Thread: the io thread, except error(), which may be called from any.
class Application {
public:
    virtual ~Application() = default;

    /// Finds the endpoint for method and target, and fills path, version and path_params. The
    /// endpoint lives as long as the application. Does not throw: what is not found, or refused,
    /// is an endpoint too.
    virtual const Endpoint& route(Request& request) noexcept = 0;
    /// The answer to an exception that left a handler.
    virtual Response error(const Request& request, std::exception_ptr failure) noexcept = 0;
};

/// What a client may make the server hold.
struct Limits {
    std::size_t header_bytes = 1u << 20;
    std::size_t body_bytes = 16u << 20;  ///< of calls and sessions; transfers have none
    /// Source: moby cmd/dockerd/daemon.go, ReadHeaderTimeout.
    std::chrono::milliseconds header_timeout{300'000};
    /// All request heads and bodies being buffered, over all connections.
    std::size_t buffered_bytes = 256u << 20;
    std::size_t connections = 16'384;
    /// Unread body that is read and dropped to keep a connection. Source: Go net/http.
    std::size_t drain_bytes = 256u << 10;
};

/// How a server is made.
struct ServerOptions {
    Limits limits;
    std::size_t call_threads = 64;
    std::size_t transfer_threads = 64;
};

/// Certificates of a TLS listener.
struct TlsOptions {
    std::string cert_file;
    std::string key_file;
    std::string ca_file;       ///< the only authorities a client certificate may come from
    bool verify_client = false;
};

/// TLS material that was read and checked.
class TlsContext;
/// Throws: invalid_argument, "invalid TLS configuration: <why>".
std::shared_ptr<TlsContext> make_tls_context(const TlsOptions& options);

/// An HTTP/1.1 server: one io thread, and pools for what may block.
class Server {
public:
    Server(Application& application, ServerOptions options);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Takes a listening socket, Unix or TCP. With `tls`, clients must speak TLS.
    /// Pre: before start().
    void add_listener(base::Fd socket, std::shared_ptr<TlsContext> tls = nullptr);

    /// Starts the io thread; returns at once.
    void start();
    /// Closes the listeners; running requests go on.
    void stop_accepting();
    /// Closes the listeners and idle connections, wakes every session as if its client had left,
    /// gives the running ones up to `grace`, then ends the io thread. Also done on destruction.
    void stop(std::chrono::milliseconds grace);

    /// The pools that run handlers, and how many clients are connected.
    [[nodiscard]] base::WorkerPool& calls();
    [[nodiscard]] base::WorkerPool& transfers();
    [[nodiscard]] std::size_t connections() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::http

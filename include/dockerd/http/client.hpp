#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/http/url.hpp>

namespace dockerd::http {

/// A request that got no answer: no connection, no trust, or no HTTP.
///
/// what() is in the words of Go's client, which users of Docker know from everywhere:
/// `Get "https://r:5000/v2/": dial tcp 10.0.0.1:5000: connect: connection refused`.
class ClientError : public base::Error {
public:
    ClientError(base::ErrorKind kind, const std::string& text, int errno_value = 0,
                std::string cause = {})
        : Error(kind, text, errno_value), cause_(cause.empty() ? text : std::move(cause)) {}

    /// The text without the request it was about. Source: Go net/url, Error.Unwrap.
    [[nodiscard]] const std::string& cause() const { return cause_; }

private:
    std::string cause_;
};

/// Whom a client trusts, and who it is. Source: Docker's certs.d.
struct ClientTlsOptions {
    bool verify = true;
    std::vector<std::string> ca_files;  ///< beside the system's authorities
    bool system_authorities = true;
    std::string server_name;  ///< to ask for and to check, in place of the URL's
    /// Certificate and key of the client.
    std::vector<std::pair<std::string, std::string>> certificates;
};
/// TLS material that was read and checked.
class ClientTls;
/// Throws: internal, "open <file>: <errno text>" and what is wrong with a pair.
std::shared_ptr<const ClientTls> make_client_tls(const ClientTlsOptions& options);

/// Through which proxies requests go. Source: Go net/http/httpproxy, Config.
struct ProxyOptions {
    std::string http_proxy;
    std::string https_proxy;
    std::string no_proxy;  ///< names, .domains, addresses, networks, "*"; comma-separated
};
/// The proxy for `url`, or nothing; loopback is always reached directly.
/// Throws: invalid_argument, `invalid proxy address "x": ...`.
std::optional<Url> proxy_for(const Url& url, const ProxyOptions& options);

/// One request of a client.
struct ClientRequest {
    std::string method = "GET";
    Url url;
    Headers headers;
    /// The body; or `body_source` with its length, -1 for chunks.
    std::string body;
    std::function<std::size_t(std::span<char>)> body_source;
    std::int64_t body_size = -1;
    /// Most time for all of it: connecting, redirects, and the answer with its body.
    std::optional<std::chrono::milliseconds> timeout;
    /// Ends the waits of this request, in place of the client's.
    base::CancellationPtr cancellation;
};

/// An answer whose body is read as it comes.
///
/// Thread: one at a time.
class ClientResponse {
public:
    struct State;
    explicit ClientResponse(std::unique_ptr<State> state);
    ClientResponse(ClientResponse&&) noexcept;
    ClientResponse& operator=(ClientResponse&&) noexcept;
    ~ClientResponse();

    [[nodiscard]] int status() const;
    /// "404 Not Found", as the server words it.
    [[nodiscard]] const std::string& status_line() const;
    [[nodiscard]] const Headers& headers() const;
    /// What was asked, in the end: after redirects.
    [[nodiscard]] const Url& url() const;
    /// -1 when the server does not say.
    [[nodiscard]] std::int64_t content_length() const;

    /// Reads up to buffer.size() bytes; 0 at the end of the body.
    /// Throws: ClientError, "unexpected EOF", "read tcp a->b: i/o timeout"; "context canceled".
    std::size_t read(std::span<char> buffer);
    /// The whole body. Throws: ClientError also when there are more than `limit` bytes.
    std::string read_all(std::size_t limit);

private:
    std::unique_ptr<State> state_;
};

/// The addresses of `host` as text, looked up on a thread that nobody has to wait for.
/// Throws: ClientError, "dial tcp: lookup x: no such host", "... i/o timeout"; "context canceled".
std::vector<std::string> lookup_host(const std::string& host, std::chrono::milliseconds time,
                                     const base::Cancellation& cancellation);

/// What one client is like.
struct ClientOptions {
    std::shared_ptr<const ClientTls> tls;  ///< none: the system's authorities
    ProxyOptions proxy;
    std::string user_agent;
    /// Source: moby distribution/registry.go, newRepository.
    std::chrono::milliseconds connect_timeout{30'000};
    std::chrono::milliseconds handshake_timeout{10'000};
    /// Longest silence within a body, and before a head.
    std::chrono::milliseconds silence{60'000};
};

/// A blocking HTTP/1.1 client for https and http, directly or through a proxy. Heads are bounded
/// (64 KiB); every wait ends with the time given or with the cancellation.
///
/// Thread: any number may use one client.
class Client {
public:
    /// Changes a request that is about to be sent, also after a redirect.
    using Prepare = std::function<void(ClientRequest&)>;

    Client(ClientOptions options, base::CancellationPtr cancellation);

    /// Sends one request; the answer's head has come. A redirect is an answer like any other.
    [[nodiscard]] ClientResponse send(const ClientRequest& request) const;
    /// The same, redirects followed, at most ten. `prepare` sees every request before it goes;
    /// headers it set stay behind when the next origin is another.
    /// Throws: ClientError, "stopped after 10 redirects".
    [[nodiscard]] ClientResponse fetch(ClientRequest request, const Prepare& prepare = {}) const;

    [[nodiscard]] const base::CancellationPtr& cancellation() const { return cancellation_; }

private:
    using Moment = std::optional<std::chrono::steady_clock::time_point>;
    [[nodiscard]] ClientResponse send_until(const ClientRequest& request, Moment whole) const;

    ClientOptions options_;
    base::CancellationPtr cancellation_;
};

}  // namespace dockerd::http

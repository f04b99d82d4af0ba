#include <dockerd/http/client.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <dockerd/base/strings.hpp>

#include "client_response.hpp"

namespace dockerd::http {
namespace {

/// Source: Go net/http client.go, defaultCheckRedirect.
constexpr int max_redirects = 10;
constexpr std::size_t chunk_size = 256U << 10U;

[[noreturn]] void fail(const std::string& text, int errno_value = 0) {
    throw ClientError(base::ErrorKind::internal, text, errno_value);
}

/// "Get", "Post". Source: Go net/http client.go, urlErrorOp.
std::string verb(const std::string& method) {
    return method.substr(0, 1) + base::to_lower(method.substr(1));
}

std::string basic(const std::string& user_info) {
    return "Basic " + base::base64_encode(percent_decode(user_info, /*plus_is_space=*/false));
}

/// Nothing a caller or server gave may end a line.
void check_line(std::string_view text) {
    if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
        fail("net/http: invalid header field value");
    }
}

std::string head_of(const ClientRequest& request, const std::string& target, bool through_proxy,
                    const ProxyOptions& proxies, const std::string& user_agent) {
    std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, target,
                                  request.url.host);
    if (!request.headers.contains("User-Agent")) {
        out += fmt::format("User-Agent: {}\r\n", user_agent);
    }
    if (through_proxy) {
        const auto proxy = proxy_for(request.url, proxies);
        if (proxy && !proxy->user_info.empty()) {
            out += fmt::format("Proxy-Authorization: {}\r\n", basic(proxy->user_info));
        }
    }
    for (const auto& [name, value] : request.headers.all()) {
        check_line(name);
        check_line(value);
        out += fmt::format("{}: {}\r\n", name, value);
    }
    const bool has_body = request.body_source || !request.body.empty() ||
                          request.method == "POST" || request.method == "PUT" ||
                          request.method == "PATCH";
    if (request.body_source && request.body_size < 0) {
        out += "Transfer-Encoding: chunked\r\n";
    } else if (has_body) {
        out += fmt::format("Content-Length: {}\r\n",
                           request.body_source ? request.body_size
                                               : static_cast<std::int64_t>(request.body.size()));
    }
    out += "Connection: close\r\n\r\n";
    check_line(target);
    return out;
}

/// Sends the body of a source, with its length or in chunks. An answer that comes meanwhile
/// ends it: the server does not want the rest.
void send_source(ClientConnection& connection, const ClientRequest& request,
                 std::chrono::milliseconds silence) {
    const bool chunked = request.body_size < 0;
    // A chunk goes off as one piece: its head stands right before the bytes, its end behind.
    constexpr std::size_t head_size = 18;
    std::string buffer(head_size + chunk_size + 2, '\0');
    char* const body = buffer.data() + head_size;
    std::int64_t sent = 0;
    for (;;) {
        std::size_t most = chunk_size;
        if (!chunked) {
            most = std::min<std::size_t>(most, static_cast<std::size_t>(request.body_size - sent));
        }
        const std::size_t n = most == 0 ? 0 : request.body_source({body, most});
        if (n == 0) break;
        if (connection.has_input()) return;
        std::string_view bytes(body, n);
        if (chunked) {
            const std::string head = fmt::format("{:x}\r\n", n);
            char* const start = std::copy_backward(head.begin(), head.end(), body);
            std::copy_n("\r\n", 2, body + n);
            bytes = {start, head.size() + n + 2};
        }
        connection.write(bytes, after(silence));
        sent += static_cast<std::int64_t>(n);
    }
    if (chunked) {
        connection.write("0\r\n\r\n", after(silence));
    } else if (sent < request.body_size) {
        fail(fmt::format("http: ContentLength={} with Body length {}", request.body_size, sent));
    }
}

/// A tunnel through a proxy. Source: Go net/http transport.go, dialConn.
void open_tunnel(ClientConnection& connection, const Url& proxy, const Url& url,
                 Deadline deadline) {
    const std::string to = host_and_port(url.host_name(), url.port());
    std::string head = fmt::format("CONNECT {} HTTP/1.1\r\nHost: {}\r\n", to, to);
    if (!proxy.user_info.empty()) {
        head += fmt::format("Proxy-Authorization: {}\r\n", basic(proxy.user_info));
    }
    connection.write(head + "\r\n", deadline);
    // Byte by byte: what comes after the head is the other side's.
    std::string answer;
    while (!answer.ends_with("\r\n\r\n")) {
        char c = 0;
        if (connection.read({&c, 1}, deadline) == 0) fail("EOF");
        answer += c;
        if (answer.size() > (16U << 10U)) fail("proxy's answer is too long");
    }
    const std::string line = answer.substr(0, answer.find("\r\n"));
    const std::size_t space = line.find(' ');
    if (!line.starts_with("HTTP/1.") || space == std::string::npos) {
        fail(fmt::format("malformed HTTP response {}", base::quote(line)));
    }
    const std::string status = line.substr(space + 1);
    if (!status.starts_with("200")) {
        const std::size_t text = status.find(' ');
        fail(text == std::string::npos ? "unknown status code" : status.substr(text + 1));
    }
}

std::unique_ptr<ClientConnection> connect(const Url& url, const ClientOptions& options,
                                          Deadline deadline,
                                          const base::CancellationPtr& cancellation) {
    const Deadline dialing = earlier(deadline, after(options.connect_timeout));
    const auto proxy = proxy_for(url, options.proxy);
    const Url& to = proxy ? *proxy : url;
    std::unique_ptr<ClientConnection> connection;
    const auto open = [&] {
        if (proxy && proxy->scheme == "https" && url.scheme == "https") {
            fail(fmt::format("https through the proxy {}, itself reached by https, is not supported",
                             proxy->host));
        }
        connection = std::make_unique<ClientConnection>(to.host_name(), to.port(), dialing,
                                                        cancellation);
        if (proxy && proxy->scheme == "https") {
            connection->start_tls(*make_client_tls({}), proxy->host_name(),
                                  earlier(deadline, after(options.handshake_timeout)));
        }
        if (proxy && url.scheme == "https") open_tunnel(*connection, *proxy, url, dialing);
    };
    try {
        open();
    } catch (const ClientError& error) {
        // Source: Go net/http transport.go, wrapErr.
        if (proxy) fail(fmt::format("proxyconnect tcp: {}", error.what()), error.errno_value());
        throw;
    }
    if (url.scheme == "https") {
        const auto tls = options.tls ? options.tls : make_client_tls({});
        connection->start_tls(*tls, url.host_name(),
                              earlier(deadline, after(options.handshake_timeout)));
    }
    return connection;
}

}  // namespace

Client::Client(ClientOptions options, base::CancellationPtr cancellation)
    : options_(std::move(options)), cancellation_(std::move(cancellation)) {}

ClientResponse Client::send(const ClientRequest& request) const {
    return send_until(request, request.timeout ? after(*request.timeout) : Deadline());
}

ClientResponse Client::send_until(const ClientRequest& request, Moment whole) const {
    if (request.url.scheme != "http" && request.url.scheme != "https") {
        fail(fmt::format("{} {}: unsupported protocol scheme {}", verb(request.method),
                         base::quote(request.url.text()), base::quote(request.url.scheme)));
    }
    try {
        auto state = std::make_unique<ClientResponse::State>();
        state->silence = options_.silence;
        state->whole = whole;
        state->url = request.url;
        state->connection = connect(request.url, options_, whole,
                                    request.cancellation ? request.cancellation : cancellation_);
        const bool absolute =
            request.url.scheme == "http" && proxy_for(request.url, options_.proxy);
        const std::string target =
            absolute ? fmt::format("http://{}{}", request.url.host, request.url.target())
                     : request.url.target();
        std::string head =
            head_of(request, target, absolute, options_.proxy, options_.user_agent);
        if (!request.body_source) head += request.body;
        try {
            state->connection->write(head, earlier(whole, after(options_.silence)));
            if (request.body_source) send_source(*state->connection, request, options_.silence);
        } catch (const ClientError&) {
            // A server may have answered and closed before it took everything.
            if (!state->connection->has_input()) throw;
        }
        state->read_head(request.method == "HEAD", earlier(whole, after(options_.silence)));
        return ClientResponse(std::move(state));
    } catch (const ClientError& error) {
        std::string why = error.what();
        // Source: Go net/http client.go, setRequestCancel.
        if (whole && std::chrono::steady_clock::now() >= *whole) {
            why = "net/http: request canceled (Client.Timeout exceeded while awaiting headers)";
        }
        throw ClientError(error.kind(),
                          fmt::format("{} {}: {}", verb(request.method),
                                      base::quote(request.url.text()), why),
                          error.errno_value(), why);
    }
}

ClientResponse Client::fetch(ClientRequest request, const Prepare& prepare) const {
    const Deadline whole = request.timeout ? after(*request.timeout) : Deadline();
    const Headers own = request.headers;
    for (int redirects = 0;; ++redirects) {
        request.headers = own;
        if (prepare) prepare(request);
        ClientResponse response = send_until(request, whole);
        const int status = response.status();
        const std::string* const location = response.headers().find("Location");
        const bool redirect = status == 301 || status == 302 || status == 303 || status == 307 ||
                              status == 308;
        if (!redirect || location == nullptr || location->empty()) return response;
        if (redirects + 1 >= max_redirects) {
            fail(fmt::format("{} {}: stopped after {} redirects", verb(request.method),
                             base::quote(*location), max_redirects));
        }
        // A stream cannot be sent twice.
        if (request.body_source) return response;
        request.url = request.url.resolve(*location);
        // Source: Go net/http client.go, redirectBehavior.
        if (status < 307 && request.method != "GET" && request.method != "HEAD") {
            request.method = "GET";
            request.body.clear();
        }
    }
}

}  // namespace dockerd::http

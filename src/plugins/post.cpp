#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <dockerd/base/strings.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::plugins {
namespace {

/// A plugin has no right to fill the daemon's memory.
constexpr std::size_t head_limit = 64UL << 10U;
constexpr std::size_t body_limit = 16UL << 20U;

// Source: moby pkg/plugins/client.go, dummyHost; transport/mimetype.go.
constexpr const char* local_host = "plugin.moby.localhost";
constexpr const char* mime_type = "application/vnd.docker.plugins.v1.2+json";

[[noreturn]] void malformed(const std::string& text) {
    base::fail(base::ErrorKind::internal, text);
}

/// What has come and was not taken yet.
class Incoming {
public:
    explicit Incoming(dial::Connection& channel) : channel_(channel) {}

    /// False at the end.
    bool more() {
        std::array<char, 16384> buffer;  // filled by the read
        const std::size_t got = channel_.read(buffer.data(), buffer.size());
        bytes_.append(buffer.data(), got);
        return got > 0;
    }
    /// A line without its end. Throws at the end of the stream.
    std::string line() {
        std::size_t end = 0;
        while ((end = bytes_.find('\n')) == std::string::npos) {
            if (bytes_.size() > head_limit) malformed("net/http: HTTP/1.x response headers too long");
            if (!more()) malformed(bytes_.empty() ? "EOF" : "unexpected EOF");
        }
        lines_ += end + 1;
        if (lines_ > head_limit) malformed("net/http: HTTP/1.x response headers too long");
        std::string out = take(end + 1);
        out.pop_back();
        if (out.ends_with('\r')) out.pop_back();
        return out;
    }
    std::string exactly(std::size_t count) {
        if (count > body_limit) malformed("http: response body too large");
        while (bytes_.size() < count) {
            if (!more()) malformed("unexpected EOF");
        }
        lines_ = 0;
        return take(count);
    }
    std::string rest() {
        while (more()) {
            if (bytes_.size() > body_limit) malformed("http: response body too large");
        }
        return take(bytes_.size());
    }

private:
    std::string take(std::size_t count) {
        std::string out = bytes_.substr(0, count);
        bytes_.erase(0, count);
        return out;
    }
    dial::Connection& channel_;
    std::string bytes_;
    std::size_t lines_ = 0;  ///< bytes of lines since the last of the body
};

std::string read_chunks(Incoming& in) {
    std::string body;
    for (;;) {
        const std::string line = in.line();
        std::size_t size = 0;
        const auto parsed = std::from_chars(line.data(), line.data() + line.size(), size, 16);
        if (parsed.ec != std::errc()) malformed("invalid byte in chunk length");
        if (size == 0) return body;
        if (body.size() + size > body_limit) malformed("http: response body too large");
        body += in.exactly(size);
        if (!in.line().empty()) malformed("malformed chunked encoding");
    }
}

Answer read_answer(Incoming& in) {
    Answer answer;
    std::optional<std::size_t> length;
    bool chunked = false;
    do {
        const std::string status = in.line();
        const auto words = base::split(status, ' ');
        const auto code = words.size() > 1 ? base::parse_int(words[1]) : std::nullopt;
        if (!status.starts_with("HTTP/1.") || !code) {
            malformed("net/http: HTTP/1.x transport connection broken: malformed HTTP response " +
                      base::quote(status));
        }
        answer.status = static_cast<int>(*code);
        for (std::string line = in.line(); !line.empty(); line = in.line()) {
            const std::size_t colon = line.find(':');
            const std::string name = base::to_lower(line.substr(0, colon));
            const std::string value(colon == std::string::npos ? std::string_view()
                                                               : base::trim(line.substr(colon + 1)));
            if (name == "transfer-encoding") chunked = base::iequals(value, "chunked");
            if (name != "content-length") continue;
            const auto number = base::parse_int(value);
            if (!number || *number < 0) malformed("bad Content-Length " + base::quote(value));
            length = static_cast<std::size_t>(*number);
        }
    } while (answer.status >= 100 && answer.status < 200);
    if (chunked) {
        answer.body = read_chunks(in);
    } else if (length) {
        answer.body = in.exactly(*length);
    } else if (answer.status != 204) {
        answer.body = in.rest();
    }
    return answer;
}

}  // namespace

/// The name in the request's URL. Source: moby pkg/plugins/client.go, newTransport.
std::string url_host(const Endpoint& endpoint) {
    if (endpoint.network == "unix") return local_host;
    return endpoint.port_given ? endpoint.host + ":" + endpoint.port : endpoint.host;
}

Answer post(const Endpoint& endpoint, const std::string& path, const std::string& body,
            std::chrono::milliseconds timeout, const dial::Hurry* hurry) {
    bool asked = false;
    try {
        const dial::TlsSettings tls{.skip_verify = endpoint.skip_verify,
                                    .ca_cert = endpoint.ca_file,
                                    .cert = endpoint.cert_file,
                                    .key = endpoint.key_file};
        dial::Connection channel({.network = endpoint.network,
                                  .host = endpoint.host,
                                  .port = endpoint.port,
                                  .path = endpoint.path},
                                 endpoint.tls ? &tls : nullptr, dial::Clock::now() + timeout, hurry);
        asked = true;
        channel.write(fmt::format("POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Go-http-client/1.1\r\n"
                                  "Content-Length: {}\r\nAccept: {}\r\nConnection: close\r\n\r\n{}",
                                  path, url_host(endpoint), body.size(), mime_type, body));
        Incoming in(channel);
        return read_answer(in);
    } catch (const dial::TimedOut&) {
        // Source: Go context, deadlineExceededError.
        throw Unreachable("context deadline exceeded", asked);
    } catch (const base::Error& error) {
        throw Unreachable(error.what(), asked);
    }
}

}  // namespace dockerd::plugins

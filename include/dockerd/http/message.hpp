#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dockerd::http {

/// The request methods somebody asks for.
enum class Method { get, head, post, put, del, options, other };

/// "GET", "DELETE"; "" for other.
std::string_view method_name(Method method);

/// A version of the Engine API, as in /v1.47/...
struct ApiVersion {
    int major = 1;
    int minor = 50;
    friend constexpr auto operator<=>(const ApiVersion&, const ApiVersion&) = default;
};

/// One header line, as it was sent.
struct Header {
    std::string name;
    std::string value;
};

/// Header fields in their order; names compare without case.
class Headers {
public:
    Headers() = default;
    Headers(std::initializer_list<Header> items) : items_(items) {}

    /// The first value of `name`, or null.
    [[nodiscard]] const std::string* find(std::string_view name) const;
    /// The first value of `name`, or an empty text.
    [[nodiscard]] std::string_view get(std::string_view name) const;
    [[nodiscard]] bool contains(std::string_view name) const { return find(name) != nullptr; }
    /// True when one of the comma-separated tokens of any `name` field is `token`, without case.
    [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const;
    void add(std::string name, std::string value);
    /// Replaces every `name` by one.
    void set(std::string name, std::string value);
    [[nodiscard]] const std::vector<Header>& all() const { return items_; }
    void clear() { items_.clear(); }

private:
    std::vector<Header> items_;
};

/// Who is on the other end of a Unix socket; absent for TCP.
struct PeerCredentials {
    pid_t pid = 0;
    uid_t uid = 0;
    gid_t gid = 0;
};

/// Who is on the other end of a TLS connection.
struct TlsPeer {
    std::string common_name;                ///< of its certificate
    std::vector<std::string> certificates;  ///< PEM, its own first; none when it showed none
};

/// Decoded query string or form: names to values in the order given.
using Form = std::vector<std::pair<std::string, std::string>>;

/// Decodes `a=b&c=%20`. Throws: invalid_argument, `invalid URL escape "%zz"`.
/// Source: Go net/url, ParseQuery.
Form parse_form(std::string_view text);

/// Decodes %xx; `plus_is_space` for forms. Throws: invalid_argument, `invalid URL escape "%zz"`.
std::string percent_decode(std::string_view text, bool plus_is_space);

/// One request. For plain and inline handlers `body` holds the whole body.
struct Request {
    Method method = Method::get;
    std::string method_text;  ///< as sent: "GET"
    std::string target;       ///< as sent: "/v1.47/containers/json?all=1"
    std::string path;         ///< decoded, without the version prefix: "/containers/json"
    std::string query;        ///< as sent, without "?"
    std::string version_text;  ///< "1.47"; empty for an unversioned path
    ApiVersion version;       ///< the requested version, or the newest
    bool http10 = false;
    Headers headers;
    std::string body;
    /// Content-Length; -1 when the body is chunked; 0 when there is none.
    std::int64_t content_length = 0;
    std::map<std::string, std::string> path_params;
    std::optional<PeerCredentials> peer;
    std::shared_ptr<const TlsPeer> tls;  ///< null without TLS
    /// Whether it came by TCP, with or without TLS.
    bool from_network = false;
    /// Its number, in the log of --debug.
    std::uint64_t id = 0;

    /// The value of `{name}` in the route's pattern; empty when the pattern has none.
    [[nodiscard]] const std::string& path_param(const std::string& name) const;

    /// All parameters: those of an urlencoded POST or PUT body first, then the query's.
    /// Throws: invalid_argument, `invalid URL escape "%zz"`. Source: Go net/http, ParseForm.
    [[nodiscard]] const Form& form() const;
    /// The first value of a parameter; nullopt when it is absent.
    [[nodiscard]] std::optional<std::string> param(std::string_view name) const;
    /// The same, or `fallback` when it is absent.
    [[nodiscard]] std::string param(std::string_view name, std::string_view fallback) const;
    /// Every value of a repeated parameter.
    [[nodiscard]] std::vector<std::string> params(std::string_view name) const;
    [[nodiscard]] bool has_param(std::string_view name) const;

private:
    mutable std::optional<Form> form_;
};

/// A whole answer. The server adds Date, Content-Length and the API's own headers.
struct Response {
    int status = 200;
    Headers headers;
    std::string body;
    /// Of an error: its plain text, for answers that are not JSON.
    std::string error_text;
    /// Goes without the headers of its endpoint.
    bool plain = false;

    /// No body: 204, 304, or 201 with Content-Length 0.
    static Response empty(int status);
    /// `text` is ready JSON; a newline is added when there is none.
    static Response json(int status, std::string text);
    /// text/plain; charset=utf-8.
    static Response text(int status, std::string text);
};

/// "Not Found" for 404; "" when unknown.
std::string_view status_text(int status);

}  // namespace dockerd::http

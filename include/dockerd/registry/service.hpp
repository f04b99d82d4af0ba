#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/http/client.hpp>

namespace dockerd::registry {

/// Who a client of ours is to a registry. Source: moby api/types/registry, AuthConfig.
struct Credentials {
    std::string username;
    std::string password;
    std::string server_address;
    std::string identity_token;  ///< exchanged for access tokens
    std::string registry_token;  ///< sent as it is
};

/// Which registries are reached how.
struct Options {
    std::vector<std::string> mirrors;              ///< of Docker Hub: "https://m.example/"
    std::vector<std::string> insecure_registries;  ///< "host:port" or a network
    std::string certs_dir = "/etc/docker/certs.d";
    http::ProxyOptions proxy;
};

/// A place to ask for a repository.
struct Endpoint {
    http::Url url;
    bool mirror = false;
    std::shared_ptr<const http::ClientTls> tls;
    bool own_path = false;  ///< `url` has the whole path, "/v2" is not added
    http::Headers headers;  ///< for requests to this origin alone
    /// The caller's credentials are not for it: they are the registry's.
    bool is_foreign = false;

    /// The URL of the interface's root, without a slash at its end.
    [[nodiscard]] http::Url root() const;
    /// Puts `headers` into a request that goes there.
    void add_headers(http::ClientRequest& request) const;
};

/// What a request is sent on behalf of.
struct Caller {
    Credentials credentials;
    std::string user_agent;   ///< of the client that asked the daemon
    http::Headers meta;       ///< its X-Meta- headers, passed on
    base::CancellationPtr cancellation;
    /// Most time for one request, where answers are small.
    std::optional<std::chrono::milliseconds> timeout;
};

/// One result of a search.
struct FoundRepository {
    std::string name;
    std::string description;
    std::int64_t stars = 0;
    bool official = false;
};

/// Finds the endpoints of registries by flags and certs.d.
///
/// A hosts.toml there gives any registry mirrors (Docker's classic store has them for Docker Hub
/// alone): pulls ask them first, without the caller's credentials.
///
/// Source: moby registry/service_v2.go, config.go.
/// Thread: any.
class Service {
public:
    explicit Service(Options options) : options_(std::move(options)) {}

    /// Takes what a reload brings.
    void set_options(Options options);
    [[nodiscard]] Options options() const;

    /// Where to pull from, in the order to be tried: the hosts of a hosts.toml, mirrors of Docker
    /// Hub, https, http.
    /// Throws: invalid_argument, "missing key x.key for client certificate x.cert. CA certificates
    ///         must use the extension .crt" and kin; "<file>: line 3: ..." of a hosts.toml.
    [[nodiscard]] std::vector<Endpoint> pull_endpoints(const std::string& domain,
                                                       const base::Cancellation& cancellation) const;
    /// The same without mirrors; of a hosts.toml the hosts that may be pushed to.
    [[nodiscard]] std::vector<Endpoint> push_endpoints(const std::string& domain,
                                                       const base::Cancellation& cancellation) const;
    /// Whether https with a trusted certificate is asked for.
    [[nodiscard]] bool is_secure(const std::string& host,
                                 const base::Cancellation& cancellation) const;

    /// A client as this endpoint and caller need it.
    [[nodiscard]] http::Client client(const Endpoint& endpoint, const Caller& caller) const;

    /// What a login brought: a token to be used in place of the password, or nothing.
    struct Login {
        std::string identity_token;
    };
    /// Tries the credentials. Throws: unauthenticated, `Get "https://r/v2/": unauthorized: ...`.
    /// Source: moby registry/service.go, Auth.
    [[nodiscard]] Login login(const Caller& caller) const;

    /// Searches Docker Hub, or the registry the term names; `limit` 0: 25.
    /// Throws: invalid_argument, "limit 101 is outside the range of [1, 100]"; http::ClientError.
    /// Source: moby registry/search.go.
    [[nodiscard]] std::vector<FoundRepository> search(const std::string& term, std::int64_t limit,
                                                      const Caller& caller) const;

    /// What lies behind any URL. Throws: not_found, "failed to GET http://x with status 404 Not
    /// Found: <body>" and kin; http::ClientError.
    [[nodiscard]] http::ClientResponse get_url(const std::string& url, const Caller& caller) const;

private:
    enum class Purpose { pull, push };
    [[nodiscard]] std::vector<Endpoint> endpoints(const std::string& domain, Purpose purpose,
                                                  const base::Cancellation& cancellation) const;
    [[nodiscard]] std::vector<Endpoint> usual_endpoints(
        const std::string& domain, Purpose purpose, const base::Cancellation& cancellation) const;
    [[nodiscard]] Endpoint endpoint(http::Url url, bool secure, bool mirror) const;

    mutable base::Mutex mutex_;
    Options options_;
};

/// The TLS material of a folder of certs.d; what is not there is not asked for.
http::ClientTlsOptions read_certs(const std::string& folder);

}  // namespace dockerd::registry

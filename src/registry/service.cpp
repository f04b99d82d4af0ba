#include <dockerd/registry/service.hpp>

#include <arpa/inet.h>
#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "hosts_file.hpp"

namespace dockerd::registry {
namespace {

[[noreturn]] void invalid(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}

/// Source: moby registry/config_unix.go, cleanPath: how a host's folder is called.
std::string folder_name(std::string host) { return host; }

struct Network {
    std::array<unsigned char, 16> address{};
    int bits = 0;
};

std::array<unsigned char, 16> mapped(const in_addr& v4) {
    std::array<unsigned char, 16> out{};
    out[10] = out[11] = 0xff;
    const auto* const bytes = reinterpret_cast<const unsigned char*>(&v4);
    std::copy(bytes, bytes + 4, out.begin() + 12);
    return out;
}

std::optional<std::array<unsigned char, 16>> parse_address(const std::string& text) {
    std::array<unsigned char, 16> out{};
    if (::inet_pton(AF_INET6, text.c_str(), out.data()) == 1) return out;
    in_addr v4{};
    if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return mapped(v4);
    return std::nullopt;
}

std::optional<Network> parse_network(const std::string& text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) return std::nullopt;
    const auto address = parse_address(text.substr(0, slash));
    const auto bits = base::parse_int(text.substr(slash + 1));
    if (!address || !bits) return std::nullopt;
    const bool v4 = text.find(':') == std::string::npos;
    if (*bits < 0 || *bits > (v4 ? 32 : 128)) return std::nullopt;
    return Network{*address, static_cast<int>(*bits) + (v4 ? 96 : 0)};
}

bool contains(const Network& network, const std::array<unsigned char, 16>& address) {
    for (int bit = 0; bit < network.bits; ++bit) {
        const auto byte = static_cast<std::size_t>(bit / 8);
        const unsigned mask = 0x80U >> static_cast<unsigned>(bit % 8);
        if ((network.address.at(byte) & mask) != (address.at(byte) & mask)) return false;
    }
    return true;
}

/// Longest look-up of a name, as of one that is dialled.
constexpr std::chrono::seconds lookup_timeout{30};

/// All addresses of a host; none when it has no name.
std::vector<std::array<unsigned char, 16>> addresses_of(const std::string& host,
                                                        const base::Cancellation& cancellation) {
    if (const auto address = parse_address(host)) return {*address};
    std::vector<std::array<unsigned char, 16>> out;
    try {
        for (const std::string& text : http::lookup_host(host, lookup_timeout, cancellation)) {
            if (const auto address = parse_address(text)) out.push_back(*address);
        }
    } catch (const http::ClientError&) {
        // Who asks it meets the same and says so.
    }
    return out;
}

std::string without_scheme(const std::string& registry) {
    const std::string lower = base::to_lower(registry);
    if (lower.starts_with("http://")) return registry.substr(7);
    if (lower.starts_with("https://")) return registry.substr(8);
    return registry;
}

std::vector<std::string> list_folder(const std::string& folder) {
    const std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(folder.c_str()), &::closedir);
    if (!handle) {
        if (errno == ENOENT) return {};
        invalid(fmt::format("open {}: {}", folder, base::errno_text(errno)));
    }
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(handle.get())) names.emplace_back(entry->d_name);
    std::ranges::sort(names);
    return names;
}

}  // namespace

http::ClientTlsOptions read_certs(const std::string& folder) {
    http::ClientTlsOptions out;
    const auto names = list_folder(folder);
    const auto has = [&](const std::string& name) {
        return std::ranges::binary_search(names, name);
    };
    for (const std::string& name : names) {
        if (name.ends_with(".crt")) {
            out.ca_files.push_back(folder + "/" + name);
        } else if (name.ends_with(".cert")) {
            const std::string key = name.substr(0, name.size() - 5) + ".key";
            if (!has(key)) {
                invalid(fmt::format("missing key {} for client certificate {}. CA certificates must "
                                    "use the extension .crt",
                                    key, name));
            }
            out.certificates.emplace_back(folder + "/" + name, folder + "/" + key);
        } else if (name.ends_with(".key")) {
            const std::string certificate = name.substr(0, name.size() - 4) + ".cert";
            if (!has(certificate)) {
                invalid(fmt::format("missing client certificate {} for key {}", certificate, name));
            }
        }
    }
    return out;
}

void Service::set_options(Options options) {
    const base::Lock lock(mutex_);
    options_ = std::move(options);
}

Options Service::options() const {
    const base::Lock lock(mutex_);
    return options_;
}

bool Service::is_secure(const std::string& host, const base::Cancellation& cancellation) const {
    if (host == "docker.io") return true;
    std::vector<std::string> registries = options().insecure_registries;
    // Source: moby registry/config.go, loadInsecureRegistries.
    registries.insert(registries.end(), {"::1/128", "127.0.0.0/8"});
    std::vector<Network> networks;
    for (const std::string& registry : registries) {
        const std::string name = without_scheme(registry);
        if (name == host) return false;
        if (const auto network = parse_network(name)) networks.push_back(*network);
    }
    http::Url url;
    url.host = host;
    const auto addresses = addresses_of(url.host_name(), cancellation);
    return std::ranges::none_of(networks, [&](const Network& network) {
        return std::ranges::any_of(addresses,
                                   [&](const auto& address) { return contains(network, address); });
    });
}

Endpoint Service::endpoint(http::Url url, bool secure, bool mirror) const {
    http::ClientTlsOptions tls;
    if (secure) tls = read_certs(options().certs_dir + "/" + folder_name(url.host));
    tls.verify = secure;
    return {.url = std::move(url), .mirror = mirror, .tls = http::make_client_tls(tls)};
}

namespace {

/// One that a hosts.toml names, trusted as the file and its own folder of certs.d say.
Endpoint listed_endpoint(const HostsFile::Host& host, const std::string& certs_dir, bool mirror) {
    http::ClientTlsOptions tls;
    if (host.tls.verify) tls = read_certs(certs_dir + "/" + folder_name(host.url.host));
    tls.verify = host.tls.verify;
    tls.ca_files.insert(tls.ca_files.end(), host.tls.ca_files.begin(), host.tls.ca_files.end());
    tls.certificates.insert(tls.certificates.end(), host.tls.certificates.begin(),
                            host.tls.certificates.end());
    return {.url = host.url,
            .mirror = mirror,
            .tls = http::make_client_tls(tls),
            .own_path = host.own_path,
            .headers = host.headers,
            .is_foreign = mirror};
}

}  // namespace

std::vector<Endpoint> Service::usual_endpoints(const std::string& domain, Purpose purpose,
                                               const base::Cancellation& cancellation) const {
    std::vector<Endpoint> out;
    if (domain == "docker.io" || domain == "index.docker.io") {
        const bool mirrors = purpose == Purpose::pull;
        for (std::string mirror : mirrors ? options().mirrors : std::vector<std::string>()) {
            if (mirror.find("://") == std::string::npos) mirror = "https://" + mirror;
            const http::Url url = http::Url::parse(mirror);
            out.push_back(endpoint(url, is_secure(url.host, cancellation), /*mirror=*/true));
        }
        // Source: moby registry/config.go, DefaultV2Registry.
        out.push_back({.url = http::Url::parse("https://registry-1.docker.io"),
                       .tls = http::make_client_tls({})});
        return out;
    }
    const bool secure = is_secure(domain, cancellation);
    out.push_back(endpoint(http::Url::parse("https://" + domain), secure, /*mirror=*/false));
    if (!secure) {
        out.push_back(endpoint(http::Url::parse("http://" + domain), secure, /*mirror=*/false));
    }
    return out;
}

/// What a hosts.toml lists comes first; the registry itself is the last resort.
std::vector<Endpoint> Service::endpoints(const std::string& domain, Purpose purpose,
                                         const base::Cancellation& cancellation) const {
    // Source: Go net/http, of a URL without a host.
    if (domain.empty()) {
        base::fail(base::ErrorKind::internal, "Get \"https:/v2/\": http: no Host in request URL");
    }
    const std::string certs_dir = options().certs_dir;
    const auto file = read_hosts_file(certs_dir + "/" + folder_name(domain));
    if (!file) return usual_endpoints(domain, purpose, cancellation);
    std::vector<Endpoint> out;
    for (const HostsFile::Host& host : file->hosts) {
        const bool wanted = purpose == Purpose::pull ? host.pull : host.push;
        if (wanted) out.push_back(listed_endpoint(host, certs_dir, host.url.host != domain));
    }
    if (file->server) {
        out.push_back(listed_endpoint(*file->server, certs_dir, /*mirror=*/false));
        return out;
    }
    for (Endpoint& usual : usual_endpoints(domain, purpose, cancellation)) {
        out.push_back(std::move(usual));
    }
    return out;
}

std::vector<Endpoint> Service::pull_endpoints(const std::string& domain,
                                              const base::Cancellation& cancellation) const {
    return endpoints(domain, Purpose::pull, cancellation);
}

std::vector<Endpoint> Service::push_endpoints(const std::string& domain,
                                              const base::Cancellation& cancellation) const {
    return endpoints(domain, Purpose::push, cancellation);
}

http::Url Endpoint::root() const {
    http::Url out = url;
    while (out.path.ends_with('/')) out.path.pop_back();
    if (!own_path) out.path += "/v2";
    return out;
}

void Endpoint::add_headers(http::ClientRequest& request) const {
    if (!request.url.same_origin(url)) return;
    for (const auto& [name, value] : headers.all()) request.headers.set(name, value);
}

http::Client Service::client(const Endpoint& endpoint, const Caller& caller) const {
    http::ClientOptions client;
    client.tls = endpoint.tls;
    client.proxy = options().proxy;
    client.user_agent = caller.user_agent;
    return {std::move(client), caller.cancellation};
}

}  // namespace dockerd::registry

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <optional>

#include <dockerd/base/strings.hpp>
#include <dockerd/http/client.hpp>

namespace dockerd::http {
namespace {

/// An address in 16 bytes, IPv4 mapped.
using Address = std::array<unsigned char, 16>;

std::optional<Address> parse_address(const std::string& text) {
    Address out{};
    if (::inet_pton(AF_INET6, text.c_str(), out.data()) == 1) return out;
    if (::inet_pton(AF_INET, text.c_str(), out.data() + 12) == 1) {
        out[10] = out[11] = 0xff;
        return out;
    }
    return std::nullopt;
}

bool in_network(const Address& address, const std::string& network) {
    const std::size_t slash = network.find('/');
    if (slash == std::string::npos) return false;
    const auto base_address = parse_address(network.substr(0, slash));
    const auto length = base::parse_int(network.substr(slash + 1));
    if (!base_address || !length || *length < 0) return false;
    const bool v4 = network.find(':') == std::string::npos;
    const std::int64_t bits = *length + (v4 ? 96 : 0);
    if (bits > 128) return false;
    for (std::int64_t i = 0; i < bits; ++i) {
        const auto byte = static_cast<std::size_t>(i / 8);
        const unsigned mask = 0x80U >> static_cast<unsigned>(i % 8);
        if ((address.at(byte) & mask) != (base_address->at(byte) & mask)) return false;
    }
    return true;
}

bool is_loopback(const std::string& name, const std::optional<Address>& address) {
    if (name == "localhost") return true;
    return address && (in_network(*address, "127.0.0.0/8") || in_network(*address, "::1/128"));
}

/// One entry of NO_PROXY. Source: Go net/http/httpproxy, config.init.
bool is_excepted(std::string entry, const std::string& name, std::uint16_t port,
                 const std::optional<Address>& address) {
    entry = base::to_lower(base::trim(entry));
    if (entry.empty()) return false;
    if (entry == "*") return true;
    if (entry.find('/') != std::string::npos) return address && in_network(*address, entry);
    const std::size_t colon = entry.rfind(':');
    const bool several = entry.find(':') != colon;
    if (colon != std::string::npos && (!several || entry.starts_with('['))) {
        if (base::parse_int(entry.substr(colon + 1)) != port) return false;
        entry = entry.substr(0, colon);
    }
    if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
    if (const auto single = parse_address(entry)) return address && *address == *single;
    if (entry.starts_with("*.")) entry = entry.substr(1);
    // ".example.com" is for hosts below it alone, "example.com" also for itself.
    if (entry.starts_with('.')) return name.ends_with(entry);
    return name == entry || name.ends_with("." + entry);
}

}  // namespace

std::optional<Url> proxy_for(const Url& url, const ProxyOptions& options) {
    const std::string& proxy = url.scheme == "https" ? options.https_proxy : options.http_proxy;
    if (proxy.empty()) return std::nullopt;
    const std::string name = base::to_lower(url.host_name());
    const auto address = parse_address(name);
    if (is_loopback(name, address)) return std::nullopt;
    for (const std::string& entry : base::split(options.no_proxy, ',')) {
        if (is_excepted(entry, name, url.port(), address)) return std::nullopt;
    }
    try {
        const bool absolute = proxy.starts_with("http://") || proxy.starts_with("https://");
        return Url::parse(absolute ? proxy : "http://" + proxy);
    } catch (const base::Error& error) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("invalid proxy address {}: {}", base::quote(proxy), error.what()));
    }
}

}  // namespace dockerd::http

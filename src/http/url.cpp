#include <dockerd/http/url.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/query.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::http {
namespace {

[[noreturn]] void bad(std::string_view text, std::string_view why) {
    base::fail(base::ErrorKind::invalid_argument,
               fmt::format("parse {}: {}", base::quote(text), why));
}

bool is_scheme_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '+' || c == '-' || c == '.';
}

/// The length of "scheme:" at the start, or 0.
std::size_t scheme_length(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) return 0;
    return std::ranges::all_of(text.substr(0, colon), is_scheme_char) ? colon + 1 : 0;
}

/// What stands behind the host's name, without the colon; nullopt where there is none.
std::string_view port_text(std::string_view host) {
    const std::size_t bracket = host.rfind(']');
    const std::size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
    return colon == std::string_view::npos ? std::string_view() : host.substr(colon + 1);
}

void check_host(std::string_view whole, std::string_view host) {
    const bool odd = std::ranges::any_of(host, [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '"' || c == '<' ||
               c == '>' || c == '\\' || c == '^' || c == '`';
    });
    if (odd) bad(whole, "invalid character in host name");
    if (host.starts_with('[') && host.find(']') == std::string_view::npos) {
        bad(whole, "missing ']' in host");
    }
    const std::string_view port = port_text(host);
    if (port.empty()) return;
    const auto number = base::parse_int(port);
    if (!number || *number < 0 || *number > 65535 || port[0] == '-' || port[0] == '+') {
        bad(whole, fmt::format("invalid port {} after host", base::quote(fmt::format(":{}", port))));
    }
}

/// Source: RFC 3986, 5.2.4.
std::string without_dots(std::string_view path) {
    std::vector<std::string> out;
    const std::vector<std::string> parts = base::split(path, '/');
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool last = i + 1 == parts.size();
        if (parts[i] == "..") {
            if (out.size() > 1) out.pop_back();
            if (last) out.emplace_back();
        } else if (parts[i] == ".") {
            if (last) out.emplace_back();
        } else {
            out.push_back(parts[i]);
        }
    }
    const std::string text = base::join(out, "/");
    return text.starts_with('/') ? text : "/" + text;
}

}  // namespace

Url Url::parse(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
            bad(text, "net/url: invalid control character in URL");
        }
    }
    const std::size_t length = scheme_length(text);
    if (length == 0) bad(text, "missing protocol scheme");
    Url url;
    url.scheme = base::to_lower(text.substr(0, length - 1));
    std::string_view rest = text.substr(length);
    rest = rest.substr(0, rest.find('#'));
    if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
        url.query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    if (!rest.starts_with("//")) {
        url.path = rest;
        return url;
    }
    rest.remove_prefix(2);
    const std::size_t slash = rest.find('/');
    std::string_view authority = rest.substr(0, slash);
    if (slash != std::string_view::npos) url.path = rest.substr(slash);
    if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
        url.user_info = authority.substr(0, at);
        authority.remove_prefix(at + 1);
    }
    check_host(text, authority);
    url.host = authority;
    return url;
}

std::string Url::host_name() const {
    const std::string_view port = port_text(host);
    std::string_view name(host);
    if (name.ends_with(':')) name.remove_suffix(1);
    if (!port.empty()) name.remove_suffix(port.size() + 1);
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    return std::string(name);
}

std::uint16_t Url::port() const {
    const auto number = base::parse_int(port_text(host));
    if (number) return static_cast<std::uint16_t>(*number);
    return scheme == "https" ? 443 : 80;
}

std::string Url::target() const {
    const std::string_view shown = path.empty() ? std::string_view("/") : std::string_view(path);
    return query.empty() ? std::string(shown) : fmt::format("{}?{}", shown, query);
}

std::string Url::text() const {
    std::string out = scheme + ":";
    if (!host.empty() || scheme == "http" || scheme == "https") out += "//";
    if (!user_info.empty()) {
        // Source: Go net/http client.go, stripPassword.
        const std::size_t colon = user_info.find(':');
        out += user_info.substr(0, colon);
        if (colon != std::string::npos) out += ":***";
        out += "@";
    }
    out += host + path;
    if (!query.empty()) out += "?" + query;
    return out;
}

Url Url::resolve(std::string_view reference) const {
    if (scheme_length(reference) > 0) return parse(reference);
    if (reference.starts_with("//")) return parse(fmt::format("{}:{}", scheme, reference));
    Url out = *this;
    reference = reference.substr(0, reference.find('#'));
    const std::size_t mark = reference.find('?');
    const std::string_view new_path = reference.substr(0, mark);
    const bool has_query = mark != std::string_view::npos;
    if (has_query || !new_path.empty()) {
        out.query = has_query ? reference.substr(mark + 1) : std::string_view();
    }
    if (new_path.starts_with('/')) {
        out.path = without_dots(new_path);
    } else if (!new_path.empty()) {
        const std::size_t slash = path.rfind('/');
        const std::string folder = slash == std::string::npos ? "/" : path.substr(0, slash + 1);
        out.path = without_dots(folder + std::string(new_path));
    }
    // Of what a server sends, nothing may break out of the request line.
    return parse(fmt::format("{}://{}{}{}{}", out.scheme, out.host, out.path,
                             out.query.empty() ? "" : "?", out.query));
}

bool Url::same_origin(const Url& other) const {
    return scheme == other.scheme && port() == other.port() &&
           base::iequals(host_name(), other.host_name());
}

std::string query_escape(std::string_view text) {
    std::string out;
    base::append_query_escaped(out, text);
    return out;
}

}  // namespace dockerd::http

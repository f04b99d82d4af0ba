#include "url.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::git {
namespace {

[[noreturn]] void wrong(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int letter = (c | 0x20) - 'a';
    return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

std::string unescape(std::string_view text) {
    std::string out;
    for (; !text.empty(); text.remove_prefix(1)) {
        if (text.front() != '%') {
            out += text.front();
            continue;
        }
        if (text.size() < 3 || digit(text[1]) < 0 || digit(text[2]) < 0) {
            wrong("invalid URL escape " + base::quote(text.substr(0, 3)));
        }
        out += static_cast<char>(digit(text[1]) * 16 + digit(text[2]));
        text.remove_prefix(2);
    }
    return out;
}

bool is_plain(char c, std::string_view others) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || others.find(c) != others.npos;
}

/// A path is left as it is written, unless something in it must not be written so.
std::string written_path(std::string_view raw, const std::string& path) {
    if (std::ranges::all_of(raw, [](char c) { return is_plain(c, "!$&'()*+,;=:@[]%-_.~/"); })) {
        return std::string(raw);
    }
    std::string out;
    for (const char c : path) {
        if (is_plain(c, "$&+,/:;=@-_.~")) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

void check_host(std::string_view host) {
    for (const char c : host) {
        if (c == ' ' || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' || c == '`' ||
            c == '{' || c == '|' || c == '}') {
            wrong(fmt::format("invalid character {} in host name", base::quote(std::string(1, c))));
        }
    }
    const auto colon = host.rfind(':');
    if (colon == std::string_view::npos || host.ends_with(']')) return;
    const std::string_view port = host.substr(colon);
    if (!std::ranges::all_of(port.substr(1), [](char c) { return c >= '0' && c <= '9'; })) {
        wrong(fmt::format("invalid port {} after host", base::quote(port)));
    }
}

std::string take_scheme(std::string_view& text) {
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (std::isalpha(static_cast<unsigned char>(c)) != 0) continue;
        if (c == ':' && at == 0) wrong("missing protocol scheme");
        if (c == ':') {
            std::string out = base::to_lower(text.substr(0, at));
            text.remove_prefix(at + 1);
            return out;
        }
        if (at == 0 || !is_plain(c, "+-.")) return {};
    }
    return {};
}

Url parse(std::string_view text) {
    if (std::ranges::any_of(text, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; })) {
        wrong("net/url: invalid control character in URL");
    }
    Url out;
    const auto hash = text.find('#');
    if (hash != std::string_view::npos) out.fragment = unescape(text.substr(hash + 1));
    text = text.substr(0, hash);
    out.scheme = take_scheme(text);
    if (!out.scheme.empty()) out.without_fragment = out.scheme + ":";
    const auto mark = text.find('?');
    const std::string_view query = mark == std::string_view::npos ? "" : text.substr(mark);
    text = text.substr(0, mark);
    if (text.starts_with("//")) {
        const std::string_view authority = text.substr(0, text.find('/', 2));
        const auto at = authority.rfind('@');
        check_host(authority.substr(at == std::string_view::npos ? 2 : at + 1));
        out.without_fragment += authority;
        text.remove_prefix(authority.size());
    }
    out.path = unescape(text);
    out.without_fragment += written_path(text, out.path);
    out.without_fragment += query;
    return out;
}

}  // namespace

Url parse_url(const std::string& text) {
    return base::in_context("parse " + base::quote(text), [&] { return parse(text); });
}

}  // namespace dockerd::git

#include <dockerd/git/source.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "url.hpp"

namespace dockerd::git {
namespace {

constexpr auto transports = std::to_array<std::string_view>({"git", "http", "https", "ssh"});

bool is_transport(std::string_view scheme) { return std::ranges::count(transports, scheme) > 0; }

bool is_web(std::string_view url) {
    return url.starts_with("http://") || url.starts_with("https://");
}

Source with_fragment(std::string remote, std::string_view fragment) {
    const auto colon = fragment.find(':');
    Source out{.remote = std::move(remote),
               .ref = std::string(fragment.substr(0, colon)),
               .directory = {}};
    if (colon != std::string_view::npos) out.directory = fragment.substr(colon + 1);
    // It would be an option.
    if (out.ref.starts_with('-')) {
        base::fail(base::ErrorKind::internal, "invalid refspec: " + out.ref);
    }
    return out;
}

std::string scheme_of(const std::string& text) {
    try {
        return parse_url(text).scheme;
    } catch (const base::Error&) {
        return {};
    }
}

bool all_of(std::string_view text, std::string_view others) {
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || others.find(c) != others.npos;
    });
}

/// "user@host:path", of ssh. Source: buildkit util/sshutil/scpurl.go.
std::optional<Source> parse_scp(const std::string& text) {
    const auto at = text.find('@');
    if (at == std::string::npos) return std::nullopt;
    const auto colon = text.find(':', at);
    const std::string_view all(text);
    if (colon == std::string::npos || text.find('\n') != std::string::npos) return std::nullopt;
    if (!all_of(all.substr(0, at), "-_") || !all_of(all.substr(at + 1, colon - at - 1), "-.")) {
        return std::nullopt;
    }
    const auto hash = text.find('#', colon);
    return with_fragment(text.substr(0, hash),
                         hash == std::string::npos ? std::string_view() : all.substr(hash + 1));
}

}  // namespace

bool is_context(std::string_view remote) {
    if (is_web(remote)) {
        if (remote.ends_with(".git")) return true;
        const auto hash = remote.find(".git#");
        return hash != std::string_view::npos && hash + 5 < remote.size() &&
               remote.find('\n', hash) == std::string_view::npos;
    }
    return remote.starts_with("git://") || remote.starts_with("github.com/") ||
           remote.starts_with("git@");
}

Source parse_context(const std::string& remote) {
    const auto named = [](Source source) {
        if (source.ref.empty()) source.ref = "master";
        return source;
    };
    if (remote.starts_with("git@")) {
        const auto hash = remote.find('#');
        return named(
            with_fragment(remote.substr(0, hash), hash == std::string::npos
                                                      ? std::string_view()
                                                      : std::string_view(remote).substr(hash + 1)));
    }
    const Url url = parse_url(is_transport(scheme_of(remote)) ? remote : "https://" + remote);
    return named(with_fragment(url.without_fragment, url.fragment));
}

std::optional<Source> parse_added(const std::string& source) {
    if (source.starts_with("./") || source.starts_with("../")) return std::nullopt;
    const auto end = source.find("://");
    if (end == std::string::npos || !all_of(std::string_view(source).substr(0, end), "")) {
        return parse_scp(source);
    }
    const std::string scheme = base::to_lower(source.substr(0, end));
    if (!is_transport(scheme)) return std::nullopt;
    Url url;
    try {
        url = parse_url(source);
    } catch (const base::Error&) {
        return std::nullopt;  // told as what it then is
    }
    if ((scheme == "http" || scheme == "https") && !url.path.ends_with(".git")) return std::nullopt;
    return with_fragment(url.without_fragment, url.fragment);
}

bool needs_ssh(std::string_view remote) {
    return remote.starts_with("ssh:") || remote.find("://") == std::string_view::npos;
}

std::string redacted(const std::string& remote) {
    const auto start = remote.find("://");
    if (start == std::string::npos) return remote;
    const auto host = start + 3;
    const auto at = remote.substr(0, remote.find('/', host)).rfind('@');
    if (at == std::string::npos || at < host) return remote;
    const bool has_password = remote.substr(host, at - host).find(':') != std::string::npos;
    return remote.substr(0, host) + (has_password ? "xxxxx:xxxxx" : "xxxxx") + remote.substr(at);
}

bool is_commit(std::string_view text) {
    return text.size() == 40 && std::ranges::all_of(text, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

}  // namespace dockerd::git

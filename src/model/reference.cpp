#include <dockerd/model/reference.hpp>

#include <algorithm>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::model {
namespace {

constexpr std::string_view default_domain = "docker.io";
constexpr std::string_view legacy_domain = "index.docker.io";
constexpr std::string_view official_prefix = "library/";
constexpr std::size_t max_path = 255;
constexpr std::size_t max_tag = 128;

[[noreturn]] void bad(const std::string& text) {
    base::fail(base::ErrorKind::invalid_argument, text);
}
[[noreturn]] void bad_format() { bad("invalid reference format"); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_alnum(char c) { return is_digit(c) || is_lower(c) || is_upper(c); }
bool is_lower_alnum(char c) { return is_digit(c) || is_lower(c); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// [a-z0-9]+ joined by ".", "_", "__" or any number of "-".
bool is_path_component(std::string_view text) {
    std::size_t at = 0;
    const auto word = [&] {
        const std::size_t start = at;
        while (at < text.size() && is_lower_alnum(text[at])) ++at;
        return at > start;
    };
    if (!word()) return false;
    while (at < text.size()) {
        if (text[at] == '.') {
            ++at;
        } else if (text[at] == '_') {
            ++at;
            if (at < text.size() && text[at] == '_') ++at;
        } else if (text[at] == '-') {
            while (at < text.size() && text[at] == '-') ++at;
        } else {
            return false;
        }
        if (!word()) return false;
    }
    return true;
}

bool is_path(std::string_view text) {
    return std::ranges::all_of(base::split(text, '/'),
                               [](const std::string& part) { return is_path_component(part); });
}

bool is_domain_component(std::string_view text) {
    return !text.empty() && is_alnum(text.front()) && is_alnum(text.back()) &&
           std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_ipv6(std::string_view text) {
    return text.size() > 2 && text.front() == '[' && text.back() == ']' &&
           std::ranges::all_of(text.substr(1, text.size() - 2),
                               [](char c) { return is_hex(c) || c == ':'; });
}

bool is_domain(std::string_view text) {
    const std::size_t bracket = text.rfind(']');
    const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
    if (colon != std::string_view::npos) {
        const std::string_view port = text.substr(colon + 1);
        if (port.empty() || !std::ranges::all_of(port, is_digit)) return false;
        text = text.substr(0, colon);
    }
    if (is_ipv6(text)) return true;
    return std::ranges::all_of(base::split(text, '.'),
                               [](const std::string& part) { return is_domain_component(part); });
}

bool is_tag(std::string_view text) {
    const auto word = [](char c) { return is_alnum(c) || c == '_'; };
    return !text.empty() && text.size() <= max_tag && word(text[0]) &&
           std::ranges::all_of(text, [&](char c) { return word(c) || c == '.' || c == '-'; });
}

/// Letters and digits, words joined by one of "-_+.", then ":" and 32 or more hex digits.
bool is_digest_text(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view hex = text.substr(colon + 1);
    if (hex.size() < 32 || !std::ranges::all_of(hex, is_hex)) return false;
    bool at_start = true;
    for (const char c : text.substr(0, colon)) {
        if (at_start
                ? !(is_lower(c) || is_upper(c))
                : !(is_alnum(c) || std::string_view("-_+.").find(c) != std::string_view::npos)) {
            return false;
        }
        at_start = !at_start && !is_alnum(c);
    }
    return colon > 0 && !at_start;
}

struct Split {
    std::string domain;
    std::string rest;
};

/// Source: distribution/reference normalize.go, splitDockerDomain.
Split split_domain(std::string_view text) {
    Split out;
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return {std::string(default_domain), fmt::format("{}{}", official_prefix, text)};
    }
    const std::string first(text.substr(0, slash));
    const std::string remote(text.substr(slash + 1));
    if (first == legacy_domain) {
        out = {std::string(default_domain), remote};
    } else if (first == "localhost" || first.find_first_of(".:") != std::string::npos ||
               base::to_lower(first) != first) {
        out = {first, remote};
    } else {
        out = {std::string(default_domain), std::string(text)};
    }
    if (out.domain == default_domain && out.rest.find('/') == std::string::npos) {
        out.rest = std::string(official_prefix) + out.rest;
    }
    return out;
}

struct Parts {
    std::string path;
    std::string tag;
    std::string digest;
};

/// The grammar of what follows the domain; nullopt when it does not fit.
std::optional<Parts> parse_rest(std::string_view text) {
    Parts out;
    if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
        out.digest = text.substr(at + 1);
        if (!is_digest_text(out.digest)) return std::nullopt;
        text = text.substr(0, at);
    }
    if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
        out.tag = text.substr(colon + 1);
        if (!is_tag(out.tag)) return std::nullopt;
        text = text.substr(0, colon);
    }
    out.path = text;
    if (!is_path(out.path)) return std::nullopt;
    return out;
}

}  // namespace

void check_digest(std::string_view digest) {
    const std::size_t colon = digest.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == digest.size()) {
        bad("invalid checksum digest format");
    }
    const std::string_view algorithm = digest.substr(0, colon);
    const std::string_view hex = digest.substr(colon + 1);
    std::size_t length = 0;
    if (algorithm == "sha256") length = 64;
    if (algorithm == "sha384") length = 96;
    if (algorithm == "sha512") length = 128;
    if (length == 0) {
        const bool plausible = std::ranges::all_of(algorithm, [](char c) {
            return is_lower_alnum(c) || std::string_view(".+_-").find(c) != std::string_view::npos;
        });
        bad(plausible ? "unsupported digest algorithm" : "invalid checksum digest format");
    }
    if (hex.size() != length) bad("invalid checksum digest length");
    if (!std::ranges::all_of(hex, [](char c) { return is_hex(c) && !is_upper(c); })) {
        bad("invalid checksum digest format");
    }
}

bool is_sha256_digest(std::string_view text) {
    return text.starts_with("sha256:") && base::is_full_id(text.substr(7));
}

std::string hex_of(std::string_view digest) {
    return std::string(digest.substr(digest.find(':') + 1));
}

Reference Reference::parse(std::string_view text) {
    if (base::is_full_id(text)) {
        bad(fmt::format("invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                        text));
    }
    const Split split = split_domain(text);
    const std::string remote = split.rest.substr(0, split.rest.find(':'));
    if (base::to_lower(remote) != remote) {
        bad(fmt::format("invalid reference format: repository name ({}) must be lowercase",
                        remote));
    }
    std::optional<Parts> parts = parse_rest(split.rest);
    if (!parts) bad_format();
    std::string domain = split.domain;
    if (!is_domain(domain)) {
        // "a_b.c/x": no domain, but a path. Source: distribution/reference reference.go, Parse.
        if (!is_path(base::to_lower(domain))) bad_format();
        if (!is_path(domain)) bad("repository name must be lowercase");
        parts->path = fmt::format("{}/{}", domain, parts->path);
        domain.clear();
    }
    if (parts->path.size() > max_path) {
        bad(fmt::format("repository name must not be more than {} characters", max_path));
    }
    if (!parts->digest.empty()) check_digest(parts->digest);
    Reference out;
    out.domain_ = std::move(domain);
    out.path_ = parts->path;
    out.tag_ = parts->tag;
    out.digest_ = parts->digest;
    return out;
}

std::optional<Reference> Reference::try_parse(std::string_view text) {
    try {
        return parse(text);
    } catch (const base::Error&) {
        return std::nullopt;
    }
}

std::string Reference::name() const { return domain_.empty() ? path_ : domain_ + "/" + path_; }

std::string Reference::familiar_name() const {
    if (domain_ != default_domain) return name();
    const std::string_view path(path_);
    if (path.starts_with(official_prefix)) {
        const std::string_view rest = path.substr(official_prefix.size());
        if (rest.find('/') == std::string_view::npos) return std::string(rest);
    }
    return path_;
}

std::string Reference::familiar() const {
    std::string out = familiar_name();
    if (!tag_.empty()) out += ":" + tag_;
    if (!digest_.empty()) out += "@" + digest_;
    return out;
}

std::string Reference::full() const {
    std::string out = name();
    if (!tag_.empty()) out += ":" + tag_;
    if (!digest_.empty()) out += "@" + digest_;
    return out;
}

Reference Reference::with_default_tag() const {
    Reference out = *this;
    if (out.is_name_only()) out.tag_ = "latest";
    return out;
}

Reference Reference::with_tag(std::string_view tag) const {
    if (!is_tag(tag)) bad("invalid tag format");
    Reference out = *this;
    out.tag_ = tag;
    return out;
}

Reference Reference::with_digest(std::string_view digest) const {
    if (!is_digest_text(digest)) bad("invalid digest format");
    Reference out = name_only();
    out.digest_ = digest;
    return out;
}

Reference Reference::name_only() const {
    Reference out = *this;
    out.tag_.clear();
    out.digest_.clear();
    return out;
}

AnyReference AnyReference::parse(std::string_view text) {
    if (base::is_full_id(text)) return {"sha256:" + std::string(text), std::nullopt};
    try {
        check_digest(text);
        return {std::string(text), std::nullopt};
    } catch (const base::Error&) {
        return {{}, Reference::parse(text)};
    }
}

}  // namespace dockerd::model

#include "challenge.hpp"

#include <dockerd/base/strings.hpp>

namespace dockerd::registry {
namespace {

bool is_token_char(char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("\"(),/:;<=>?@[]\\{}").find(c) == std::string_view::npos;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void skip_space(std::string_view& text) {
    while (!text.empty() && is_space(text[0])) text.remove_prefix(1);
}

std::string take_token(std::string_view& text) {
    std::size_t n = 0;
    while (n < text.size() && is_token_char(text[n])) ++n;
    std::string out(text.substr(0, n));
    text.remove_prefix(n);
    return out;
}

std::string take_value(std::string_view& text) {
    if (!text.starts_with('"')) return take_token(text);
    std::string out;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') {
            text.remove_prefix(i + 1);
            return out;
        }
        if (text[i] == '\\' && i + 1 < text.size()) ++i;
        out += text[i];
    }
    text = {};
    return {};  // without its end it is no value
}

}  // namespace

Challenge parse_challenge(std::string_view header) {
    Challenge out;
    out.scheme = base::to_lower(take_token(header));
    if (out.scheme.empty()) return out;
    skip_space(header);
    for (bool more = true; more;) {
        skip_space(header);
        const std::string name = base::to_lower(take_token(header));
        if (name.empty() || !header.starts_with('=')) break;
        header.remove_prefix(1);
        std::string value = take_value(header);
        if (value.empty()) break;
        out.params[name] = std::move(value);
        skip_space(header);
        more = header.starts_with(',');
        if (more) header.remove_prefix(1);
    }
    return out;
}

std::vector<Challenge> challenges_of(const http::ClientResponse& response) {
    std::vector<Challenge> out;
    if (response.status() != 401) return out;
    for (const auto& [name, value] : response.headers().all()) {
        if (!base::iequals(name, "WWW-Authenticate")) continue;
        Challenge challenge = parse_challenge(value);
        if (!challenge.scheme.empty()) out.push_back(std::move(challenge));
    }
    return out;
}

}  // namespace dockerd::registry

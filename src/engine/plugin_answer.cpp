#include "plugin_answer.hpp"

#include <sstream>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine::plugin_answer {
namespace {

/// So much of a plugin's text goes into a message, and with that into a container's state.
constexpr std::size_t told_limit = 4096;

/// Deeper values are no answers, and would be written out again by recursion.
bool is_deep(std::string_view body) {
    constexpr int most = 128;
    int depth = 0;
    bool quoted = false;
    for (std::size_t at = 0; at < body.size(); ++at) {
        const char c = body[at];
        if (quoted && c == '\\') ++at;  // what follows is part of the text
        if (c == '"') quoted = !quoted;
        if (quoted) continue;
        if (c == '[' || c == '{') ++depth;
        if (c == ']' || c == '}') --depth;
        if (depth > most) return true;
    }
    return false;
}

}  // namespace

Json first_value(const std::string& body) {
    std::istringstream in(body);
    Json json;
    try {
        if (!is_deep(body)) in >> json;
    } catch (const Json::exception&) {
        json = Json::value_t::discarded;
    }
    if (!json.is_discarded() && !is_deep(body)) return json;
    const bool nothing = base::trim(body).empty();
    base::fail(base::ErrorKind::internal,
               nothing ? "EOF"
                       : "invalid answer of the plugin: " +
                             base::quote(body.substr(0, told_limit)));
}

const Json* field(const Json& object, std::string_view name) {
    if (!object.is_object()) return nullptr;
    for (const auto& [key, value] : object.items()) {
        if (base::iequals(key, name)) return &value;
    }
    return nullptr;
}

std::string text(const Json& object, std::string_view name) {
    const auto* const found = field(object, name);
    return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

Json ask_remote(const plugins::Plugin& plugin, const std::string& method, const Json& request,
                std::string_view error) {
    // Docker sets none; a plugin that never answers would hold the container for ever.
    constexpr std::chrono::minutes timeout{1};
    const std::string body =
        request.is_null() ? std::string()
                          : request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    Json answer = first_value(plugin.call(method, body, timeout));
    if (const auto told = told_error(answer, error); !told.empty()) {
        base::fail(base::ErrorKind::internal, "remote: " + told);
    }
    return answer;
}

std::string told_error(const Json& answer, std::string_view name) {
    return text(answer, name).substr(0, told_limit);
}

}  // namespace dockerd::engine::plugin_answer

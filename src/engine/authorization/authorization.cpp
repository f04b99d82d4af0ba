#include "authorization/authorization.hpp"

#include <chrono>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/json.hpp>

#include "plugin_answer.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;

constexpr const char* kind = "authz";
/// A plugin may ask a human; Docker waits for ever.
constexpr std::chrono::minutes timeout{5};

// Go leaves empty fields out. Source: moby pkg/authorization/api.go, Request.
std::string question(const AuthorizationCase& asked) {
    base::Json json = base::Json::object();
    const auto put = [&](const char* name, const std::string& value) {
        if (!value.empty()) json[name] = value;
    };
    const auto put_map = [&](const char* name, const std::map<std::string, std::string>& values) {
        if (!values.empty()) json[name] = values;
    };
    put("User", asked.user);
    put("UserAuthNMethod", asked.user_method);
    put("RequestMethod", asked.method);
    put("RequestUri", asked.uri);
    put("RequestBody", base::base64_encode(asked.request_body));
    put_map("RequestHeaders", asked.request_headers);
    for (const std::string& certificate : asked.certificates) {
        json["RequestPeerCertificates"].push_back(base::base64_encode(certificate));
    }
    if (asked.status != 0) json["ResponseStatusCode"] = asked.status;
    put("ResponseBody", base::base64_encode(asked.response_body));
    put_map("ResponseHeaders", asked.response_headers);
    return model::to_html_safe_text(json) + "\n";
}

void ask(const plugins::Plugin& plugin, const std::string& method, const std::string& text) {
    plugin_answer::Json answer;
    try {
        answer = plugin_answer::first_value(plugin.call(method, text, timeout));
    } catch (const base::Error& error) {
        throw NotAuthorized(ErrorKind::internal, fmt::format("plugin {} failed with error: {}",
                                                             plugin.name(), error.what()));
    }
    const auto* const allow = plugin_answer::field(answer, "Allow");
    if (allow != nullptr && allow->is_boolean() && allow->get<bool>()) return;
    throw NotAuthorized(ErrorKind::permission_denied,
                        fmt::format("authorization denied by plugin {}: {}", plugin.name(),
                                    plugin_answer::told_error(answer, "Msg")));
}

}  // namespace

void AuthorizationPlugins::set(const std::vector<std::string>& names) {
    auto next = std::make_shared<Chain>();
    std::set<std::string> seen;
    for (const std::string& name : names) {
        if (seen.insert(name).second) next->push_back(registry_.get(name, kind));
    }
    const base::Lock lock(mutex_);
    chain_ = std::move(next);
}

std::shared_ptr<const AuthorizationPlugins::Chain> AuthorizationPlugins::chain() const {
    const base::Lock lock(mutex_);
    return chain_;
}

void AuthorizationPlugins::ask_all(const AuthorizationCase& asked, std::string_view what,
                                   const std::string& method) const {
    const std::string text = question(asked);
    const auto plugins = chain();
    for (const auto& plugin : *plugins) {
        base::log::debug("AuthZ {} using plugin {}", what, plugin->name());
        ask(*plugin, method, text);
    }
}

void AuthorizationPlugins::check_request(const AuthorizationCase& asked) {
    ask_all(asked, "request", "AuthZPlugin.AuthZReq");
}

void AuthorizationPlugins::check_response(const AuthorizationCase& asked) {
    ask_all(asked, "response", "AuthZPlugin.AuthZRes");
}

}  // namespace dockerd::engine

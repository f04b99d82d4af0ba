#include <algorithm>
#include <future>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::plugins {

using base::ErrorKind;
using Clock = std::chrono::steady_clock;

namespace {

/// Docker sets none for the activation; a plugin that takes the question and never answers would
/// block all that ask for it.
constexpr std::chrono::seconds activation_timeout{60};
constexpr std::chrono::seconds brief_activation_timeout{10};

/// What a plugin says went wrong. Source: moby pkg/plugins/client.go, callWithRetry.
std::string told_error(const std::string& body) {
    const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) {
        for (const auto& [key, value] : json.items()) {
            if (base::iequals(key, "Err") && value.is_string() && !value.empty()) {
                const auto text = value.get<std::string>();
                if (!text.empty()) return text.substr(0, 4096);
            }
        }
    }
    constexpr std::size_t most = 4096;
    return body.substr(0, most);
}

}  // namespace

// Source: moby pkg/plugins/client.go, backoff and abort.
bool Patience::pause(Clock::time_point begin, unsigned attempts) {
    auto length = options_.first_pause;
    for (unsigned i = 0; i < attempts && length < options_.patience; ++i) length *= 2;
    length = std::min(length, options_.patience);
    if (Clock::now() - begin + length >= options_.patience) return false;
    base::Lock lock(mutex_);
    const auto until = Clock::now() + length;
    while (!stopped_) {
        if (stopped_changed_.wait_until(lock, until) == std::cv_status::timeout) return true;
    }
    return false;
}

void Patience::stop() {
    const base::Lock lock(mutex_);
    stopped_ = true;
    stopped_changed_.notify_all();
    hurry_.begin();
}

bool Plugin::implements(std::string_view kind) const {
    return std::ranges::find(implements_, kind) != implements_.end();
}

std::string Plugin::call(const std::string& method, const std::string& json,
                         std::chrono::milliseconds timeout, Effort effort) const {
    const auto begin = Clock::now();
    bool asked = false;
    for (unsigned attempt = 0;; ++attempt) {
        try {
            if (hung_) throw Unreachable("context deadline exceeded", asked);
            auto answer = post(endpoint_, "/" + method, json, timeout, &patience_->hurry());
            if (answer.status == 200) return std::move(answer.body);
            throw Refused(method + ": " + told_error(answer.body), answer.status);
        } catch (const Unreachable& error) {
            asked = asked || error.asked();
            if (patience_->hurry().begun()) hung_ = true;
            if (effort == Effort::brief || !patience_->pause(begin, attempt)) {
                throw Unreachable(fmt::format("Post \"{}://{}/{}\": {}",
                                              endpoint_.tls ? "https" : "http", url_host(endpoint_),
                                              method, error.what()),
                                  asked);
            }
            base::log::warn("Unable to connect to plugin: {}/{}: {}, retrying",
                            url_host(endpoint_), method, error.what());
        }
    }
}

void Plugin::activate(Effort effort) {
    const auto timeout =
        effort == Effort::brief ? brief_activation_timeout : activation_timeout;
    const std::string text = call("Plugin.Activate", "", timeout, effort);
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) {
        base::fail(ErrorKind::internal, "invalid answer to Plugin.Activate: " + base::quote(text));
    }
    if (!json.is_object()) return;
    for (const auto& [key, value] : json.items()) {
        if (!base::iequals(key, "Implements") || !value.is_array()) continue;
        for (const auto& kind : value) {
            if (kind.is_string()) implements_.push_back(kind.get<std::string>());
        }
    }
}

/// One plugin's way from its file to its answer; everybody who asks for it waits for the same.
struct Registry::Activation {
    std::shared_future<PluginPtr> plugin;
};

Registry::Registry(Options options)
    : options_(std::move(options)), patience_(std::make_shared<Patience>(options_)) {}
Registry::~Registry() { stop(); }

void Registry::stop() { patience_->stop(); }

PluginPtr Registry::activated(const std::string& name, const Endpoint& endpoint,
                              Effort effort) {
    std::promise<PluginPtr> promise;
    std::shared_ptr<Activation> mine;
    std::shared_ptr<Activation> found;
    {
        const base::Lock lock(mutex_);
        auto& place = known_[name];
        if (!place) {
            mine = std::make_shared<Activation>();
            mine->plugin = promise.get_future().share();
            place = mine;
        }
        found = place;
    }
    if (!mine) return found->plugin.get();
    try {
        auto plugin = std::make_shared<Plugin>(name, endpoint, patience_);
        plugin->activate(effort);
        promise.set_value(plugin);
        return plugin;
    } catch (...) {
        {
            const base::Lock lock(mutex_);
            if (const auto at = known_.find(name); at != known_.end() && at->second == mine) {
                known_.erase(at);
            }
        }
        promise.set_exception(std::current_exception());
        throw;
    }
}

PluginPtr Registry::get(const std::string& name, std::string_view kind, Effort effort) {
    std::shared_ptr<Activation> known;
    {
        const base::Lock lock(mutex_);
        if (const auto at = known_.find(name); at != known_.end()) known = at->second;
    }
    PluginPtr plugin;
    const auto begin = Clock::now();
    for (unsigned attempt = 0; !plugin; ++attempt) {
        try {
            if (known) {
                plugin = known->plugin.get();
                break;
            }
            if (const auto endpoint = find_endpoint(options_, name)) {
                plugin = activated(name, *endpoint, effort);
                break;
            }
        } catch (const base::Error& error) {
            throw error.with_context("legacy plugin");
        }
        if (effort == Effort::brief || !patience_->pause(begin, attempt)) {
            base::fail(ErrorKind::not_found, "plugin " + base::quote(name) + " not found");
        }
        base::log::warn("Unable to locate plugin: {}, retrying", name);
    }
    if (plugin->implements(kind)) return plugin;
    base::fail(ErrorKind::internal,
               fmt::format("legacy plugin: Plugin does not implement the requested driver: "
                           "plugin={}, requested implementation={}",
                           base::quote(name), base::quote(kind)));
}

std::vector<PluginPtr> Registry::all(std::string_view kind) {
    std::vector<std::future<PluginPtr>> asked;
    for (const auto& name : scan(options_)) {
        asked.push_back(std::async(std::launch::async, [this, name]() -> PluginPtr {
            const auto endpoint = find_endpoint(options_, name);
            return endpoint ? activated(name, *endpoint, Effort::brief) : nullptr;
        }));
    }
    std::vector<PluginPtr> out;
    for (auto& answer : asked) {
        try {
            auto plugin = answer.get();
            if (plugin && plugin->implements(kind)) out.push_back(std::move(plugin));
        } catch (const base::Error& error) {
            base::log::error("{}", error.what());
        }
    }
    return out;
}

}  // namespace dockerd::plugins

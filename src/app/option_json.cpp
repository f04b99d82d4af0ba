#include "option_json.hpp"

#include <nlohmann/json.hpp>
#include <variant>

#include <dockerd/base/json.hpp>

#include "engine/system/host.hpp"

namespace dockerd::app {
namespace {

using base::Json;

/// The JSON of an option's value; null for one that is empty.
struct ToJson {
    const Config& config;

    Json operator()(bool Config::*field) const { return value_or_null(config.*field); }
    Json operator()(std::optional<bool> Config::*field) const {
        return config.*field ? Json(*(config.*field)) : Json();
    }
    Json operator()(std::int64_t Config::*field) const { return value_or_null(config.*field); }
    Json operator()(Bytes Config::*field) const { return (config.*field).value; }
    Json operator()(std::string Config::*field) const { return list_or_null(config.*field); }
    Json operator()(std::vector<std::string> Config::*field) const {
        return list_or_null(config.*field);
    }
    template <typename Value>
    Json operator()(std::map<std::string, Value> Config::*field) const {
        Json out;
        for (const auto& [key, value] : config.*field) out[key] = item(value);
        return out;
    }
    Json operator()(std::vector<AddressPool> Config::*field) const {
        Json out;
        for (const AddressPool& pool : config.*field) {
            out.push_back({{"base", pool.base}, {"size", pool.size}});
        }
        return out;
    }

    template <typename Value>
    static Json value_or_null(const Value& value) {
        return value == Value() ? Json() : Json(value);
    }
    template <typename Value>
    static Json list_or_null(const Value& value) {
        return value.empty() ? Json() : Json(value);
    }
    template <typename Value>
    static Json item(const Value& value) {
        return value;
    }
    static Json item(const Ulimit& limit) {
        return {{"Soft", limit.soft}, {"Hard", limit.hard}};
    }
    static Json item(const RuntimeConfig& runtime) {
        Json out = Json::object();
        if (!runtime.path.empty()) out["path"] = runtime.path;
        if (!runtime.args.empty()) out["runtimeArgs"] = runtime.args;
        if (!runtime.type.empty()) out["runtimeType"] = runtime.type;
        if (!runtime.options.empty()) out["options"] = Json::parse(runtime.options);
        return out;
    }
};

}  // namespace

std::string config_json(const Config& config) {
    Json out = Json::object();
    Json proxies = Json::object();
    for (const Option& option : options()) {
        if (option.key.empty()) continue;
        Json value = std::visit(ToJson{config}, option.target);
        if (value.is_null()) continue;
        const std::string key(option.key);
        if (option.group.ends_with("Proxies.")) {
            proxies[key] = engine::mask_credentials(value.get<std::string>());
        } else {
            out[key] = std::move(value);
        }
    }
    out["proxies"] = std::move(proxies);
    return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace dockerd::app

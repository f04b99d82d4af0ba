#include "json_read.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/model/go_syntax.hpp>

namespace dockerd::store {

const base::Json* part_of(const base::Json& json, const char* key) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(key);
    return found == json.end() || !found->is_structured() ? nullptr : &*found;
}

std::string text_of(const base::Json& json, const char* key) {
    if (!json.is_object()) return {};
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t number_of(const base::Json& json, const char* key) {
    if (!json.is_object()) return 0;
    const auto found = json.find(key);
    return found != json.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

bool flag_of(const base::Json& json, const char* key) {
    if (!json.is_object()) return false;
    const auto found = json.find(key);
    return found != json.end() && found->is_boolean() && found->get<bool>();
}

std::vector<std::string> texts_of(const base::Json& json, const char* key) {
    std::vector<std::string> out;
    const base::Json* const list = part_of(json, key);
    if (list == nullptr || !list->is_array()) return out;
    for (const base::Json& item : *list) {
        if (item.is_string()) out.push_back(item.get<std::string>());
    }
    return out;
}

std::optional<base::WallTime> time_of(const base::Json& json, const char* key) {
    const std::string text = text_of(json, key);
    if (text.empty()) return std::nullopt;
    return base::parse_rfc3339(text);
}

base::Json parse_json(std::string_view text) {
    try {
        return base::Json::parse(text);
    } catch (const nlohmann::json::exception& error) {
        // Users know Go's words; the library's are for what it takes otherwise.
        const std::string syntax = model::scan_go_json(text).error;
        base::fail(base::ErrorKind::invalid_argument,
                   "invalid JSON: " + (syntax.empty() ? error.what() : syntax));
    }
}

}  // namespace dockerd::store

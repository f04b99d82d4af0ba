#include <dockerd/model/filters.hpp>

#include <re2/re2.h>

#include <nlohmann/json.hpp>

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/json.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::model {

using base::ErrorKind;

Filters Filters::parse(std::string_view text) {
    Filters filters;
    if (text.empty()) return filters;
    const auto json = base::Json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto invalid = [] { base::fail(ErrorKind::invalid_argument, "invalid filter"); };
    if (json.is_null()) return filters;
    if (!json.is_object()) invalid();
    for (const auto& [key, values] : json.items()) {
        auto& set = filters.values_[key];
        if (values.is_object()) {
            for (const auto& [value, on] : values.items()) {
                if (!on.is_boolean()) invalid();
                set.insert(value);
            }
        } else if (values.is_array()) {
            for (const auto& value : values) {
                if (!value.is_string()) invalid();
                set.insert(value.get<std::string>());
            }
        } else if (!values.is_null()) {
            invalid();
        }
    }
    return filters;
}

const std::set<std::string>& Filters::get(const std::string& key) const {
    static const std::set<std::string> none;
    const auto found = values_.find(key);
    return found == values_.end() ? none : found->second;
}

void Filters::validate(const std::vector<std::string_view>& accepted) const {
    for (const auto& [key, values] : values_) {
        if (std::ranges::find(accepted, key) == accepted.end()) {
            base::fail(ErrorKind::invalid_argument, "invalid filter '" + key + "'");
        }
    }
}

bool Filters::exact_match(const std::string& key, std::string_view value) const {
    const auto& values = get(key);
    return values.empty() || values.contains(std::string(value));
}

bool Filters::match(const std::string& key, std::string_view value) const {
    if (exact_match(key, value)) return true;
    return std::ranges::any_of(get(key), [&](const std::string& pattern) {
        const re2::RE2 expression(pattern, re2::RE2::Quiet);
        return expression.ok() &&
               re2::RE2::PartialMatch(re2::StringPiece(value.data(), value.size()), expression);
    });
}

bool Filters::match_labels(const std::string& key,
                           const std::map<std::string, std::string>& labels) const {
    return std::ranges::all_of(get(key), [&](const std::string& wanted) {
        const auto equals = wanted.find('=');
        const auto found = labels.find(wanted.substr(0, equals));
        if (found == labels.end()) return false;
        return equals == std::string::npos || found->second == wanted.substr(equals + 1);
    });
}

bool Filters::get_bool(const std::string& key, bool fallback) const {
    const auto& values = get(key);
    if (!contains(key)) return fallback;
    const bool yes = values.contains("1") || values.contains("true");
    const bool no = values.contains("0") || values.contains("false");
    if (yes == no) {
        const std::vector<std::string> shown(values.begin(), values.end());
        base::fail(ErrorKind::invalid_argument,
                   "invalid filter '" + key + "=[" + base::join(shown, " ") + "]'");
    }
    return yes;
}

}  // namespace dockerd::model

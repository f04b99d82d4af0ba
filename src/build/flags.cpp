#include "flags.hpp"

#include <algorithm>
#include <numeric>

#include <dockerd/base/strings.hpp>

#include "statement.hpp"

namespace dockerd::build {
namespace {

/// Number of characters to insert, delete or replace.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row[b.size()];
}

}  // namespace

std::string suggestion(std::string_view word, const std::vector<std::string>& known,
                       bool case_sensitive) {
    // A word that much longer is near to none, and costs time.
    if (word.size() > 64) return {};
    const std::string wanted = case_sensitive ? std::string(word) : base::to_lower(word);
    std::string match;
    std::size_t nearest = 3;
    for (const std::string& option : known) {
        const std::string text = case_sensitive ? option : base::to_lower(option);
        if (text == wanted) return {};
        const std::size_t far = distance(wanted, text);
        if (far >= nearest) continue;
        nearest = far;
        match = case_sensitive || base::to_lower(word) == word || to_upper(word) != word
                    ? text
                    : to_upper(text);
    }
    return match.empty() ? "" : " (did you mean " + match + "?)";
}

Flags::Flags(const std::vector<std::string>& given, const std::map<std::string, Type>& known) {
    for (const std::string& flag : given) {
        if (!flag.starts_with("--")) invalid("arg should start with -- : " + flag);
        const auto equals = flag.find('=');
        const std::string shown = flag.substr(0, equals);
        const std::string name = shown.substr(2);
        const auto found = known.find(name);
        if (found == known.end()) {
            std::vector<std::string> names;
            for (const auto& entry : known) names.push_back(entry.first);
            invalid("unknown flag: " + shown + suggestion(name, names, /*case_sensitive=*/true));
        }
        auto& values = values_[name];
        const Type type = found->second;
        if (!values.empty() && type != Type::texts) {
            invalid("duplicate flag specified: " + shown);
        }
        const bool has_value = equals != std::string::npos;
        std::string value = has_value ? flag.substr(equals + 1) : "";
        if (has_value ? type == Type::boolean && value.empty() : type != Type::boolean) {
            invalid("missing a value on flag: " + shown);
        }
        if (type == Type::boolean) {
            const std::string lower = base::to_lower(value);
            if (!lower.empty() && lower != "true" && lower != "false") {
                invalid("expecting boolean value for flag " + shown + ", not: " + value);
            }
            value = lower.empty() ? "true" : lower;
        }
        values.push_back(std::move(value));
    }
}

std::string Flags::text(const std::string& name, const std::string& fallback) const {
    const auto found = values_.find(name);
    return found == values_.end() ? fallback : found->second.back();
}

bool Flags::boolean(const std::string& name) const { return text(name) == "true"; }

std::vector<std::string> Flags::texts(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::vector<std::string>{} : found->second;
}

}  // namespace dockerd::build

#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::model {

/// The `filters` query parameter: for each key the values asked for, OR within a key.
/// Source: moby api/types/filters, Args.
class Filters {
public:
    /// Reads `{"label":{"a=b":true}}` and the older `{"label":["a=b"]}`; empty text is no filter.
    /// Throws: invalid_argument, "invalid filter".
    static Filters parse(std::string_view text);

    void add(const std::string& key, const std::string& value) { values_[key].insert(value); }
    [[nodiscard]] bool contains(const std::string& key) const { return values_.contains(key); }
    [[nodiscard]] bool empty() const { return values_.empty(); }
    [[nodiscard]] const std::set<std::string>& get(const std::string& key) const;
    [[nodiscard]] const std::map<std::string, std::set<std::string>>& all() const {
        return values_;
    }

    /// Throws: invalid_argument, "invalid filter 'x'" for a key that is not in `accepted`.
    void validate(const std::vector<std::string_view>& accepted) const;

    /// True when the key is absent or `value` is one of its values.
    [[nodiscard]] bool exact_match(const std::string& key, std::string_view value) const;
    /// Like exact_match, but a value also matches as a regular expression, if it is one.
    [[nodiscard]] bool match(const std::string& key, std::string_view value) const;
    /// True when every `k` or `k=v` given under `key` holds for `labels`.
    [[nodiscard]] bool match_labels(const std::string& key,
                                    const std::map<std::string, std::string>& labels) const;
    /// The boolean under `key`, or `fallback`.
    /// Throws: invalid_argument, "invalid filter 'dangling=[x]'".
    [[nodiscard]] bool get_bool(const std::string& key, bool fallback) const;

private:
    std::map<std::string, std::set<std::string>> values_;
};

}  // namespace dockerd::model

#pragma once

#include <map>
#include <string>
#include <vector>

namespace dockerd::model {

/// A list that remembers whether it was ever given: Docker prints `null` for one that was not,
/// `[]` for one given empty.
template <typename T>
struct List : std::vector<T> {
    using std::vector<T>::vector;
    List() = default;
    explicit List(std::vector<T> items) : std::vector<T>(std::move(items)), given(true) {}
    bool given = false;

    /// Prints as null.
    [[nodiscard]] bool is_null() const { return !given && this->empty(); }
    friend bool operator==(const List&, const List&) = default;
};

/// A map with the same distinction, sorted by key as Go prints maps.
template <typename V>
struct Map : std::map<std::string, V> {
    using std::map<std::string, V>::map;
    Map() = default;
    bool given = false;

    /// Prints as null.
    [[nodiscard]] bool is_null() const { return !given && this->empty(); }
    friend bool operator==(const Map&, const Map&) = default;
};

using Strings = List<std::string>;
using StringMap = Map<std::string>;

/// A string list that a client may also send as one string.
/// Source: moby api/types/strslice.
struct StrSlice : Strings {
    using Strings::Strings;
    StrSlice() = default;
};

/// Go's struct{}: the value of a set.
struct Empty {
    friend bool operator==(const Empty&, const Empty&) = default;
};
using StringSet = Map<Empty>;

}  // namespace dockerd::model

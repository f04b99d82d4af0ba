#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/time.hpp>
#include <dockerd/model/collections.hpp>

/// JSON as text, appended straight from structs: no tree of values is built. A type becomes
/// writable by an overload of `put`; Object and the containers below find it.
namespace dockerd::api::codec {

/// Where an answer is written. Escapes as Go's encoder does, with HTML escaping off or on.
/// Source: Go encoding/json, appendString.
class Text {
public:
    enum class Escape { plain, html };

    explicit Text(Escape escape = Escape::plain) : escape_(escape) {}

    void raw(char c) { out_.push_back(c); }
    void raw(std::string_view text) { out_.append(text); }
    void string(std::string_view text);
    /// `separator"name":`, in one append. The name needs no escaping.
    void key(char separator, std::string_view name);
    void integer(std::int64_t value);
    void integer(std::uint64_t value);
    void real(double value);

    void reserve(std::size_t bytes) { out_.reserve(bytes); }
    [[nodiscard]] std::string& text() { return out_; }
    [[nodiscard]] std::string take() { return std::move(out_); }
    /// With the newline that ends every answer of the API.
    [[nodiscard]] std::string take_line() {
        out_.push_back('\n');
        return std::move(out_);
    }

private:
    std::string out_;
    Escape escape_;
};

inline void put(Text& out, std::same_as<bool> auto value) { out.raw(value ? "true" : "false"); }
inline void put(Text& out, std::signed_integral auto value) {
    out.integer(static_cast<std::int64_t>(value));
}
inline void put(Text& out,
                std::unsigned_integral auto value) requires(!std::same_as<decltype(value), bool>) {
    out.integer(static_cast<std::uint64_t>(value));
}
inline void put(Text& out, double value) { out.real(value); }
inline void put(Text& out, std::string_view value) { out.string(value); }
inline void put(Text& out, const std::string& value) { out.string(value); }
inline void put(Text& out, const char* value) { out.string(value); }
inline void put(Text& out, std::nullptr_t) { out.raw("null"); }
void put(Text& out, base::WallTime value);
inline void put(Text& out, const model::Empty&) { out.raw("{}"); }

/// Ready JSON, put as it is.
struct Raw {
    std::string_view json;
};
inline void put(Text& out, Raw value) { out.raw(value.json); }

/// Whether Go's `omitempty` leaves the value out.
inline bool is_empty(std::string_view value) { return value.empty(); }
inline bool is_empty(std::same_as<bool> auto value) { return !value; }
template <std::integral T>
requires(!std::same_as<T, bool>) bool is_empty(T value) { return value == 0; }
template <typename T>
bool is_empty(const std::optional<T>& value) {
    return !value;
}
template <typename T>
bool is_empty(const std::vector<T>& value) {
    return value.empty();
}
template <typename K, typename V>
bool is_empty(const std::map<K, V>& value) {
    return value.empty();
}

template <typename T>
void put(Text& out, const std::optional<T>& value) {
    if (value) {
        put(out, *value);
    } else {
        out.raw("null");
    }
}

template <typename Range>
void put_array(Text& out, const Range& items) {
    char separator = '[';
    for (const auto& item : items) {
        out.raw(separator);
        put(out, item);
        separator = ',';
    }
    out.raw(separator == '[' ? "[]" : "]");
}

template <typename Range>
void put_map(Text& out, const Range& items) {
    char separator = '{';
    for (const auto& [key, value] : items) {
        out.raw(separator);
        out.string(key);
        out.raw(':');
        put(out, value);
        separator = ',';
    }
    out.raw(separator == '{' ? "{}" : "}");
}

template <typename T>
void put(Text& out, const std::vector<T>& items) {
    put_array(out, items);
}
template <typename V>
void put(Text& out, const std::map<std::string, V>& items) {
    put_map(out, items);
}
template <typename T>
void put(Text& out, const model::List<T>& items) {
    if (items.is_null()) {
        out.raw("null");
    } else {
        put_array(out, items);
    }
}
inline void put(Text& out, const model::StrSlice& items) {
    put(out, static_cast<const model::Strings&>(items));
}
template <typename V>
void put(Text& out, const model::Map<V>& items) {
    if (items.is_null()) {
        out.raw("null");
    } else {
        put_map(out, items);
    }
}

/// A Go slice that is nil when empty.
template <typename T>
struct NullWhenEmpty {
    const std::vector<T>& items;
};
template <typename T>
NullWhenEmpty(const std::vector<T>&) -> NullWhenEmpty<T>;
template <typename T>
void put(Text& out, const NullWhenEmpty<T>& value) {
    if (value.items.empty()) {
        out.raw("null");
    } else {
        put_array(out, value.items);
    }
}

/// An object being written: `Object(out)("Id", id).some("Error", error)`; closed by its
/// destructor. Names are written without escaping.
class Object {
public:
    explicit Object(Text& out) : out_(out) {}
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;
    ~Object() { out_.raw(separator_ == '{' ? "{}" : "}"); }

    /// The name and its colon; the caller puts the value.
    Text& key(std::string_view name) {
        out_.key(separator_, name);
        separator_ = ',';
        return out_;
    }

    template <typename T>
    Object& operator()(std::string_view name, const T& value) {
        put(key(name), value);
        return *this;
    }

    /// Only when not empty, as Go's `omitempty`.
    template <typename T>
    Object& some(std::string_view name, const T& value) {
        if (!is_empty(value)) put(key(name), value);
        return *this;
    }

private:
    Text& out_;
    char separator_ = '{';
};

}  // namespace dockerd::api::codec

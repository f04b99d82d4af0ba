#pragma once

#include <string_view>

namespace dockerd::model {

/// What Go's decoder calls a JSON value that it cannot put where it belongs; not for null.
/// Source: Go encoding/json, UnmarshalTypeError.
template <typename Json>
std::string_view go_kind(const Json& json) {
    if (json.is_object()) return "object";
    if (json.is_array()) return "array";
    if (json.is_string()) return "string";
    if (json.is_boolean()) return "bool";
    return "number";
}

}  // namespace dockerd::model

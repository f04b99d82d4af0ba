#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <dockerd/base/json.hpp>
#include <dockerd/base/time.hpp>

namespace dockerd::store {

/// Lenient access to documents others wrote: a field that is absent, null or of another type
/// counts as not given.
std::string text_of(const base::Json& json, const char* key);
std::int64_t number_of(const base::Json& json, const char* key);
bool flag_of(const base::Json& json, const char* key);
std::vector<std::string> texts_of(const base::Json& json, const char* key);
std::optional<base::WallTime> time_of(const base::Json& json, const char* key);
/// The object or array under `key`; null when there is none.
const base::Json* part_of(const base::Json& json, const char* key);

/// Throws: invalid_argument with the parser's words.
base::Json parse_json(std::string_view text);

}  // namespace dockerd::store

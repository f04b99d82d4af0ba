#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

/// What messages to log servers are made of.
namespace dockerd::logging {

/// On one line; what is not UTF-8 is replaced.
std::string json_text(const nlohmann::json& value);

/// One JSON value without the white space between its parts, or nothing for what is none.
/// Source: Go encoding/json, RawMessage as json.Marshal writes it.
std::string compact_json(std::string_view text);

enum class Compression { gzip, zlib, none };
/// level: -1 to 9. Throws: internal, "cannot compress".
std::string compress(const std::string& bytes, Compression kind, int level);

}  // namespace dockerd::logging

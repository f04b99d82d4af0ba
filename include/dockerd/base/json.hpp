#pragma once

#include <nlohmann/json_fwd.hpp>

namespace dockerd::base {

/// JSON with the fields in the order they were added: clients print what they receive.
/// The full type is in <nlohmann/json.hpp>, which only codec files include.
using Json = nlohmann::ordered_json;

}  // namespace dockerd::base

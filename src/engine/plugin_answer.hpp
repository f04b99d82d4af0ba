#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <dockerd/plugins/plugins.hpp>

/// What plugins answer, read as Go's decoder does and with bounds.
namespace dockerd::engine::plugin_answer {

/// Sorted keys, as Go prints the maps that arrive in it.
using Json = nlohmann::json;

/// The first value of the text. What comes after it is not looked at.
/// Throws: internal, "EOF" for nothing, "invalid answer of the plugin: ..." for what is no JSON or
///         too deep.
Json first_value(const std::string& body);

/// A field by its name in any case; null when there is none.
const Json* field(const Json& object, std::string_view name);
/// A text field; empty when there is none.
std::string text(const Json& object, std::string_view name);

/// Calls a method of a network plugin, with no body for null.
/// Throws: internal, "remote: <what the plugin calls an error, in the field `error`>".
Json ask_remote(const plugins::Plugin& plugin, const std::string& method, const Json& request,
                std::string_view error);

/// What the plugin calls an error, cut to what fits into a message; empty for none.
std::string told_error(const Json& answer, std::string_view name);

}  // namespace dockerd::engine::plugin_answer

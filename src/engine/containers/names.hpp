#pragma once

#include <string>
#include <string_view>

namespace dockerd::engine {

/// A random "adjective_surname". Source: the form of moby's names generator; the words are ours.
std::string generate_name();

/// Checks a name a user gave and returns it without the leading slash.
/// Throws: invalid_argument, "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are
///         allowed".
std::string checked_name(std::string_view name);

}  // namespace dockerd::engine

#pragma once

#include <string_view>

namespace dockerd::build {

/// Whether `pattern` matches all of `name`; '*' and '?' do not match '/'.
/// Throws: internal, "syntax error in pattern". Source: Go path.Match.
bool matches_pattern(std::string_view pattern, std::string_view name);

/// Whether anything in `name` would not stand for itself.
/// Source: moby builder/dockerfile/copy_unix.go, containsWildcards.
bool has_wildcards(std::string_view name);

}  // namespace dockerd::build

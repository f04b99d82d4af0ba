#pragma once

#include <string>
#include <string_view>

/// Paths of `docker cp`, whose last slash and dot have a meaning.
namespace dockerd::engine {

/// `cleaned`, with the "/" or "/." that `original` ends with.
/// Source: moby/go-archive copy.go, PreserveTrailingDotOrSeparator.
std::string keep_trailing(std::string cleaned, std::string_view original);

/// The last part of a path without its trailing slashes; "/" for the root, "." for nothing.
/// Source: Go path/filepath, Base.
std::string base_name(std::string_view path);

/// What lies before the last slash, and the slash. Source: Go path/filepath, Split.
std::string directory_part(std::string_view path);

/// Whether the absolute, clean `path` is `directory` or below it.
bool lies_in(std::string_view path, std::string_view directory);

}  // namespace dockerd::engine

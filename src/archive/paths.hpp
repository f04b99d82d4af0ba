#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace dockerd::archive {

/// Go's filepath.Clean for a member's name, then without the leading slash: "." is the root,
/// "../x" stays and must be refused.
std::string clean_name(std::string_view name);

/// "a/b/c" as {"a/b", "c"}; "c" as {"", "c"}.
std::pair<std::string, std::string> split_path(const std::string& cleaned);

}  // namespace dockerd::archive

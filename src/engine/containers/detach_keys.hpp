#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dockerd::engine {

/// The bytes of a detach sequence written as names: "ctrl-p,ctrl-q", "ctrl-@,DEL,a". Nothing for
/// what is no such list; empty stays empty.
std::optional<std::string> parse_detach_keys(std::string_view names);

}  // namespace dockerd::engine

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::base {

/// Parts of `text` between `separator`s; an empty text gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);

/// `parts` with `separator` between them.
std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// Without white space at both ends.
std::string_view trim(std::string_view text);

/// ASCII lower case.
std::string to_lower(std::string_view text);

/// ASCII comparison without case.
bool iequals(std::string_view a, std::string_view b);

/// A decimal integer with optional sign, whole text, in range; else nullopt.
std::optional<std::int64_t> parse_int(std::string_view text);

/// `text` in double quotes with Go's escapes, as fmt's %q prints it in Docker's messages.
std::string quote(std::string_view text);

/// Standard base64 with padding; `url_safe` takes the other alphabet.
std::string base64_encode(std::string_view bytes, bool url_safe = false);

/// Decodes either alphabet, with or without padding; nullopt when it is neither.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace dockerd::base

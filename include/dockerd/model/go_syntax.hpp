#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dockerd::model {

/// Where the first JSON value of a text ends, or what Go's decoder would say is wrong with it.
struct GoSyntax {
    std::size_t end = 0;
    std::string error;
};

/// Source: Go encoding/json, scanner.go; the texts reach users in "invalid JSON: ...".
GoSyntax scan_go_json(std::string_view text);

/// `text` with each byte that is not part of valid UTF-8 replaced by U+FFFD, as Go reads strings.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace dockerd::model

#pragma once

#include <string>
#include <string_view>

namespace dockerd::base {

/// Appends a text as it stands in a query or form: "a b/c" as "a+b%2Fc".
/// Source: Go net/url, QueryEscape.
void append_query_escaped(std::string& out, std::string_view text);

}  // namespace dockerd::base

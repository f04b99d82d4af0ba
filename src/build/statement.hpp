#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <dockerd/build/dockerfile.hpp>

namespace dockerd::build {

/// As Go's unicode.IsSpace for ASCII.
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
std::string_view trim_left(std::string_view text);
std::string_view trim_spaces(std::string_view text);
std::string to_upper(std::string_view text);
[[noreturn]] void invalid(const std::string& text);

/// Parts of `text` between runs of blanks, at most `limit` of them; 0: all.
/// Source: buildkit frontend/dockerfile/parser, reWhitespace.Split.
std::vector<std::string> split_blanks(std::string_view text, std::size_t limit = 0);

/// One logical line as a statement.
/// Source: buildkit frontend/dockerfile/parser, newNodeFromLine.
Statement parse_statement(const std::string& line, char escape);

/// Whether lines behind this one may belong to it.
bool can_have_heredocs(const Statement& statement);

}  // namespace dockerd::build

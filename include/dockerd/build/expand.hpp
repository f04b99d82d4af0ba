#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dockerd::build {

/// A word of an instruction, with $VARIABLES from `environment` ("K=V") filled in and quotes
/// taken away. `escape`: the character that takes away the next one's meaning.
/// Throws: invalid_argument, "failed to process "${x": syntax error: missing '}'".
/// Source: buildkit frontend/dockerfile/shell, ProcessWord.
std::string expand_word(std::string_view word, const std::vector<std::string>& environment,
                        char escape = '\\');

/// The same, split at white space after that; what is quoted stays together.
/// Source: buildkit frontend/dockerfile/shell, ProcessWords.
std::vector<std::string> expand_words(std::string_view word,
                                      const std::vector<std::string>& environment,
                                      char escape = '\\');

/// Variables of a text of many lines, in which quotes are nothing special.
/// Throws: as expand_word. Source: buildkit frontend/dockerfile/instructions, ExpandRaw.
std::string expand_text(std::string_view text, const std::vector<std::string>& environment,
                        char escape = '\\');

/// What is left as it is.
struct SplitOptions {
    bool keep_quotes = false;
    bool keep_escapes = false;
};
/// `line` split at white space outside quotes; variables stay as they are.
/// Throws: as expand_word.
std::vector<std::string> split_words(std::string_view line, SplitOptions options);

}  // namespace dockerd::build

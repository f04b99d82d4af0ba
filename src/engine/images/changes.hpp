#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/model/container.hpp>

namespace dockerd::engine {

/// Applies Dockerfile instructions, as `--change` of commit and import gives them, to a
/// configuration: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER,
/// VOLUME, WORKDIR.
///
/// Throws: invalid_argument, "FROM is not a valid change command" and the words of the
///         instruction's own parser.
/// Source: moby builder/dockerfile/builder.go, BuildFromConfig; dispatchers.go.
void apply_changes(model::ContainerConfig& config, const std::vector<std::string>& changes);

/// A word of an instruction, with $VARIABLES from `environment` ("K=V") filled in and quotes
/// taken away. `escape`: the character that takes away the next one's meaning.
/// Throws: invalid_argument, "failed to process "${x": syntax error: missing '}'".
/// Source: buildkit frontend/dockerfile/shell, ProcessWord.
std::string expand_word(std::string_view word, const std::vector<std::string>& environment,
                        char escape = '\\');

/// `text` as a JSON list of strings; nullopt when it is no JSON list.
/// Throws: invalid_argument, "when using JSON array syntax, arrays must be comprised of strings
///         only". Source: buildkit frontend/dockerfile/parser/line_parsers.go, parseJSON.
std::optional<std::vector<std::string>> parse_string_list(std::string_view text);

}  // namespace dockerd::engine

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

/// Words of an instruction, with $VARIABLES from `environment` ("K=V") filled in and quotes
/// taken away. Source: buildkit frontend/dockerfile/shell, ProcessWord.
std::string expand_word(std::string_view word, const std::vector<std::string>& environment);

/// `text` as a JSON list of strings; nullopt when it is something else.
std::optional<std::vector<std::string>> parse_string_list(std::string_view text);

}  // namespace dockerd::engine

#pragma once

#include <string>
#include <vector>

#include <dockerd/build/instruction.hpp>
#include <dockerd/model/container.hpp>

namespace dockerd::engine {

/// Applies Dockerfile instructions, as `--change` of commit and import gives them, to a
/// configuration: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER,
/// VOLUME, WORKDIR.
///
/// Throws: invalid_argument, "FROM is not a valid change command" and the words of the
///         instruction's own parser.
/// Source: moby builder/dockerfile/builder.go, BuildFromConfig.
void apply_changes(model::ContainerConfig& config, const std::vector<std::string>& changes);

/// Throws: invalid_argument, "invalid signal: x", when it is a STOPSIGNAL with none.
void check_stop_signal(const build::Instruction& instruction);

}  // namespace dockerd::engine

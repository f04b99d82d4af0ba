#pragma once

#include <string>
#include <vector>

#include <dockerd/build/instruction.hpp>
#include <dockerd/model/container.hpp>

namespace dockerd::build {

/// An image's configuration while instructions change it.
struct ConfigState {
    model::ContainerConfig config;
    std::string author;
    bool command_set = false;  ///< by CMD; an ENTRYPOINT drops one from below
};

/// Does what an instruction does to the configuration, and returns what the history says of it:
/// "ENV a=b". Of RUN, COPY and ADD, which change files, that is nothing.
/// `environment`: for EXPOSE, whose words may become several.
/// Pre: expand() was called. The signal of STOPSIGNAL is not looked at.
/// Throws: invalid_argument, "invalid containerPort: x" and kin.
/// Source: moby builder/dockerfile/dispatchers.go.
std::string apply(ConfigState& state, const Instruction& instruction,
                  const std::vector<std::string>& environment, char escape);

/// The shell that commands in shell form are given to.
std::vector<std::string> shell_of(const model::ContainerConfig& config);
/// Exec form as it is, shell form behind the shell, also with nothing behind it.
std::vector<std::string> with_shell(const CommandLine& line, const model::ContainerConfig& config);

/// An absolute path without ".", ".." and empty parts. Source: Go path/filepath, Join and Clean.
std::string clean_path(const std::string& path);

}  // namespace dockerd::build

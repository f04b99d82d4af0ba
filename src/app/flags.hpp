#pragma once

#include <span>
#include <string>

#include "config.hpp"

namespace dockerd::app {

/// What the command line asks for.
enum class Command { run, help, version };

struct CommandLine {
    Command command = Command::run;
    Config config;
    bool names_program = false;  ///< there was a word "dockerd"
    /// Lines for standard error: uses of deprecated flags.
    std::string warnings;
};

/// Reads the command line. Throws: invalid_argument, with the whole text for standard error.
/// Source: spf13/pflag flag.go for the forms; moby cmd/dockerd/cobra.go for the texts.
CommandLine parse_flags(std::span<const char* const> arguments);

/// The command line, over the DOCKER_OPTS of the file that --defaults-file names, whose exports are
/// put into the environment. A flag of the command line, also one that can be repeated, takes the
/// place of what DOCKER_OPTS says. Pre: no other thread runs.
///
/// Throws: as parse_flags and read_defaults_file; "<file>: DOCKER_OPTS: unknown flag: --x".
CommandLine read_command_line(std::span<const char* const> arguments);

/// What `dockerd --help` prints.
std::string usage_text();

}  // namespace dockerd::app

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
    /// Lines for standard error: uses of deprecated flags.
    std::string warnings;
};

/// Reads the command line. Throws: invalid_argument, with the whole text for standard error.
/// Source: spf13/pflag flag.go for the forms; moby cmd/dockerd/cobra.go for the texts.
CommandLine parse_flags(std::span<const char* const> arguments);

/// What `dockerd --help` prints.
std::string usage_text();

}  // namespace dockerd::app

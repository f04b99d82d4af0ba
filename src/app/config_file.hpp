#pragma once

#include <string>
#include <string_view>

#include "config.hpp"

namespace dockerd::app {

/// The flags with daemon.json merged in, checked.
///
/// Throws: invalid_argument, "unable to configure the Docker daemon with file x: <why>", or the
///         text about the value that is wrong. A default file that is missing is none.
/// Source: moby daemon/config/config.go, MergeDaemonConfigurations and Validate.
Config load_config(Config flags);

/// Reads daemon.json's text into `config`, which holds the flags.
/// Throws: invalid_argument, with the reason alone.
void merge_file_text(Config& config, std::string_view text);

/// The reloadable part of daemon.json on SIGHUP, over the running configuration.
Config reload_config(const Config& running);

/// Throws: invalid_argument, "invalid logging level: x" and the like.
void validate(const Config& config);

/// Options that exclude each other; found out only when the daemon starts.
/// Throws: invalid_argument, "You specified -b & --bip, mutually exclusive options. ...".
void check_combinations(const Config& config);

}  // namespace dockerd::app

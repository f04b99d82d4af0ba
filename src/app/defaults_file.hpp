#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dockerd::app {

/// What a file such as /etc/default/docker says, which is a piece of shell: assignments and exports.
struct Defaults {
    /// Words of DOCKER_OPTS, without a leading "dockerd".
    std::vector<std::string> words;
    bool names_program = false;  ///< there was one
    /// Variables to put into the environment, in order.
    std::vector<std::pair<std::string, std::string>> exports;
};

/// Understands assignments, `export`, comments, quotes, backslashes, continued lines, and variables
/// set before or in the environment. What a shell would have to execute is an error.
///
/// DOCKER_OPTS is split at blanks; quotes within it keep blanks together.
/// Throws: invalid_argument, "<path>: line 3: unterminated quote".
Defaults parse_defaults(std::string_view text, const std::string& path);

/// Whether a word is the daemon's own name, also with a path.
bool is_program_name(std::string_view word);

/// The same of a file. One that is not there says nothing, unless it was asked for by name.
/// Throws: as parse_defaults, and "open <path>: <why>".
Defaults read_defaults_file(const std::string& path, bool must_exist);

}  // namespace dockerd::app

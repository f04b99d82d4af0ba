#pragma once

#include <string>

/// What is made of the table of options beside `--help`.
namespace dockerd::app {

/// dockerd(8), in the language of man(7).
std::string manual_page();

/// For bash: completes flags, and values where a few are known.
std::string bash_completion();

}  // namespace dockerd::app

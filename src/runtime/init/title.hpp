#pragma once

#include <string_view>

namespace dockerd::runtime::init {

/// Keeps the memory that /proc/PID/cmdline shows: the program's arguments and, behind them, its
/// environment, which is given up for this. Once, at the beginning of main.
void keep_title_area(char** arguments, char** environment);

/// Makes the calling process show `title` as its command line, as much of it as there is room for.
// Source: proc(5), /proc/pid/cmdline: what goes beyond the arguments is one string.
void set_title(std::string_view title);

}  // namespace dockerd::runtime::init

#pragma once

#include <string>

namespace dockerd::base {

/// What every thread of this process is doing: its name, what it waits for in the kernel, the
/// system call it is in, and its kernel stack as far as that may be read.
std::string thread_dump();

}  // namespace dockerd::base

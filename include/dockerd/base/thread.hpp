#pragma once

#include <functional>
#include <thread>

namespace dockerd::base {

/// A thread that no signal is delivered to: those are the main thread's business, and a new thread
/// inherits the mask of the one that makes it. Throws: std::system_error.
std::thread start_quiet_thread(std::function<void()> body);

}  // namespace dockerd::base

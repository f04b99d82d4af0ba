#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace dockerd::base {

/// A thread that no signal is delivered to: those are the main thread's business, and a new thread
/// inherits the mask of the one that makes it. Throws: std::system_error.
std::thread start_quiet_thread(std::function<void()> body);

/// Runs `work` on another thread. False when it takes longer than `patience`; it then goes on, and what it
/// uses must live on: the process is to end without waiting for it.
bool finish_within(std::chrono::milliseconds patience, std::function<void()> work);

}  // namespace dockerd::base

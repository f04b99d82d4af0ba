#pragma once

#include "launch/reaper.hpp"

#include <dockerd/runtime/runtime.hpp>

#include <string>

namespace dockerd::runtime::launch {

/// Finds what a monitor of an earlier daemon left: itself, its record, or nothing.
Recovered recover(Reaper& reaper, const std::string& state_directory, const std::string& id);

/// Removes a monitor's files; the directory too when nothing else is in it.
void remove_state(const std::string& state_directory);
/// The same but for a recorded exit: see Runtime::forget_processes.
void remove_process_state(const std::string& state_directory);

}  // namespace dockerd::runtime::launch

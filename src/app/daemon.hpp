#pragma once

#include <span>

namespace dockerd::app {

/// dockerd: reads flags and daemon.json, serves until told to stop. Returns the exit status.
int run_daemon(std::span<const char* const> arguments);

}  // namespace dockerd::app

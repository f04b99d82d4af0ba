#pragma once

#include "wire/messages.hpp"

#include <dockerd/runtime/runtime.hpp>

namespace dockerd::runtime::launch {

enum class Attempt { container, exec };

/// Docker's error for something that could not be started, with its exit code.
/// Source: moby daemon/errors.go, setExitCodeFromError; runc's words by way of containerd.
StartFailure start_failure(Attempt attempt, const wire::Failed& failed);

}  // namespace dockerd::runtime::launch

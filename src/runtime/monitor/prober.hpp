#pragma once

#include "init/container_init.hpp"
#include "wire/messages.hpp"

#include <sys/types.h>

namespace dockerd::runtime::monitor {

/// True where a prober can work for a container with these namespaces.
bool can_probe(int namespaces);

/// Starts the processes of health checks: a fork of the monitor that has entered the container for
/// good, and that the daemon talks to itself. A check then costs one fork of a process with hardly
/// any memory, and no work of the monitor's.
///
/// It is their parent, and speaks of them as a monitor speaks of an exec_direct. When the daemon's
/// end of the socket closes, or at SIGTERM, it kills them and ends; it dies with the monitor.
/// Runs in the new process. Never returns.
[[noreturn]] void run_prober(const init::Target& target, wire::ProberRequest& request,
                             pid_t monitor);

}  // namespace dockerd::runtime::monitor

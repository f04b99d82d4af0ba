#pragma once

#include <string>
#include <vector>

#include <dockerd/runtime/cgroup.hpp>

#include "config.hpp"

/// What of Docker's options this daemon does not have. None of them is passed over in silence: what
/// would leave out a protection, or show other data, is refused; the rest is warned of.
namespace dockerd::app {

/// Throws: not_implemented, "user namespaces (--userns-remap) are not implemented" and the like.
void refuse_unsupported(const Config& config);

/// Throws: invalid_argument, for a --cgroup-parent that is no slice.
/// Source: moby daemon/daemon_unix.go, verifyDaemonSettings.
void check_slice(const Config& config);
/// The machine's cgroups with the driver that was asked for, or Docker's choice.
/// Throws: as CgroupHost::open and, where the driver is systemd, check_slice().
runtime::CgroupHost open_cgroups(const Config& config);

/// One line for each option that was given and has no effect here.
std::vector<std::string> ineffective_options(const Config& config);

/// Whether the data root can be used with the storage driver there is.
///
/// Throws: what stands behind "error initializing graphdriver: ": "driver not supported: vfs",
///         "overlay2: unknown option x", "<root> contains several valid graphdrivers: ...".
/// Source: moby daemon/graphdriver/driver.go, New; overlay2/overlay.go, parseOptions.
void check_storage(const Config& config);

}  // namespace dockerd::app

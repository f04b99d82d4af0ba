#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/model/container.hpp>
#include <dockerd/model/namespace_mode.hpp>
#include <dockerd/runtime/sysinfo.hpp>

namespace dockerd::runtime {

/// Checks limits against this kernel; takes back what it lacks and says so in the result.
///
/// Throws: invalid_argument, with Docker's words ("Minimum memory limit allowed is 6MB", ...).
/// Source: moby daemon/daemon_unix.go, verifyPlatformContainerResources.
std::vector<std::string> verify_resources(model::Resources& resources, const SysInfo& sysinfo,
                                          bool update);

/// What of the daemon's own configuration matters to a container's.
struct VerifyOptions {
    bool update = false;
    bool remapped_root = false;   ///< userns-remap is on
    bool systemd_driver = false;  ///< native.cgroupdriver=systemd
};

/// Checks the platform half of a HostConfig, verify_resources() included.
///
/// Throws: invalid_argument, with Docker's words.
/// Source: moby daemon/daemon_unix.go, verifyPlatformContainerSettings.
std::vector<std::string> verify_host_config(model::HostConfig& host, const SysInfo& sysinfo,
                                            const VerifyOptions& options);

/// The daemon's defaults for new containers.
struct HostConfigDefaults {
    std::int64_t shm_size = 67108864;  ///< bytes
    std::string ipc_mode = "private";
    std::string cgroupns_mode;  ///< empty: private on v2, host on v1
};

/// Fills in what a create request left open: swap, shm size, ipc and cgroup namespace mode,
/// oom_kill_disable. Names in container: modes are the engine's to resolve.
/// Source: moby daemon/daemon_unix.go, adaptContainerSettings.
void adapt_host_config(model::HostConfig& host, const SysInfo& sysinfo,
                       const HostConfigDefaults& defaults);

using model::joined_container;

}  // namespace dockerd::runtime

#pragma once

#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/plan.hpp>

namespace dockerd::runtime {

/// What plan_container() has to know of this machine. Read once, at the daemon's start.
struct HostFacts {
    bool app_armor = false;
    bool recursive_read_only = false;  ///< mount_setattr(2): Linux 5.12
    bool ping_group_range = false;     ///< the sysctl net.ipv4.ping_group_range exists
    bool unprivileged_port_start = false;
    bool in_user_namespace = false;  ///< the daemon itself runs in one
    /// Paths of CPUs' thermal_throttle folders, which are masked.
    std::vector<std::string> thermal_throttle;
};

/// Looks at /proc and /sys; what cannot be read counts as absent.
HostFacts read_host_facts();

/// The profile of containers that name none and are not privileged.
inline constexpr const char* default_app_armor_profile = "docker-default";

/// Loads the default profile unless the kernel has it (an upgrade of the host may unload it). Call
/// it where HostFacts::app_armor holds, before a container of that profile starts.
///
/// Throws: internal, "AppArmor enabled on system but the docker-default profile could not be
/// loaded: ...".
void ensure_default_app_armor_profile();

/// Docker's default lists, which `create` writes into the HostConfig of a container that is not
/// privileged. Source: moby oci/defaults.go.
std::vector<std::string> default_masked_paths(const HostFacts& facts);
std::vector<std::string> default_read_only_paths();

/// Device nodes of a container and what its cgroup may do with them.
struct GatheredDevices {
    std::vector<DeviceNode> nodes;
    std::vector<DeviceRule> rules;
};

/// Looks up --device mappings on the host; for a privileged container also every node below
/// /dev (not pts, shm, fd, mqueue, console). The rules are complete: Docker's defaults, the
/// mappings, --device-cgroup-rule, then what the runtime allows everyone.
///
/// Throws: internal, `error gathering device information while adding custom device "<path>":
/// <errno text>`; internal, `invalid device cgroup rule format: '<rule>'`.
/// Source: moby daemon/oci_linux.go, WithDevices; runc specconv, AllowedDevices.
GatheredDevices gather_devices(const model::Resources& resources, bool privileged);

/// Whether --device-cgroup-rule has Docker's form, and what it says.
/// Source: moby oci/oci.go, deviceCgroupRuleRegex.
DeviceRule parse_device_rule(const std::string& rule);

/// A new cgroup needs no lifting of limits; an update may lift them (-1).
enum class LimitsFor { create, update };

/// A container's Resources as cgroup limits; device paths become numbers.
///
/// Throws: internal, "stat <path>: <errno text>"; internal, "invalid CPU shares (<n>): value must
/// be a positive integer".
/// Source: moby daemon/oci_linux.go, WithResources; daemon/update_linux.go, toContainerdResources.
CgroupLimits cgroup_limits(const model::Resources& resources, LimitsFor purpose);

struct PlannedContainer;

/// Opens what plan_container() left to open: the trees of binds and of v1 cgroup directories.
///
/// Throws: internal, `error mounting "<source>" to rootfs at "<destination>": <detail>`; internal,
/// "path <p> is mounted on <m> but it is not a shared mount" (or "shared or slave").
void open_sources(PlannedContainer& planned);

/// Opens `subpath` of the volume at `top`, by O_PATH. What a container may have put into a volume
/// leads nowhere else: not at the first look, and not when it is changed at the same time.
///
/// Throws: not_found, "cannot access path <path>: <errno text>"; invalid_argument, "path
/// concatenation escapes the base directory, base: <top>, subpath: <subpath>"; internal.
/// Source: moby internal/safepath, Join.
base::Fd open_subpath(const std::string& top, const std::string& subpath);

}  // namespace dockerd::runtime

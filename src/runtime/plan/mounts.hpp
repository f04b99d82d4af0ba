#pragma once

#include <dockerd/runtime/plan_container.hpp>

namespace dockerd::runtime {

/// Fills in mounts, their sources and the root's propagation.
/// Throws: as plan_container. Source: moby daemon/oci_linux.go, withMounts.
void plan_mounts(const PlanInput& input, PlannedContainer& planned);

}  // namespace dockerd::runtime

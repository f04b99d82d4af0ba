#pragma once

#include <dockerd/runtime/plan_container.hpp>

namespace dockerd::runtime {

/// Fills in mounts, their sources and the root's propagation.
/// Throws: as plan_container. Source: moby daemon/oci_linux.go, withMounts.
void plan_mounts(const PlanInput& input, PlannedContainer& planned);

/// Refuses what would cover /proc or something in it, as far as the destination says so.
/// Throws: StartFailure with the words of Docker's runtime, as its init would fail.
void refuse_mounts_over_proc(const PlanInput& input, const ContainerPlan& plan);

}  // namespace dockerd::runtime

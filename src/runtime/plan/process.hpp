#pragma once

#include <array>
#include <cstdint>
#include <string>

#include <dockerd/runtime/plan_container.hpp>

namespace dockerd::runtime {

/// Empty where the host has no AppArmor. Source: moby daemon/oci_linux.go, WithApparmor.
std::string apparmor_profile(const HostFacts& facts, const SecurityOptions& security,
                             bool privileged);
CapabilitySets capability_sets(CapabilitySet capabilities);
/// From Docker's [height, width].
ConsoleSize console_size(const std::array<std::int64_t, 2>& size);
void set_seccomp(ProcessPlan& process, const SeccompFilterPtr& filter);

}  // namespace dockerd::runtime

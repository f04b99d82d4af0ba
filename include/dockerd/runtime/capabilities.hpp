#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::runtime {

/// A set of capabilities, bit N for capability number N as in capget(2).
using CapabilitySet = std::uint64_t;

/// What this kernel knows and what this process may hand on.
struct CapabilityScope {
    CapabilitySet known = 0;      ///< names the engine and the kernel know
    CapabilitySet available = 0;  ///< of those, what the bounding set of the daemon holds
};

/// Reads /proc/sys/kernel/cap_last_cap and the bounding set, once.
const CapabilityScope& capability_scope();

/// The 14 capabilities a container has by default. Source: moby oci/caps/defaults.go.
CapabilitySet default_capabilities();

/// "CAP_NET_RAW" for 13; empty for a number without a name.
std::string_view capability_name(unsigned number);

/// Bit of "CAP_NET_RAW"; 0 for an unknown name. Case and prefix must be exact.
CapabilitySet capability_bit(std::string_view name);

/// Names of `set`, in order of number.
std::vector<std::string> capability_names(CapabilitySet set);

/// Upper case with "CAP_" in front, "ALL" as it is; checked against `scope`.
///
/// Throws: invalid_argument, `unknown capability: "CAP_X"`; invalid_argument, `capability not
/// supported by your kernel or not available in the current environment: "CAP_X"`.
/// Source: moby oci/caps/utils.go, NormalizeLegacyCapabilities.
std::vector<std::string> normalize_capabilities(const std::vector<std::string>& names,
                                                const CapabilityScope& scope = capability_scope());

/// --cap-add and --cap-drop, normalized.
struct CapabilityLists {
    std::vector<std::string> add;
    std::vector<std::string> drop;
};

/// Checks the two lists of a create request and returns them normalized.
///
/// Throws: invalid_argument, `invalid CapAdd: <detail>` or `invalid CapDrop: <detail>`.
/// Source: moby daemon/container.go, validateCapabilities.
CapabilityLists validate_capabilities(const std::vector<std::string>& add,
                                      const std::vector<std::string>& drop,
                                      const CapabilityScope& scope = capability_scope());

/// The set a container gets: the default one with `add` and `drop` applied, or everything
/// available when it is privileged.
///
/// Differs from Docker: a capability this daemon does not hold itself is left out where Docker's
/// runtime would refuse to start the container.
/// Throws: as normalize_capabilities.
/// Source: moby oci/caps/utils.go, TweakCapabilities.
CapabilitySet container_capabilities(const std::vector<std::string>& add,
                                     const std::vector<std::string>& drop, bool privileged,
                                     const CapabilityScope& scope = capability_scope());

}  // namespace dockerd::runtime

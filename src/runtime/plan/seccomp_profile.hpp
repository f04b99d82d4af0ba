#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/runtime/capabilities.hpp>

namespace dockerd::runtime {

/// A condition on one argument of a syscall.
struct SeccompArgument {
    unsigned index = 0;
    std::uint64_t value = 0;
    std::uint64_t value_two = 0;
    std::string op;  ///< "SCMP_CMP_EQ"
};

/// A rule that applies to this container.
struct SeccompRule {
    std::vector<std::string> names;
    std::string action;  ///< "SCMP_ACT_ALLOW"
    std::optional<std::uint32_t> errno_return;
    std::vector<SeccompArgument> arguments;
};

/// A profile after the choice of rules by architecture, kernel and capabilities.
struct SeccompRules {
    std::string default_action;
    std::optional<std::uint32_t> default_errno;
    std::vector<std::string> architectures;  ///< "SCMP_ARCH_X86_64"
    std::vector<std::string> flags;
    std::vector<SeccompRule> rules;
    /// Capabilities that some condition names: with others the outcome is the same.
    CapabilitySet mentioned = 0;
};

/// Reads a profile and leaves out what does not apply. nullopt: no seccomp at all.
/// Throws: as compile_seccomp.
/// Source: moby profiles/seccomp/seccomp_linux.go, setupSeccomp.
std::optional<SeccompRules> read_seccomp_profile(std::string_view text, CapabilitySet capabilities);

}  // namespace dockerd::runtime

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/runtime/capabilities.hpp>

namespace dockerd::runtime {

/// A compiled filter: an array of struct sock_filter as bytes, and flags for seccomp(2).
struct SeccompFilter {
    std::string program;  ///< 8 bytes an instruction
    std::uint32_t flags = 0;

    [[nodiscard]] std::size_t instructions() const { return program.size() / 8; }
};

/// A filter as the launcher takes it; null when the container runs without one.
using SeccompFilterPtr = std::shared_ptr<const SeccompFilter>;

/// Docker's default profile as JSON, carried inside the program (config/seccomp-default.json).
std::string_view default_seccomp_profile();

/// Compiles a profile in Docker's format, or the plain OCI one, for a container with the bounding
/// set `capabilities`, on this machine's architecture and kernel. Results are kept, keyed by
/// profile and capabilities: the first call costs milliseconds, later ones a lookup.
///
/// As Docker does it: rules for other architectures, kernels or capabilities are left out, names
/// nobody knows are skipped, and syscalls newer than all the profile names get ENOSYS where the
/// profile's default is an errno. Null when the profile has neither rules nor a default action.
///
/// Throws: invalid_argument, "Decoding seccomp profile failed: <detail>"; invalid_argument for
/// contradicting fields; internal, "failed to create task for container: ...: string X is not a
/// valid action for seccomp: unknown" for unknown names, all with Docker's words.
/// Thread: any.
/// Source: moby profiles/seccomp/seccomp_linux.go, setupSeccomp; runc libcontainer/seccomp.
SeccompFilterPtr compile_seccomp(std::string_view profile, CapabilitySet capabilities);

/// What a container asked for.
struct SeccompChoice {
    /// Value of --security-opt seccomp=: empty, "unconfined", "builtin" or the profile's JSON.
    std::string option;
    /// The daemon's --seccomp-profile: empty or "builtin", "unconfined", or the file's content.
    std::string daemon_profile;
    bool privileged = false;
    bool kernel_support = true;
};

/// The filter that choice means. Throws: as compile_seccomp; invalid_argument, "seccomp is not
/// enabled in your kernel, cannot run a custom seccomp profile".
/// Source: moby daemon/seccomp_linux.go, WithSeccomp.
SeccompFilterPtr choose_seccomp(const SeccompChoice& choice, CapabilitySet capabilities);

/// True when this kernel was built with seccomp filters.
bool seccomp_supported();

}  // namespace dockerd::runtime

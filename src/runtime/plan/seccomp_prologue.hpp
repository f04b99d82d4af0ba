#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::runtime {

/// What runs before libseccomp's part of a filter, for each architecture:
/// answers for syscalls libseccomp has no name for, then ENOSYS for numbers above the last one
/// the profile names (so that programs fall back to older calls; EPERM would stop them).
/// Source: runc libcontainer/seccomp/patchbpf.
struct SeccompPrologue {
    struct Architecture {
        std::uint32_t token = 0;  ///< libseccomp's number
        int last = -1;            ///< greatest number the profile names, with the x32 bit
        std::map<std::uint32_t, std::uint32_t> actions;  ///< number to SECCOMP_RET_ value
    };
    bool enosys_above_last = true;
    std::vector<Architecture> architectures;
};

/// The instructions, as bytes; they end where libseccomp's part begins. Empty when there is
/// nothing to do.
std::string build_prologue(const SeccompPrologue& prologue);

/// Number of a syscall added to Linux after Debian 12's libseccomp; -1 for any other name.
int newer_syscall(std::uint32_t token, std::string_view name);

}  // namespace dockerd::runtime

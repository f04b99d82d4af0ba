#pragma once

#include <linux/audit.h>

#include <cstdint>

namespace dockerd::sys {

/// What a filter of system calls sees of a call of this program's own architecture.
#if defined(__x86_64__)
inline constexpr std::uint32_t audit_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
inline constexpr std::uint32_t audit_architecture = AUDIT_ARCH_AARCH64;
#else
#error "filters of system calls need this architecture's AUDIT_ARCH_*"
#endif

}  // namespace dockerd::sys

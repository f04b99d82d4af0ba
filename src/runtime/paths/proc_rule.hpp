#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dockerd::runtime {

/// Where a path lies, as seen from a container's /proc.
enum class ProcPlace : std::uint8_t {
    outside,   ///< somewhere else
    top,       ///< /proc itself
    emulated,  ///< a file of /proc that file systems such as lxcfs replace
    inside,    ///< anything else below /proc
};

/// `path` is absolute and without "." and "..".
/// Source: runc libcontainer/rootfs_linux.go, checkProcMount.
ProcPlace proc_place(std::string_view path);

/// What Docker's runtime says to a mount of the user's at such a place, or nothing when it may be
/// there: only a procfs may cover /proc, and nothing what it shows, for labels and masks are
/// written there. `shown` is the place as seen from the host.
std::string proc_refusal(ProcPlace place, bool is_procfs, std::string_view destination,
                         std::string_view shown);

}  // namespace dockerd::runtime

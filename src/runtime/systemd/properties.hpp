#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sys/types.h>

#include <dockerd/runtime/cgroup.hpp>

namespace dockerd::runtime::systemd {

/// A property of a unit, in the types systemd wants: b, t, s, au, ay.
struct UnitProperty {
    using Value = std::variant<bool, std::uint64_t, std::string, std::vector<std::uint32_t>,
                               std::vector<std::uint8_t>>;
    std::string name;
    Value value;
};

/// The place of `slice` below the mount of cgroup v2: "a-b.slice" is "a.slice/a-b.slice", "-.slice"
/// the root, "". nullopt for what is no name of a slice.
/// Source: systemd.slice(5); runc libcontainer/cgroups/systemd/common.go, ExpandSlice.
std::optional<std::string> slice_path(std::string_view slice);

/// The unit of a container, "docker-<id>.scope".
std::string scope_name(std::string_view id);

/// What a new scope is made with, but for its limits.
/// Source: runc libcontainer/cgroups/systemd/v2.go, Apply.
std::vector<UnitProperty> scope_properties(std::string_view id, std::string_view slice, pid_t pid);

/// What systemd has to know of `limits`, so that it does not write values of its own over them when
/// it is told to reload. It knows some less exactly than the cgroup's files, or not at all: these
/// are written as well. `version` is systemd's; -1 if it is not known.
/// Throws: internal, for a set of CPUs or memory nodes that is none.
/// Source: runc libcontainer/cgroups/systemd/v2.go, genV2ResourcesProperties.
std::vector<UnitProperty> limit_properties(const CgroupLimits& limits, int version);

/// The number in "252.38-1~deb12u1", "v245.4-1"; -1 without one.
int parse_version(std::string_view text);

}  // namespace dockerd::runtime::systemd

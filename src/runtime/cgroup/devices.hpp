#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include <linux/bpf.h>

#include <dockerd/runtime/cgroup.hpp>

#include "impl.hpp"

namespace dockerd::runtime {

/// The outcome of a list of device rules: a default and its exceptions.
///
/// Rules are folded in order, so that what the kernel gets does not depend on rules that cancel
/// each other. Source: runc libcontainer/cgroups/devices, emulator.
class DeviceTable {
public:
    struct Key {
        char type;
        std::int64_t major;
        std::int64_t minor;
        /// Order in which the exceptions are handed to the kernel.
        friend bool operator<(const Key& a, const Key& b) {
            return std::tie(a.major, a.minor, a.type) < std::tie(b.major, b.minor, b.type);
        }
    };
    /// Access bits as in <linux/bpf.h>.
    using Access = std::uint32_t;

    /// Throws: internal, "... cannot punch hole in existing wildcard rule ...", "unknown device
    /// access".
    explicit DeviceTable(const std::vector<DeviceRule>& rules);

    [[nodiscard]] bool allows_by_default() const { return default_allow_; }
    [[nodiscard]] const std::map<Key, Access>& exceptions() const { return exceptions_; }

private:
    void remove(const Key& key, Access access);

    bool default_allow_ = false;
    std::map<Key, Access> exceptions_;
};

/// Writes devices.deny and devices.allow.
void apply_devices_v1(const CgroupDirectory& directory, const std::vector<DeviceRule>& rules);

/// The program the kernel runs for each device access of a v2 cgroup.
std::vector<bpf_insn> build_device_program(const DeviceTable& table);

/// Loads that program and attaches it in place of an earlier one.
/// Throws: internal, "bpf_prog_load: <errno text>".
void apply_devices_v2(const CgroupDirectory& directory, const std::vector<DeviceRule>& rules);

}  // namespace dockerd::runtime

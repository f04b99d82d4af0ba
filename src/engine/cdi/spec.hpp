#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Specifications of the Container Device Interface: which files, nodes and variables a device is
/// in a container.
namespace dockerd::engine::cdi {

/// Source: container-device-interface specs-go, config.go.
struct DeviceNode {
    std::string path, host_path;
    std::string type;  ///< "b", "c", "u", "p" or empty: as the host's
    std::int64_t major = 0, minor = 0;
    std::optional<std::uint32_t> mode, uid, gid;
    std::string permissions;
};
struct Mount {
    std::string host_path, container_path, type;
    std::vector<std::string> options;
};
struct Hook {
    std::string name, path;
};
struct Edits {
    std::vector<std::string> env;
    std::vector<DeviceNode> device_nodes;
    std::vector<Hook> hooks;
    std::vector<Mount> mounts;
    std::vector<std::uint32_t> additional_gids;
    bool intel_rdt = false;

    [[nodiscard]] bool empty() const;
    void append(const Edits& more);
};
struct Device {
    std::string name;
    Edits edits;
};
struct Spec {
    std::string version, kind;
    std::vector<Device> devices;
    Edits edits;
    bool annotated = false;
};

/// Reads and checks a specification, JSON or YAML.
/// Throws: internal, "failed to parse CDI Spec "/etc/cdi/x.json": ...", "invalid CDI Spec: ...".
/// Source: container-device-interface pkg/cdi, spec.go, device.go, container-edits.go.
Spec parse_spec(std::string_view text, const std::string& path);

}  // namespace dockerd::engine::cdi

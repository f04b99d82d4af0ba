#include "go_types.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace dockerd::model {
namespace {

constexpr std::array go_fields{
    GoField{"CreateRequest", "ExposedPorts", "nat.PortSet"},
    GoField{"CreateRequest", "StopTimeout", "int"},
    GoField{"HealthcheckConfig", "Interval", "time.Duration"},
    GoField{"HealthcheckConfig", "Timeout", "time.Duration"},
    GoField{"HealthcheckConfig", "StartPeriod", "time.Duration"},
    GoField{"HealthcheckConfig", "StartInterval", "time.Duration"},
    GoField{"HealthcheckConfig", "Retries", "int"},
    GoField{"HostConfig", "NetworkMode", "container.NetworkMode"},
    GoField{"HostConfig", "PortBindings", "nat.PortMap"},
    GoField{"HostConfig", "CgroupnsMode", "container.CgroupnsMode"},
    GoField{"HostConfig", "IpcMode", "container.IpcMode"},
    GoField{"HostConfig", "Cgroup", "container.CgroupSpec"},
    GoField{"HostConfig", "OomScoreAdj", "int"},
    GoField{"HostConfig", "PidMode", "container.PidMode"},
    GoField{"HostConfig", "UTSMode", "container.UTSMode"},
    GoField{"HostConfig", "UsernsMode", "container.UsernsMode"},
    GoField{"HostConfig", "Isolation", "container.Isolation"},
    GoField{"HostConfig", "BlkioWeight", "uint16", 0, UINT16_MAX},
    GoField{"HostConfig", "BlkioWeightDevice", "[]*blkiodev.WeightDevice"},
    GoField{"HostConfig", "BlkioDeviceReadBps", "[]*blkiodev.ThrottleDevice"},
    GoField{"HostConfig", "BlkioDeviceWriteBps", "[]*blkiodev.ThrottleDevice"},
    GoField{"HostConfig", "BlkioDeviceReadIOps", "[]*blkiodev.ThrottleDevice"},
    GoField{"HostConfig", "BlkioDeviceWriteIOps", "[]*blkiodev.ThrottleDevice"},
    GoField{"HostConfig", "Ulimits", "[]*units.Ulimit"},
    GoField{"UpdateConfig", "BlkioWeight", "uint16", 0, UINT16_MAX},
    GoField{"UpdateConfig", "BlkioWeightDevice", "[]*blkiodev.WeightDevice"},
    GoField{"UpdateConfig", "BlkioDeviceReadBps", "[]*blkiodev.ThrottleDevice"},
    GoField{"UpdateConfig", "BlkioDeviceWriteBps", "[]*blkiodev.ThrottleDevice"},
    GoField{"UpdateConfig", "BlkioDeviceReadIOps", "[]*blkiodev.ThrottleDevice"},
    GoField{"UpdateConfig", "BlkioDeviceWriteIOps", "[]*blkiodev.ThrottleDevice"},
    GoField{"UpdateConfig", "Ulimits", "[]*units.Ulimit"},
    GoField{"RestartPolicy", "Name", "container.RestartPolicyMode"},
    GoField{"RestartPolicy", "MaximumRetryCount", "int"},
    GoField{"WeightDevice", "Weight", "uint16", 0, UINT16_MAX},
    GoField{"DeviceRequest", "Count", "int"},
    GoField{"Mount", "Type", "mount.Type"},
    GoField{"Mount", "Consistency", "mount.Consistency"},
    GoField{"BindOptions", "Propagation", "mount.Propagation"},
    GoField{"TmpfsOptions", "Mode", "fs.FileMode", 0, UINT32_MAX},
    GoField{"NetworkingConfig", "EndpointsConfig", "map[string]*network.EndpointSettings"},
    GoField{"EndpointSettings", "GwPriority", "int"},
    GoField{"EndpointSettings", "IPPrefixLen", "int"},
    GoField{"EndpointSettings", "GlobalIPv6PrefixLen", "int"},
};

}  // namespace

const GoField* find_go_field(std::string_view owner, std::string_view name) {
    const auto found = std::ranges::find_if(go_fields, [&](const GoField& field) {
        return field.owner == owner && field.name == name;
    });
    return found == go_fields.end() ? nullptr : &*found;
}

}  // namespace dockerd::model

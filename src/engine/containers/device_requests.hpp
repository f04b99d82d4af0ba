#pragma once

#include <string>
#include <vector>

#include <dockerd/model/container.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/runtime/plan_container.hpp>

namespace dockerd::engine::cdi {
class Registry;
}

namespace dockerd::engine {

/// What device requests add to a container.
struct InjectedDevices {
    runtime::GatheredDevices devices;
    std::vector<std::string> env;
    std::vector<runtime::ResolvedMount> mounts;
    std::vector<std::string> groups;
};

/// Resolves device requests. The only driver there is is "cdi", if there is a registry.
///
/// Throws: internal, `could not select device driver "" with capabilities: [[gpu]]`,
/// "unexpected count in CDI device request", "CDI device injection failed: ...".
/// Source: moby daemon/devices.go, handleDevice; daemon/cdi.go, injectCDIDevices.
InjectedDevices inject_devices(const model::List<model::DeviceRequest>& requests,
                               cdi::Registry* registry);

/// Adds --device mappings and, for a privileged container, the host's devices; what is there already
/// wins. The rules are complete then.
void add_host_devices(const model::HostConfig& host, runtime::GatheredDevices& injected);

}  // namespace dockerd::engine

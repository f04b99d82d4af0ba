#pragma once

#include <dockerd/api/api.hpp>
#include <dockerd/net/networks.hpp>

#include "config.hpp"
#include "engine/containers/containers.hpp"
#include "engine/images/registries.hpp"
#include "engine/system/system.hpp"

/// From the daemon's configuration to what each part of the engine is told.
namespace dockerd::app {

/// `engine_id` decides which IPv6 subnets networks get by themselves.
/// Throws: invalid_argument, with Docker's words for addresses that are none.
net::NetworksOptions networks_options(const Config& config, const std::string& engine_id);
/// Throws: as `open` for a --seccomp-profile that cannot be read.
std::shared_ptr<engine::cdi::Registry> cdi_registry(const Config& config);
engine::ContainersOptions containers_options(const Config& config,
                                             std::shared_ptr<engine::cdi::Registry> cdi);
/// What containers get that do not say; a reload may change it.
/// Throws: invalid_argument for runtimes that cannot be, in Docker's words.
engine::ContainerDefaults container_defaults(const Config& config);
engine::Runtimes runtimes_of(const Config& config);
engine::SystemOptions system_options(const Config& config, const std::string& engine_id,
                                     std::shared_ptr<engine::cdi::Registry> cdi);
/// What the event of a reload tells. Source: moby daemon/reload.go, reload_unix.go.
engine::EventAttributes reload_attributes(const Config& config, bool unified_cgroups);
/// Whether --metrics-addr shows each container: --feature container-metrics, which is our own.
bool wants_container_metrics(const Config& config);
engine::RegistrySettings registry_settings(const Config& config);
api::ApiOptions api_options(const Config& config);

}  // namespace dockerd::app

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
engine::SystemOptions system_options(const Config& config,
                                     std::shared_ptr<engine::cdi::Registry> cdi);
engine::RegistrySettings registry_settings(const Config& config);
api::ApiOptions api_options(const Config& config);

}  // namespace dockerd::app

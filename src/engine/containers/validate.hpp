#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>
#include <dockerd/net/networks.hpp>

/// Checks of a create request that need no kernel: pure functions with Docker's texts.
namespace dockerd::engine {

/// Cleans WorkingDir and checks environment, stop signal and health check.
/// Throws: invalid_argument. Source: moby daemon/container.go, validateContainerConfig.
void validate_config(model::ContainerConfig& config);

/// Throws: invalid_argument. Source: moby daemon/container.go, validateHostConfig.
void validate_host_config(const model::HostConfig& host, std::vector<std::string>& warnings);

/// Networks that do not exist yet are checked as far as that goes.
/// Throws: invalid_argument. Source: moby daemon/create.go, validateNetworkingConfig.
void validate_networking(const model::NetworkingConfig& networking, const net::Networks& networks);

/// What a container is to have on one network.
/// Throws: invalid_argument. Source: moby daemon/container_operations.go, updateNetworkConfig.
void validate_endpoint(const std::string& network, const model::EndpointSettings& settings,
                       const net::Networks& networks);

/// Throws: invalid_argument. Source: moby api/types/container/hostconfig.go, ValidateRestartPolicy.
void validate_restart_policy(const model::RestartPolicy& policy);

/// Fills in the daemon's default driver and options, and checks what the driver takes.
/// Throws: invalid_argument. Source: moby daemon/logs.go, mergeAndVerifyLogConfig.
void check_log_config(model::LogConfig& config, const std::string& default_driver,
                      const model::StringMap& default_options);

/// How long a graceful end of the daemon waits for its containers; nullopt is for ever.
/// Units: seconds, -1 for ever, in both arguments.
std::optional<std::chrono::seconds> shutdown_patience(
    std::chrono::seconds configured, const std::vector<std::int64_t>& stop_timeouts);

}  // namespace dockerd::engine

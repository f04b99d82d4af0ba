#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>

namespace dockerd::model {

/// Body of POST /containers/create: the configuration flat, with the host's half beside it.
struct ContainerCreate {
    /// False for an empty object or null: "config cannot be empty".
    bool has_config = false;
    ContainerConfig config;
    std::optional<HostConfig> host_config;
    std::optional<NetworkingConfig> networking_config;
    /// Set by the API for clients older than 1.44: a read-only bind does not cover what is
    /// mounted below it. Not part of the JSON. Source: moby api/types/backend,
    /// ContainerCreateConfig.DefaultReadOnlyNonRecursive.
    bool default_read_only_non_recursive = false;
    /// Of a step of a build: the id its container is to have. It is noted beforehand and goes with the
    /// build, so nothing of it has to survive a power cut. Not part of the JSON.
    std::string step_id;
};

/// Body of POST /containers/{id}/update.
struct ContainerUpdate {
    Resources resources;
    RestartPolicy restart_policy;
};

/// Body of POST /containers/{id}/exec.
struct ExecCreate {
    std::string user;
    bool privileged = false;
    bool tty = false;
    std::optional<std::array<std::int64_t, 2>> console_size;
    bool attach_stdin = false;
    bool attach_stderr = false;
    bool attach_stdout = false;
    std::string detach_keys;
    Strings env;
    std::string working_dir;
    Strings cmd;
};

/// Body of POST /exec/{id}/start.
struct ExecStart {
    bool detach = false;
    bool tty = false;
    std::optional<std::array<std::int64_t, 2>> console_size;
};

/// What a volume of a swarm's cluster is like. Only its presence is looked at.
struct ClusterVolumeSpec {};

/// Body of POST /volumes/create.
struct VolumeCreate {
    std::optional<ClusterVolumeSpec> cluster_volume_spec;
    std::string name;
    std::string driver;
    StringMap driver_opts;
    StringMap labels;
};

/// Body of POST /auth, and the decoded X-Registry-Auth header.
struct AuthConfig {
    std::string username;
    std::string password;
    std::string auth;
    std::string email;
    std::string server_address;
    std::string identity_token;
    std::string registry_token;
};

}  // namespace dockerd::model

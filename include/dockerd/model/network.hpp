#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <dockerd/model/collections.hpp>

namespace dockerd::model {

/// Addresses a client asks for on one network.
struct EndpointIpamConfig {
    std::string ipv4_address;
    std::string ipv6_address;
    Strings link_local_ips;
};

/// A container's place on one network, as asked for and as it came out.
/// Source: API document, EndpointSettings.
struct EndpointSettings {
    std::optional<EndpointIpamConfig> ipam_config;
    Strings links;
    Strings aliases;
    std::string mac_address;
    StringMap driver_opts;
    std::int64_t gw_priority = 0;
    std::string network_id;
    std::string endpoint_id;
    std::string gateway;
    std::string ip_address;
    std::int64_t ip_prefix_len = 0;
    std::string ipv6_gateway;
    std::string global_ipv6_address;
    std::int64_t global_ipv6_prefix_len = 0;
    Strings dns_names;
};

/// The `NetworkingConfig` of a create request. A null value in the map is a default one.
struct NetworkingConfig {
    Map<EndpointSettings> endpoints_config;
};

struct IpamConfig {
    std::string subnet;
    std::string ip_range;
    std::string gateway;
    StringMap aux_address;
};

struct Ipam {
    std::string driver;
    StringMap options;
    List<IpamConfig> config;
};

/// Body of POST /networks/create. Unset switches take the version's default.
struct NetworkCreate {
    std::string name;
    /// Read by no version this daemon serves.
    std::optional<bool> check_duplicate;
    std::string driver;
    std::string scope;
    std::optional<bool> enable_ipv4;
    std::optional<bool> enable_ipv6;
    std::optional<Ipam> ipam;
    bool internal = false;
    bool attachable = false;
    bool ingress = false;
    bool config_only = false;
    std::string config_from;
    StringMap options;
    StringMap labels;
};

/// Body of POST /networks/{id}/connect.
struct NetworkConnect {
    std::string container;
    std::optional<EndpointSettings> endpoint_config;
};

/// Body of POST /networks/{id}/disconnect.
struct NetworkDisconnect {
    std::string container;
    bool force = false;
};

}  // namespace dockerd::model

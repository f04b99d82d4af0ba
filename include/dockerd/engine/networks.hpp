#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/engine/types.hpp>
#include <dockerd/model/filters.hpp>
#include <dockerd/model/network.hpp>

namespace dockerd::engine {

/// A container's place in a network.
struct NetworkEndpoint {
    std::string name;
    std::string endpoint_id;
    std::string mac_address;
    std::string ipv4_address;  ///< with prefix length
    std::string ipv6_address;
};

/// Source: API document, Network.
struct NetworkDetails {
    std::string name;
    std::string id;
    base::WallTime created;
    std::string scope;
    std::string driver;
    bool enable_ipv4 = true;
    bool enable_ipv6 = false;
    model::Ipam ipam;
    bool internal = false;
    bool attachable = false;
    bool ingress = false;
    std::string config_from;
    bool config_only = false;
    std::map<std::string, NetworkEndpoint> containers;
    model::StringMap options;
    model::StringMap labels;
};

/// Everything the API asks about networks. `reference` is an id, a name or an id prefix.
class NetworkService {
public:
    virtual ~NetworkService() = default;

    struct CreateResult {
        std::string id;
        std::string warning;
    };
    /// Each as the API operation of its name.
    virtual std::vector<NetworkDetails> list(const model::Filters& filters) = 0;
    virtual NetworkDetails inspect(std::string_view reference, const std::string& scope) = 0;
    virtual CreateResult create(const model::NetworkCreate& request) = 0;
    virtual void remove(std::string_view reference) = 0;
    virtual void connect(std::string_view reference, const model::NetworkConnect& request) = 0;
    virtual void disconnect(std::string_view reference,
                            const model::NetworkDisconnect& request) = 0;
    virtual std::vector<std::string> prune(const model::Filters& filters) = 0;
};

}  // namespace dockerd::engine

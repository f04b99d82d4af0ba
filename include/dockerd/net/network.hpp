#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/time.hpp>
#include <dockerd/model/network.hpp>
#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// One container's place on a network, as `GET /networks/{id}` lists it.
struct NetworkMember {
    std::string container_id;
    std::string name;  ///< the container's, without slash
    std::string endpoint_id;
    std::string mac_address;
    std::string ipv4_address;  ///< with prefix length, "" when none
    std::string ipv6_address;
};

/// A network with everything `GET /networks` shows.
/// Source: API document, Network; moby daemon/network.go, buildNetworkResource.
struct NetworkRecord {
    std::string name;
    std::string id;
    base::WallTime created;
    std::string scope = "local";
    std::string driver;
    bool enable_ipv4 = true;
    bool enable_ipv6 = false;
    model::Ipam ipam;
    std::vector<std::string> static_subnets;  ///< those of `ipam` that a user asked for
    bool internal = false;
    bool attachable = false;
    bool ingress = false;
    bool config_only = false;
    std::string config_from;
    model::StringMap options;
    model::StringMap labels;
    std::vector<NetworkMember> members;
};

/// Where network records outlive the daemon. Keys are those of local-kv.db without the common
/// head "docker/network/v1.0/" ("network/<id>/", "bridge/<id>/", "endpoint_count/<id>/"); values
/// are the JSON texts without the eight counter bytes.
///
/// Thread: called by one thread at a time.
/// Source: moby libnetwork/datastore.
class NetworkStore {
public:
    virtual ~NetworkStore() = default;

    /// Everything stored, empty when there is nothing yet.
    virtual std::map<std::string, std::string> load() = 0;
    /// Replaces everything stored; durable on return.
    virtual void save(const std::map<std::string, std::string>& records) = 0;
};

/// A store that keeps nothing: tests, and daemons without a data root.
class MemoryNetworkStore : public NetworkStore {
public:
    std::map<std::string, std::string> load() override { return records_; }
    void save(const std::map<std::string, std::string>& records) override { records_ = records; }

private:
    std::map<std::string, std::string> records_;
};

/// Names no user may take: "bridge", "host", "none", "default".
bool is_predefined_network(std::string_view name);

}  // namespace dockerd::net

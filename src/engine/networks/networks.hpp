#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/engine/networks.hpp>
#include <dockerd/net/networks.hpp>
#include <dockerd/store/kv.hpp>

#include "events/events.hpp"

namespace dockerd::engine {

/// network/files/local-kv.db as the network module wants it.
class KvNetworkStore final : public net::NetworkStore {
public:
    explicit KvNetworkStore(store::KvFile& file) : file_(file) {}
    std::map<std::string, std::string> load() override;
    void save(const std::map<std::string, std::string>& records) override;

private:
    store::KvFile& file_;
};

/// The API's view of networks.
class NetworkManager final : public NetworkService {
public:
    NetworkManager(net::Networks& networks, Events& events)
        : networks_(networks), events_(events) {}

    /// Connecting and disconnecting change containers: whoever keeps those does it.
    using ChangeEndpoint =
        std::function<void(const net::NetworkRecord& network, const model::NetworkConnect&)>;
    using RemoveEndpoint =
        std::function<void(const net::NetworkRecord& network, const model::NetworkDisconnect&)>;
    void set_endpoint_changes(ChangeEndpoint connect, RemoveEndpoint disconnect);
    /// Names of networks that existing containers refer to, for the `dangling` filter and prune.
    void set_usage(std::function<std::vector<std::string>()> used_network_names);

    std::vector<NetworkDetails> list(const model::Filters& filters) override;
    NetworkDetails inspect(std::string_view reference, const std::string& scope) override;
    CreateResult create(const model::NetworkCreate& request) override;
    void remove(std::string_view reference) override;
    void connect(std::string_view reference, const model::NetworkConnect& request) override;
    void disconnect(std::string_view reference, const model::NetworkDisconnect& request) override;
    std::vector<std::string> prune(const model::Filters& filters) override;

private:
    net::Networks& networks_;
    Events& events_;
    ChangeEndpoint connect_;
    RemoveEndpoint disconnect_;
    std::function<std::vector<std::string>()> used_network_names_;
};

}  // namespace dockerd::engine

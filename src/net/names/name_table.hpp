#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dockerd/net/address.hpp>

namespace dockerd::net {

/// The names of one endpoint on its network; the first is the one its addresses are known by.
struct EndpointNames {
    std::string endpoint_id;
    std::vector<std::string> names;
    IpAddress ipv4;
    IpAddress ipv6;
};

/// A container's place on one network, as far as names go.
struct NamePlace {
    std::string network_id;
    std::string network_name;
    /// Links: what only this container calls another one, and that one's name.
    std::map<std::string, std::string, std::less<>> aliases;
    std::int64_t priority = 0;
    bool internal = false;
    unsigned gateways = 0;  ///< how many families lead outside
};

/// Puts places in the order in which they are searched.
/// Source: moby libnetwork/sandbox.go, Endpoint.Less.
void sort_places(std::vector<NamePlace>& places);

/// The names of all networks' endpoints.
///
/// Thread: the owner's lock.
/// Source: moby libnetwork/network.go, svcRecords; sandbox.go, ResolveName and ResolveIP.
class NameTable {
public:
    void add(const std::string& network_id, const EndpointNames& endpoint);
    /// Nothing happens when it is not there.
    void remove(const std::string& network_id, const std::string& endpoint_id);

    /// The addresses behind a name in text form, with its last dot or without: "web.", "web.net.".
    /// nullopt: no network of `places` knows it. No addresses: it is known in the other family.
    [[nodiscard]] std::optional<std::vector<IpAddress>> resolve(
        const std::vector<NamePlace>& places, std::string_view name, bool v6) const;
    /// "web.net" of an address; "" when no network of `places` has it.
    [[nodiscard]] std::string name_of(const std::vector<NamePlace>& places,
                                      const IpAddress& address) const;

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>()(text);
        }
    };
    /// An address, and the endpoint that has the name.
    struct Entry {
        std::string endpoint_id;
        IpAddress ipv4;
        IpAddress ipv6;
    };
    struct Network {
        std::unordered_map<std::string, std::vector<Entry>, TextHash, std::equal_to<>> names;
        std::map<IpAddress, std::vector<std::pair<std::string, std::string>>> reverse;
        std::map<std::string, EndpointNames> endpoints;
    };
    using Found = std::optional<std::vector<IpAddress>>;

    [[nodiscard]] Found resolve_in(const std::vector<NamePlace>& places, std::string_view name,
                                   std::string_view lower, std::string_view network,
                                   bool v6) const;
    [[nodiscard]] Found lookup(const std::string& network_id, std::string_view lower,
                               bool v6) const;

    std::unordered_map<std::string, Network> networks_;
};

}  // namespace dockerd::net

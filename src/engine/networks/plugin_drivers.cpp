#include "networks/plugin_drivers.hpp"

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/json.hpp>

#include "networks/plugin_ipam.hpp"
#include "plugin_answer.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

using plugin_answer::field;
using plugin_answer::text;
using Json = plugin_answer::Json;

constexpr const char* kind = "NetworkDriver";

constexpr const char* generic_key = "com.docker.network.generic";
constexpr const char* exposed_key = "com.docker.network.endpoint.exposedports";
constexpr const char* mapped_key = "com.docker.network.portmap";

int protocol_number(const std::string& name) { return name == "tcp" ? 6 : name == "udp" ? 17 : 132; }

/// Source: moby libnetwork/types, TransportPort and PortBinding.
Json encode(const net::DriverPorts& ports) {
    Json exposed = Json::array();
    for (const std::string& port : ports.exposed) {
        const auto slash = port.find('/');
        const auto number = base::parse_int(port.substr(0, slash));
        exposed.push_back({{"Proto", protocol_number(port.substr(slash + 1))},
                           {"Port", number.value_or(0)}});
    }
    Json mapped = Json::array();
    for (const net::PortMapping& port : ports.published) {
        mapped.push_back({{"Proto", static_cast<int>(port.protocol)},
                          {"IP", ""},
                          {"Port", port.container_port},
                          {"HostIP", port.host_ip.str()},
                          {"HostPort", port.host_port},
                          {"HostPortEnd", port.host_port_end}});
    }
    return {{exposed_key, std::move(exposed)}, {mapped_key, std::move(mapped)}};
}

Json encode(std::span<const net::DriverSubnet> subnets) {
    Json out = Json::array();
    for (const net::DriverSubnet& subnet : subnets) {
        Json one{{"AddressSpace", subnet.space}, {"Pool", subnet.pool.str()}};
        if (subnet.gateway) one["Gateway"] = subnet.gateway.str();
        for (const auto& [name, address] : subnet.aux) one["AuxAddresses"][name] = address.str();
        out.push_back(std::move(one));
    }
    return out;
}

[[noreturn]] void bad(const std::string& text) { base::fail(ErrorKind::internal, text); }

/// Source: moby libnetwork/drivers/remote/driver.go, parseInterface.
net::DriverInterface decode_interface(const Json& answer) {
    net::DriverInterface out;
    const Json* const interface = field(answer, "Interface");
    if (interface == nullptr) return out;
    const auto prefix = [&](const char* name) {
        const std::string given = text(*interface, name);
        const auto parsed = net::IpPrefix::parse(given);
        if (!given.empty() && !parsed) bad("invalid CIDR address: " + given);
        return parsed.value_or(net::IpPrefix());
    };
    out.ipv4 = prefix("Address");
    out.ipv6 = prefix("AddressIPv6");
    if (const std::string given = text(*interface, "MacAddress"); !given.empty()) {
        const auto mac = net::MacAddress::parse(given);
        if (!mac) bad(fmt::format("address {}: invalid MAC address", given));
        out.mac = *mac;
    }
    return out;
}

/// Source: moby libnetwork/drivers/remote/driver.go, Join and parseStaticRoutes.
net::DriverJoin decode_join(const Json& answer) {
    net::DriverJoin out;
    if (const Json* const name = field(answer, "InterfaceName"); name != nullptr) {
        out.source = text(*name, "SrcName");
        out.prefix = text(*name, "DstPrefix");
    }
    const auto address = [&](const char* name) {
        const std::string given = text(answer, name);
        const auto parsed = net::IpAddress::parse(given);
        if (!given.empty() && !parsed) {
            bad(fmt::format("unable to parse {} {}", name, base::quote(given)));
        }
        return parsed.value_or(net::IpAddress());
    };
    out.gateway = address("Gateway");
    out.ipv6_gateway = address("GatewayIPv6");
    const Json* const routes = field(answer, "StaticRoutes");
    if (routes == nullptr || !routes->is_array()) return out;
    for (const Json& item : *routes) {
        const std::string to = text(item, "Destination");
        const auto destination = net::IpPrefix::parse(to);
        if (!destination) bad("invalid CIDR address: " + to);
        net::DriverJoin::Route route{.destination = destination->masked(), .next_hop = {}};
        if (const std::string hop = text(item, "NextHop"); !hop.empty()) {
            const auto parsed = net::IpAddress::parse(hop);
            if (!parsed) bad(fmt::format("failed to parse nexthop IP {}", hop));
            route.next_hop = *parsed;
        }
        out.routes.push_back(route);
    }
    return out;
}

class PluginNetworkDriver final : public net::NetworkDriver {
public:
    explicit PluginNetworkDriver(plugins::PluginPtr plugin) : plugin_(std::move(plugin)) {}

    /// Source: moby libnetwork/drivers/remote/driver.go, getCapabilities.
    void check_capabilities() const {
        const Json answer = ask("GetCapabilities");
        for (const char* name : {"Scope", "ConnectivityScope"}) {
            const std::string scope = text(answer, name);
            const bool may_lack = std::string_view(name) == "ConnectivityScope" && scope.empty();
            if (scope == "local" || scope == "global" || may_lack) continue;
            bad("invalid capability: expecting 'local' or 'global', got " + text(answer, "Scope"));
        }
    }

    void create_network(const net::NetworkRecord& network, std::span<const net::DriverSubnet> v4,
                        std::span<const net::DriverSubnet> v6) override {
        Json options{{"com.docker.network.enable_ipv4", network.enable_ipv4},
                     {"com.docker.network.enable_ipv6", network.enable_ipv6},
                     {generic_key, Json::object()}};
        for (const auto& [name, value] : network.options) options[generic_key][name] = value;
        if (network.internal) options["com.docker.network.internal"] = true;
        (void)ask("CreateNetwork", {{"NetworkID", network.id},
                                    {"Options", std::move(options)},
                                    {"IPv4Data", encode(v4)},
                                    {"IPv6Data", encode(v6)}});
    }
    void delete_network(const std::string& network) override {
        (void)ask("DeleteNetwork", {{"NetworkID", network}});
    }
    net::DriverInterface create_endpoint(const std::string& network, const std::string& endpoint,
                                         const net::DriverInterface& interface,
                                         const net::DriverPorts& ports,
                                         const model::StringMap& options) override {
        Json all = encode(ports);
        for (const auto& [name, value] : options) all[name] = value;
        Json request = names(network, endpoint);
        request["Interface"] = {
            {"Address", interface.ipv4.str()},
            {"AddressIPv6", interface.ipv6.str()},
            {"MacAddress", interface.mac.is_none() ? "" : interface.mac.str()}};
        request["Options"] = std::move(all);
        const Json answer = ask("CreateEndpoint", request);
        return undone_if_bad("DeleteEndpoint", network, endpoint,
                             [&] { return decode_interface(answer); });
    }
    void delete_endpoint(const std::string& network, const std::string& endpoint) override {
        (void)ask("DeleteEndpoint", names(network, endpoint));
    }
    void ask_endpoint(const std::string& network, const std::string& endpoint) override {
        (void)ask("EndpointOperInfo", names(network, endpoint));
    }
    net::DriverJoin join(const std::string& network, const std::string& endpoint,
                         const std::string& sandbox_key, const net::DriverPorts& ports) override {
        Json request = names(network, endpoint);
        request["SandboxKey"] = sandbox_key;
        request["Options"] = encode(ports);
        const Json answer = ask("Join", request);
        return undone_if_bad("Leave", network, endpoint, [&] { return decode_join(answer); });
    }
    void leave(const std::string& network, const std::string& endpoint) override {
        (void)ask("Leave", names(network, endpoint));
    }
    void open_outside(const std::string& network, const std::string& endpoint,
                      const net::DriverPorts& ports) override {
        Json request = names(network, endpoint);
        request["Options"] = encode(ports);
        request["Options"]["com.docker.network.driver.private.no_proxy_6to4"] = false;
        ask_if_known("ProgramExternalConnectivity", request);
    }
    void close_outside(const std::string& network, const std::string& endpoint) override {
        ask_if_known("RevokeExternalConnectivity", names(network, endpoint));
    }

private:
    static Json names(const std::string& network, const std::string& endpoint) {
        return {{"NetworkID", network}, {"EndpointID", endpoint}};
    }

    [[nodiscard]] Json ask(const std::string& method, const Json& request = nullptr) const {
        return plugin_answer::ask_remote(*plugin_, std::string(kind) + "." + method, request,
                                         "Err");
    }
    /// Drivers need not have these methods.
    void ask_if_known(const std::string& method, const Json& request) const {
        try {
            (void)ask(method, request);
        } catch (const plugins::Refused& error) {
            if (error.status() != 404) throw;
        }
    }
    /// An answer that makes no sense: what the driver did for it is taken back.
    template <typename Decode>
    auto undone_if_bad(const char* undo, const std::string& network, const std::string& endpoint,
                       Decode decode) const -> decltype(decode()) {
        try {
            return decode();
        } catch (const base::Error& error) {
            try {
                (void)ask(undo, names(network, endpoint));
            } catch (const base::Error& failure) {
                bad(fmt::format("{}; failed to roll back: {}", failure.what(), error.what()));
            }
            bad(std::string(error.what()) + "; rolled back");
        }
    }

    plugins::PluginPtr plugin_;
};

}  // namespace

net::IpamDriverPtr PluginNetworkDrivers::ipam(const std::string& name) {
    {
        const base::Lock lock(mutex_);
        if (const auto found = ipams_.find(name); found != ipams_.end()) return found->second;
    }
    auto driver = make_plugin_ipam(registry_.get(name, "IpamDriver"));
    const base::Lock lock(mutex_);
    auto& known = ipams_[name];
    if (!known) known = std::move(driver);
    return known;
}

net::NetworkDriverPtr PluginNetworkDrivers::get(const std::string& name) {
    {
        const base::Lock lock(mutex_);
        if (const auto found = drivers_.find(name); found != drivers_.end()) return found->second;
    }
    auto driver = std::make_shared<PluginNetworkDriver>(registry_.get(name, kind));
    try {
        driver->check_capabilities();
    } catch (const base::Error& error) {
        base::log::error("error getting capability for {} due to {}", name, error.what());
        bad(fmt::format("could not resolve driver {} in registry", name));
    }
    const base::Lock lock(mutex_);
    auto& known = drivers_[name];
    if (!known) known = std::move(driver);
    return known;
}

}  // namespace dockerd::engine

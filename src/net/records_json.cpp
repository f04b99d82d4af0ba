#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>

#include "networks_impl.hpp"

namespace dockerd::net {

namespace log = base::log;

namespace {

using Json = nlohmann::json;  // keys sorted, as Go writes maps

constexpr const char* generic_key = "com.docker.network.generic";

std::string text_of(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool bool_of(const Json& json, const char* key, bool otherwise = false) {
    const auto found = json.find(key);
    return found != json.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

model::StringMap strings_of(const Json& json, const char* key) {
    model::StringMap out;
    const auto found = json.find(key);
    if (found == json.end() || !found->is_object()) return out;
    out.given = true;
    for (const auto& [name, value] : found->items()) {
        if (value.is_string()) out[name] = value.get<std::string>();
    }
    return out;
}

Json json_of(const model::StringMap& map) {
    if (map.is_null()) return nullptr;
    Json out = Json::object();
    for (const auto& [name, value] : map) out[name] = value;
    return out;
}

/// Go's text of a net.IP.
std::string go_address(const IpAddress& address) { return address ? address.str() : "<nil>"; }

/// What was asked for, as `ipamV4Config`: JSON within a string.
std::string encode_configs(const std::vector<NetworkSubnet>& subnets) {
    Json out = Json::array();
    for (const NetworkSubnet& subnet : subnets) {
        Json config{{"PreferredPool", subnet.configured ? subnet.subnet.str() : ""},
                    {"SubPool", subnet.range.str()},
                    {"Gateway", subnet.gateway_configured ? subnet.gateway.str() : ""},
                    {"AuxAddresses", nullptr}};
        for (const auto& [name, address] : subnet.aux) {
            config["AuxAddresses"][name] = address.str();
        }
        out.push_back(std::move(config));
    }
    return out.dump();
}

/// What was allocated, as `ipamV4Info`: JSON within a string within a string.
std::string encode_infos(const std::vector<NetworkSubnet>& subnets, const std::string& space) {
    Json out = Json::array();
    for (const NetworkSubnet& subnet : subnets) {
        Json data{{"AddressSpace", space}, {"Pool", subnet.subnet.str()}};
        if (subnet.gateway) data["Gateway"] = subnet.gateway_prefix().str();
        for (const auto& [name, address] : subnet.aux) {
            data["AuxAddresses"][name] = IpPrefix{address, subnet.subnet.bits}.str();
        }
        std::string pool = subnet.pool_id;
        if (pool.empty()) {
            pool = space + "/" + subnet.subnet.str();
            if (subnet.range) pool += "/" + subnet.range.str();
        }
        out.push_back({{"IPAMData", data.dump()}, {"PoolID", pool}});
    }
    return out.dump();
}

/// What `ipamV4Config` says of one subnet.
void decode_config(const Json& config, NetworkSubnet& out) {
    out.configured = !text_of(config, "PreferredPool").empty();
    out.gateway_configured = !text_of(config, "Gateway").empty();
    out.range = IpPrefix::parse(text_of(config, "SubPool")).value_or(IpPrefix());
    for (const auto& [name, text] : strings_of(config, "AuxAddresses")) {
        if (const auto address = IpAddress::parse(text)) out.aux[name] = *address;
    }
}

/// What `ipamV4Info` says of one subnet; false when it has no pool. With `foreign` the pool is of an IPAM
/// driver, which may be anything.
bool decode_info(const Json& info, bool foreign, NetworkSubnet& out) {
    const Json data = Json::parse(text_of(info, "IPAMData"), nullptr, false);
    if (!data.is_object()) return false;
    const auto pool = IpPrefix::parse(text_of(data, "Pool"));
    if (!pool || (pool->bits == 0 && !foreign)) return false;
    out.subnet = pool->masked();
    if (const auto gateway = IpPrefix::parse(text_of(data, "Gateway"))) {
        out.gateway = gateway->address;
        if (foreign && gateway->bits != pool->bits) out.gateway_bits = gateway->bits;
    }
    if (foreign) out.pool_id = text_of(info, "PoolID");
    return true;
}

/// The subnets of a family. A configuration network has taken none: what it says is all there is.
std::vector<NetworkSubnet> decode_subnets(const Json& json, const char* config_key,
                                          const char* info_key) {
    std::vector<NetworkSubnet> out;
    const Json configs = Json::parse(text_of(json, config_key), nullptr, false);
    if (bool_of(json, "configOnly")) {
        for (const Json& config : configs.is_array() ? configs : Json::array()) {
            NetworkSubnet subnet;
            decode_config(config, subnet);
            subnet.subnet =
                IpPrefix::parse(text_of(config, "PreferredPool")).value_or(IpPrefix()).masked();
            subnet.gateway = IpAddress::parse(text_of(config, "Gateway")).value_or(IpAddress());
            if (subnet.configured) out.push_back(std::move(subnet));
        }
        return out;
    }
    const Json infos = Json::parse(text_of(json, info_key), nullptr, false);
    for (std::size_t i = 0; infos.is_array() && i < infos.size(); ++i) {
        NetworkSubnet subnet;
        if (configs.is_array() && i < configs.size()) decode_config(configs[i], subnet);
        const bool foreign = !is_builtin_ipam(text_of(json, "ipamType"));
        if (decode_info(infos[i], foreign, subnet)) out.push_back(std::move(subnet));
    }
    return out;
}

Json bridge_record(const Network& network) {
    const BridgeSettings& bridge = network.bridge;
    const NetworkRecord& record = network.record;
    const auto gateway = [](const std::vector<NetworkSubnet>& subnets, const char* name) {
        if (subnets.empty()) return std::string("<nil>");
        const auto found = subnets.front().aux.find(name);
        return found == subnets.front().aux.end() ? std::string("<nil>") : found->second.str();
    };
    std::string trusted;
    for (const std::string& name : bridge.trusted_interfaces) {
        trusted += (trusted.empty() ? "" : ":") + name;
    }
    // All of these must be there: Docker's decoder takes their presence for granted.
    Json out{
        {"ID", record.id},
        {"BridgeName", bridge.name},
        {"EnableIPv4", record.enable_ipv4},
        {"EnableIPv6", record.enable_ipv6},
        {"EnableIPMasquerade", bridge.masquerade},
        {"GwModeIPv4", gateway_mode_name(bridge.mode4)},
        {"GwModeIPv6", gateway_mode_name(bridge.mode6)},
        {"EnableICC", bridge.icc},
        {"TrustedHostInterfaces", trusted},
        {"InhibitIPv4", bridge.inhibit_ipv4},
        {"Mtu", bridge.mtu},
        {"Internal", record.internal},
        {"DefaultBridge", bridge.default_bridge},
        {"DefaultBindingIP", go_address(bridge.binding_ip)},
        {"HostIP", go_address(bridge.snat4)},
        {"HostIPv6", go_address(bridge.snat6)},
        {"DefaultGatewayIPv4", gateway(network.v4, "DefaultGatewayIPv4")},
        {"DefaultGatewayIPv6", gateway(network.v6, "DefaultGatewayIPv6")},
        {"ContainerIfacePrefix", bridge.interface_prefix == "eth" ? "" : bridge.interface_prefix},
        {"BridgeIfaceCreator", bridge.creator}};
    // Without a gateway the bridge's address is the pool's, as the driver begins with.
    const auto address = [](const NetworkSubnet& subnet) {
        return subnet.gateway ? subnet.gateway_prefix().str() : subnet.subnet.str();
    };
    if (!network.v4.empty()) out["AddressIPv4"] = address(network.v4.front());
    if (!network.v6.empty()) out["AddressIPv6"] = address(network.v6.front());
    return out;
}

/// Source: moby libnetwork/drivers/macvlan/macvlan_store.go, MarshalJSON, and ipvlan's.
Json sublink_record(const Network& network) {
    const SublinkSettings& sublink = *network.sublink;
    const bool macvlan = sublink.kind == SublinkSettings::Kind::macvlan;
    Json out{{"ID", network.record.id},
             {"Mtu", 0},
             {"Parent", sublink.parent},
             {macvlan ? "MacvlanMode" : "IpvlanMode", sublink.mode},
             {"Internal", sublink.internal},
             {"CreatedSubIface", sublink.created_parent}};
    if (!macvlan) out["IpvlanFlag"] = sublink.flag;
    const auto add_subnets = [&](const char* name, const std::vector<NetworkSubnet>& subnets) {
        if (subnets.empty()) return;
        Json list = Json::array();
        for (const NetworkSubnet& subnet : subnets) {
            list.push_back({{"SubnetIP", subnet.subnet.str()},
                            {"GwIP", subnet.gateway ? subnet.gateway_prefix().str() : "<nil>"}});
        }
        out[name] = list.dump();
    };
    add_subnets("Ipv4Subnets", network.v4);
    add_subnets("Ipv6Subnets", network.v6);
    return out;
}

/// Where the driver keeps its own record.
std::string sublink_key(const Network& network) {
    return fmt::format("{}/network/{}/", network.record.driver, network.record.id);
}

/// The driver's part of a macvlan or ipvlan network; false when it is not understood.
bool decode_sublink(const std::map<std::string, std::string>& records, Network& network) {
    try {
        network.sublink =
            parse_sublink(network.record.driver, network.record.options, network.record.internal);
    } catch (const base::Error&) {
        return false;
    }
    if (!network.sublink) return false;
    if (network.sublink->parent.empty()) {
        network.sublink->parent = dummy_parent(network.sublink->kind, network.record.id);
    }
    const auto found = records.find(sublink_key(network));
    if (found == records.end()) return true;
    const Json own = Json::parse(found->second, nullptr, false);
    if (own.is_object()) network.sublink->created_parent = bool_of(own, "CreatedSubIface");
    return true;
}

Json network_record(const Network& network) {
    const NetworkRecord& record = network.record;
    Json generic{{generic_key, json_of(record.options)},
                 {"com.docker.network.enable_ipv4", record.enable_ipv4},
                 {"com.docker.network.enable_ipv6", record.enable_ipv6}};
    if (record.internal) generic["com.docker.network.internal"] = true;
    Json out{{"name", record.name},
             {"id", record.id},
             {"created", base::format_rfc3339_nano(record.created)},
             {"networkType", record.driver},
             {"scope", record.scope},
             {"labels", json_of(record.labels)},
             {"ipamType", record.ipam.driver},
             {"ipamOptions", json_of(record.ipam.options)},
             {"addrSpace", network.space},
             {"enableIPv4", record.enable_ipv4},
             {"enableIPv6", record.enable_ipv6},
             {"generic", generic},
             {"persist", true},
             {"internal", record.internal},
             {"attachable", record.attachable},
             {"inDelete", false},
             {"ingress", record.ingress},
             {"configOnly", record.config_only},
             {"configFrom", record.config_from},
             {"loadBalancerIP", ""},
             {"loadBalancerMode", "NAT"},
             {"skipGwAllocIPv4", network.is_without_gateway(/*v6=*/false)},
             {"skipGwAllocIPv6", network.is_without_gateway(/*v6=*/true)}};
    if (!network.v4.empty()) {
        out["ipamV4Config"] = encode_configs(network.v4);
        if (!record.config_only) out["ipamV4Info"] = encode_infos(network.v4, network.space);
    }
    if (!network.v6.empty()) {
        out["ipamV6Config"] = encode_configs(network.v6);
        if (!record.config_only) out["ipamV6Info"] = encode_infos(network.v6, network.space);
    }
    return out;
}

Network decode_network(const Json& json) {
    Network out;
    NetworkRecord& record = out.record;
    record.name = text_of(json, "name");
    record.id = text_of(json, "id");
    record.created = base::parse_rfc3339(text_of(json, "created")).value_or(base::WallTime());
    record.driver = text_of(json, "networkType");
    record.scope = text_of(json, "scope");
    // Older records have none; local networks were all there were.
    if (record.scope.empty()) record.scope = "local";
    record.labels = strings_of(json, "labels");
    record.ipam.driver = text_of(json, "ipamType");
    record.ipam.options = strings_of(json, "ipamOptions");
    record.enable_ipv4 = bool_of(json, "enableIPv4", true);
    record.enable_ipv6 = bool_of(json, "enableIPv6");
    record.internal = bool_of(json, "internal");
    record.attachable = bool_of(json, "attachable");
    record.ingress = bool_of(json, "ingress");
    record.config_only = bool_of(json, "configOnly");
    record.config_from = text_of(json, "configFrom");
    if (const auto generic = json.find("generic"); generic != json.end() && generic->is_object()) {
        record.options = strings_of(*generic, generic_key);
    }
    record.options.given = true;
    out.ipam_plugin = !record.config_only && !is_builtin_ipam(record.ipam.driver);
    if (out.ipam_plugin) out.space = text_of(json, "addrSpace");
    out.v4 = decode_subnets(json, "ipamV4Config", "ipamV4Info");
    out.v6 = decode_subnets(json, "ipamV6Config", "ipamV6Info");
    return out;
}

}  // namespace

std::map<std::string, std::string> encode_network(const Network& network) {
    if (!network.foreign.empty()) return network.foreign;
    const std::string& id = network.record.id;
    std::map<std::string, std::string> out;
    out["network/" + id + "/"] = network_record(network).dump();
    out["endpoint_count/" + id + "/"] = Json{{"Count", 0}}.dump();
    if (network.record.driver == "bridge" && !network.bridge.name.empty()) {
        out["bridge/" + id + "/"] = bridge_record(network).dump();
    }
    if (network.sublink) out[sublink_key(network)] = sublink_record(network).dump();
    return out;
}

std::vector<Network> decode_networks(const std::map<std::string, std::string>& records) {
    std::vector<Network> out;
    for (const auto& [key, text] : records) {
        if (!key.starts_with("network/") || key.size() <= 9) continue;
        const Json json = Json::parse(text, nullptr, false);
        if (!json.is_object() || text_of(json, "id").empty()) {
            log::warn("network record {} cannot be read, ignoring", key);
            continue;
        }
        Network network = decode_network(json);
        const std::string& driver = network.record.driver;
        const bool known = driver == "bridge" || driver == "host" || driver == "null";
        network.plugin = !is_builtin_driver(driver);
        if (!network.record.config_only && !known && !network.plugin &&
            !decode_sublink(records, network)) {
            // Not ours to understand: every record of it is kept as it is.
            for (const auto& [other, value] : records) {
                if (other.find("/" + network.record.id) != std::string::npos) {
                    network.foreign[other] = value;
                }
            }
        } else if (const auto found = records.find("bridge/" + network.record.id + "/");
                   found != records.end()) {
            const Json bridge = Json::parse(found->second, nullptr, false);
            if (const auto creator = bridge.find("BridgeIfaceCreator");
                bridge.is_object() && creator != bridge.end() && creator->is_number_integer()) {
                network.bridge.creator = creator->get<int>();
            }
        }
        network.record.ipam = shown_ipam(network);
        network.record.static_subnets = static_subnets(network);
        out.push_back(std::move(network));
    }
    return out;
}

namespace {

model::IpamConfig shown_config(const NetworkSubnet& subnet) {
    model::IpamConfig out;
    out.subnet = subnet.subnet.str();
    out.ip_range = subnet.range.str();
    if (!subnet.configured || subnet.gateway_configured) out.gateway = subnet.gateway.str();
    if (!subnet.configured) return out;
    for (const auto& [name, address] : subnet.aux) out.aux_address[name] = address.str();
    return out;
}

}  // namespace

model::Ipam shown_ipam(const Network& network) {
    model::Ipam out;
    out.driver = network.record.ipam.driver.empty() ? "default" : network.record.ipam.driver;
    out.options = network.record.ipam.options;
    // Docker shows what was asked for, and then what it chose where nothing was.
    for (const bool configured : {true, false}) {
        for (const std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
            for (const NetworkSubnet& subnet : *subnets) {
                if (subnet.configured == configured) out.config.push_back(shown_config(subnet));
                out.config.given = true;
            }
        }
    }
    return out;
}

void given_is_asked_for(Network& network) {
    for (std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
        for (NetworkSubnet& subnet : *subnets) {
            subnet.configured = true;
            if (subnet.gateway) subnet.gateway_configured = true;
        }
    }
    network.record.ipam = shown_ipam(network);
}

std::vector<std::string> static_subnets(const Network& network) {
    std::vector<std::string> out;
    for (const std::vector<NetworkSubnet>* subnets : {&network.v4, &network.v6}) {
        for (const NetworkSubnet& subnet : *subnets) {
            if (subnet.configured) out.push_back(subnet.subnet.str());
        }
    }
    return out;
}

std::string encode_sandbox(const SandboxState& sandbox) {
    Json endpoints = Json::array();
    for (const EndpointInfo& endpoint : sandbox.endpoints) {
        Json ports = Json::array();
        for (const PublishedPort& port : endpoint.ports) {
            ports.push_back({{"protocol", static_cast<int>(port.protocol)},
                             {"container_port", port.container_port},
                             {"container_ip", port.container_ip.str()},
                             {"host_ip", port.host_ip.str()},
                             {"host_port", port.host_port}});
        }
        const auto priority = sandbox.priorities.find(endpoint.endpoint_id);
        endpoints.push_back(
            {{"id", endpoint.endpoint_id},
             {"network_id", endpoint.network_id},
             {"network_name", endpoint.network_name},
             {"driver", endpoint.driver},
             {"ipv4", endpoint.ipv4.str()},
             {"ipv6", endpoint.ipv6.str()},
             {"gateway", endpoint.gateway.str()},
             {"ipv6_gateway", endpoint.ipv6_gateway.str()},
             {"mac", endpoint.mac.str()},
             {"leads_by_link", endpoint.leads_by_link},
             {"interface", endpoint.interface},
             {"host_interface", endpoint.host_interface},
             {"source_interface", endpoint.source_interface},
             {"opened_outside", endpoint.opened_outside},
             {"priority", priority == sandbox.priorities.end() ? 0 : priority->second},
             {"ports", std::move(ports)},
             {"dns_names", endpoint.dns_names},
             {"links", endpoint.links}});
    }
    Json servers;
    if (sandbox.dns.servers) {
        servers = Json::array();
        for (const IpAddress& address : *sandbox.dns.servers) servers.push_back(address.str());
    }
    return Json{{"format", 1},
                {"id", sandbox.id},
                {"key", sandbox.key},
                {"host", sandbox.host},
                {"next_interface", sandbox.endpoints.size()},  // for earlier daemons
                {"dns_servers", std::move(servers)},
                {"ndots_set", sandbox.dns.ndots_set},
                {"resolver_udp", sandbox.resolver_ports.udp},
                {"resolver_tcp", sandbox.resolver_ports.tcp},
                {"endpoints", std::move(endpoints)}}
        .dump();
}

void decode_sandbox(std::string_view text, SandboxState& sandbox) {
    try {
        const Json json = Json::parse(text);
        sandbox.id = json.at("id").get<std::string>();
        sandbox.key = json.at("key").get<std::string>();
        sandbox.host = json.at("host").get<bool>();
        // Daemons before this one had no resolver.
        sandbox.resolver_ports = {json.value("resolver_udp", std::uint16_t{0}),
                                  json.value("resolver_tcp", std::uint16_t{0})};
        sandbox.dns.ndots_set = bool_of(json, "ndots_set");
        if (const auto servers = json.find("dns_servers");
            servers != json.end() && servers->is_array()) {
            sandbox.dns.servers.emplace();
            for (const Json& server : *servers) {
                const auto address = IpAddress::parse(server.get<std::string>());
                if (address) sandbox.dns.servers->push_back(*address);
            }
        }
        for (const Json& item : json.at("endpoints")) {
            EndpointInfo endpoint;
            endpoint.endpoint_id = item.at("id").get<std::string>();
            endpoint.network_id = item.at("network_id").get<std::string>();
            endpoint.network_name = item.at("network_name").get<std::string>();
            endpoint.driver = item.at("driver").get<std::string>();
            endpoint.ipv4 = IpPrefix::parse(text_of(item, "ipv4")).value_or(IpPrefix());
            endpoint.ipv6 = IpPrefix::parse(text_of(item, "ipv6")).value_or(IpPrefix());
            endpoint.gateway = IpAddress::parse(text_of(item, "gateway")).value_or(IpAddress());
            endpoint.ipv6_gateway =
                IpAddress::parse(text_of(item, "ipv6_gateway")).value_or(IpAddress());
            endpoint.mac = MacAddress::parse(text_of(item, "mac")).value_or(MacAddress());
            endpoint.leads_by_link = bool_of(item, "leads_by_link");
            endpoint.interface = text_of(item, "interface");
            endpoint.host_interface = text_of(item, "host_interface");
            endpoint.source_interface = text_of(item, "source_interface");
            endpoint.opened_outside = bool_of(item, "opened_outside");
            sandbox.priorities[endpoint.endpoint_id] = item.at("priority").get<std::int64_t>();
            endpoint.dns_names = item.value("dns_names", std::vector<std::string>());
            endpoint.links = item.value("links", NetworkLinks());
            for (const Json& port : item.at("ports")) {
                endpoint.ports.push_back(
                    {static_cast<Protocol>(port.at("protocol").get<std::uint8_t>()),
                     port.at("container_port").get<std::uint16_t>(),
                     IpAddress::parse(text_of(port, "container_ip")).value_or(IpAddress()),
                     IpAddress::parse(text_of(port, "host_ip")).value_or(IpAddress()),
                     port.at("host_port").get<std::uint16_t>()});
            }
            sandbox.endpoints.push_back(std::move(endpoint));
        }
    } catch (const Json::exception& error) {
        base::fail(base::ErrorKind::internal,
                   fmt::format("saved network state cannot be read: {}", error.what()));
    }
}

}  // namespace dockerd::net

#include "networks.hpp"

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "../params.hpp"
#include "documents.hpp"

namespace dockerd::api::codec {

using http::ApiVersion;

static void put(Text& out, const engine::NetworkEndpoint& endpoint) {
    Object{out}("Name", endpoint.name)("EndpointID", endpoint.endpoint_id)(
        "MacAddress", endpoint.mac_address)("IPv4Address", endpoint.ipv4_address)(
        "IPv6Address", endpoint.ipv6_address);
}

namespace {

void put_network(Text& out, const engine::NetworkDetails& network, bool with_containers) {
    Object object(out);
    object("Name", network.name);
    object("Id", network.id);
    object("Created", network.created);
    object("Scope", network.scope);
    object("Driver", network.driver);
    object("EnableIPv4", network.enable_ipv4);
    object("EnableIPv6", network.enable_ipv6);
    object("IPAM", network.ipam);
    object("Internal", network.internal);
    object("Attachable", network.attachable);
    object("Ingress", network.ingress);
    Object{object.key("ConfigFrom")}("Network", network.config_from);
    object("ConfigOnly", network.config_only);
    Text& containers = object.key("Containers");
    if (with_containers) {
        put_map(containers, network.containers);
    } else {
        containers.raw("{}");
    }
    object("Options", network.options);
    object("Labels", network.labels);
}

}  // namespace

std::string encode_networks(const std::vector<engine::NetworkDetails>& networks,
                            ApiVersion version) {
    Text out;
    out.raw('[');
    bool first = true;
    for (const auto& network : networks) {
        if (!first) out.raw(',');
        first = false;
        put_network(out, network, version < ApiVersion{1, 28});
    }
    out.raw(']');
    return out.take_line();
}

std::string encode_network(const engine::NetworkDetails& network) {
    Text out;
    put_network(out, network, /*with_containers=*/true);
    return out.take_line();
}

std::string encode_network_created(const engine::NetworkService::CreateResult& result) {
    Text out;
    Object{out}("Id", result.id)("Warning", result.warning);
    return out.take_line();
}

std::string encode_network_prune(const std::vector<std::string>& deleted) {
    Text out;
    Object{out}("NetworksDeleted", NullWhenEmpty{deleted});
    return out.take_line();
}

model::Filters decode_network_filters(const http::Request& request) {
    model::Filters filters = filters_param(request);
    // Source: moby api/types/network/network.go, acceptedFilters.
    filters.validate({"dangling", "driver", "id", "label", "name", "scope", "type"});
    return filters;
}

model::NetworkCreate decode_network_create(const http::Request& request) {
    auto create = read_json<model::NetworkCreate>(request).value_or(model::NetworkCreate{});
    if (request.version < ApiVersion{1, 48}) create.enable_ipv4.reset();
    return create;
}

void check_network_inspect(const http::Request& request) { check_bool_param(request, "verbose"); }

}  // namespace dockerd::api::codec

#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/networks.hpp>
#include <dockerd/http/message.hpp>
#include <dockerd/model/requests.hpp>

/// Answers and requests about networks.
namespace dockerd::api::codec {

/// GET /networks; from 1.28 on without the containers. Source: moby api/types/network, Inspect.
std::string encode_networks(const std::vector<engine::NetworkDetails>& networks,
                            http::ApiVersion version);
std::string encode_network(const engine::NetworkDetails& network);
std::string encode_network_created(const engine::NetworkService::CreateResult& result);
std::string encode_network_prune(const std::vector<std::string>& deleted);

/// Throws: invalid_argument, "invalid filter 'x'".
model::Filters decode_network_filters(const http::Request& request);
model::NetworkCreate decode_network_create(const http::Request& request);
/// Throws: invalid_argument, `invalid value for verbose: x: strconv.ParseBool: ...`.
void check_network_inspect(const http::Request& request);

}  // namespace dockerd::api::codec

#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/volumes.hpp>
#include <dockerd/http/message.hpp>

#include "text.hpp"

/// Answers and requests about volumes.
namespace dockerd::api::codec {

/// GET /volumes. Source: moby api/types/volume, ListResponse and Volume.
std::string encode_volumes(const engine::VolumeList& list);
std::string encode_volume(const engine::Volume& volume);
/// The list of /system/df, with UsageData.
void put_volume_usage(Text& out, const std::vector<engine::Volume>& volumes);
std::string encode_volume_prune(const engine::VolumeService::PruneResult& result);

/// Before 1.42 named volumes are pruned as well.
model::Filters decode_volume_prune(const http::Request& request);

}  // namespace dockerd::api::codec

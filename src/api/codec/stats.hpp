#pragma once

#include <string>

#include <dockerd/engine/stats.hpp>
#include <dockerd/http/message.hpp>

namespace dockerd::api::codec {

struct StatsCall {
    bool stream = true;
    /// One sample, without waiting for a second one to compare with.
    bool one_shot = false;
};
/// Throws: invalid_argument, "cannot have stream=true and one-shot=true".
StatsCall decode_stats(const http::Request& request);

/// One object of GET /containers/{name}/stats. `previous` is the sample before; a default one
/// stands for none. `named`: with the container's name and id.
/// Source: moby api/types/container/stats.go, StatsResponse.
std::string encode_stats(const engine::StatsSample& sample, const engine::StatsSample& previous,
                         bool named);

}  // namespace dockerd::api::codec

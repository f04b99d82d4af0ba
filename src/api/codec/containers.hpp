#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/containers.hpp>
#include <dockerd/http/message.hpp>

#include "text.hpp"

/// Answers about containers and execs.
namespace dockerd::api::codec {

using http::ApiVersion;

/// GET /containers/{name}/json. Source: moby api/types/container, InspectResponse.
std::string encode_inspect(const engine::ContainerSnapshot& container, ApiVersion version);

/// GET /containers/json. Source: moby api/types/container, Summary.
std::string encode_list(const std::vector<engine::ContainerSummary>& containers,
                        ApiVersion version);
/// The same list inside another answer.
void put_list(Text& out, const std::vector<engine::ContainerSummary>& containers,
              ApiVersion version);

std::string encode_created(const std::string& id, const std::vector<std::string>& warnings);
std::string encode_update(const std::vector<std::string>& warnings);
/// GET /containers/{name}/changes. Source: moby/go-archive changes.go, Change.
std::string encode_changes(const std::vector<engine::FileChange>& changes);
std::string encode_top(const engine::TopResult& top);
std::string encode_wait(const engine::WaitResult& result);
std::string encode_prune(const engine::ContainerService::PruneResult& result);

/// `{"Id":"..."}`: exec create, commit.
std::string encode_id(const std::string& id);
/// GET /exec/{id}/json. Source: moby api/types/backend, ExecInspect.
std::string encode_exec(const engine::ExecSnapshot& exec);

}  // namespace dockerd::api::codec

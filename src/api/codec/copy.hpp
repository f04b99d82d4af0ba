#pragma once

#include <string>

#include <dockerd/engine/containers.hpp>
#include <dockerd/http/message.hpp>

/// Headers of `docker cp`.
namespace dockerd::api::codec {

/// X-Docker-Container-Path-Stat before base64. Source: moby api/types/container, PathStat.
std::string encode_path_stat(const engine::PathStat& stat);
/// The form of an answer the client likes best. Source: golang/gddo httputil,
/// NegotiateContentEncoding.
engine::ContentEncoding decode_content_encoding(const http::Request& request);

}  // namespace dockerd::api::codec

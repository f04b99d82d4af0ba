#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/images.hpp>
#include <dockerd/http/message.hpp>

#include "text.hpp"

/// Answers and requests about images.
namespace dockerd::api::codec {

using http::ApiVersion;

/// GET /images/json. Source: moby api/types/image/summary.go.
std::string encode_images(const std::vector<engine::ImageSummary>& images, ApiVersion version);
/// The list of /system/df.
void put_image_usage(Text& out, const std::vector<engine::ImageSummary>& images,
                     ApiVersion version);
/// GET /images/{name}/json. Source: moby api/types/image/image_inspect.go.
std::string encode_image(const engine::ImageDetails& image, ApiVersion version);
std::string encode_history(const std::vector<engine::ImageHistoryItem>& history);
std::string encode_deleted(const std::vector<engine::ImageDeleteItem>& items);
std::string encode_image_prune(const engine::ImagePruneResult& result);

engine::ImageService::ListOptions decode_image_list(const http::Request& request);
/// The `platform` parameter, JSON of an OCI platform, as "linux/arm64"; empty before API `since`.
/// Throws: invalid_argument, "failed to parse platform: ...", "both OS and Architecture must be
///         provided".
std::string decode_platform(const http::Request& request, ApiVersion since);
/// The same for inspect, which refuses it beside `manifests`.
std::string decode_image_inspect(const http::Request& request);
/// The same for save and load, which refuse several of them.
/// Throws: invalid_argument, "multiple platform parameters not supported".
std::string decode_one_platform(const http::Request& request);
/// The `platforms` of a removal. Throws: invalid_argument, "multiple platforms are not supported".
std::string decode_removed_platform(const http::Request& request);
engine::ImportOptions decode_import(const http::Request& request, const std::string& source);

/// One line of a progress stream, with its "\r\n". Source: moby pkg/jsonmessage, JSONMessage.
std::string encode_progress(const engine::Progress& progress);
/// The line that ends a stream in failure; `code` is left out when it is 0.
/// Source: moby pkg/streamformatter, FormatError.
std::string encode_stream_error(std::string_view message, std::int64_t code = 0);

}  // namespace dockerd::api::codec

#pragma once

#include <string>
#include <vector>

#include <dockerd/engine/events.hpp>
#include <dockerd/engine/build.hpp>
#include <dockerd/engine/system.hpp>
#include <dockerd/http/message.hpp>

#include "text.hpp"

/// Answers and requests about the daemon as a whole.
namespace dockerd::api::codec {

using http::ApiVersion;

/// GET /version, the same for every version. Source: moby api/types/types.go, Version.
std::string encode_version(const engine::VersionInfo& version, ApiVersion oldest,
                           bool experimental);

/// GET /info. Source: moby api/types/system/info.go and system_routes.go, getInfo.
std::string encode_info(const engine::SystemInfo& info, ApiVersion version, bool experimental);

/// Which lists GET /system/df is asked for.
struct DiskUsageCall {
    bool containers = true;
    bool images = true;
    bool volumes = true;
    bool build_cache = true;
};
/// Throws: invalid_argument, "unknown object type: x".
DiskUsageCall decode_disk_usage(const http::Request& request);
std::string encode_disk_usage(const engine::DiskUsage& usage,
                              const std::vector<engine::BuildCacheEntry>& caches,
                              const DiskUsageCall& call, ApiVersion version);

struct EventsCall {
    engine::EventQuery query;
    /// Events the client's version does not know are left out.
    bool image_create = true;
};
/// Throws: internal for times that cannot be read, as Docker does; invalid_argument for filters
/// and for since after until.
EventsCall decode_events(const http::Request& request);
/// Appends one event and a newline. Source: moby api/types/events, Message.
void put_event(Text& out, const engine::Event& event);
bool is_wanted(const engine::Event& event, const EventsCall& call);

}  // namespace dockerd::api::codec

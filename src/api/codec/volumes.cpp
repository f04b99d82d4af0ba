#include "volumes.hpp"

#include "../params.hpp"

namespace dockerd::api::codec {
namespace {

/// Seconds only. Source: moby volume/service/convert.go, volumeToAPIType.
base::WallTime whole_seconds(base::WallTime time) { return {time.seconds(), 0}; }

void put_volume(Text& out, const engine::Volume& volume, bool usage) {
    Object object(out);
    object("CreatedAt", whole_seconds(volume.created_at));
    object("Driver", volume.driver);
    object("Labels", volume.labels);
    object("Mountpoint", volume.mountpoint);
    object("Name", volume.name);
    object("Options", volume.options);
    object("Scope", volume.scope);
    if (!volume.status.empty()) object("Status", Raw{volume.status});
    if (usage) {
        Object{object.key("UsageData")}("RefCount", volume.reference_count)(
            "Size", volume.size.value_or(-1));
    }
}

void put_volumes(Text& out, const std::vector<engine::Volume>& volumes, bool usage) {
    out.raw('[');
    bool first = true;
    for (const auto& volume : volumes) {
        if (!first) out.raw(',');
        first = false;
        put_volume(out, volume, usage);
    }
    out.raw(']');
}

}  // namespace

std::string encode_volumes(const engine::VolumeList& list) {
    Text out;
    {
        Object object(out);
        put_volumes(object.key("Volumes"), list.volumes, /*usage=*/false);
        if (list.warnings.empty()) {
            object("Warnings", nullptr);
        } else {
            object("Warnings", list.warnings);
        }
    }
    return out.take_line();
}

std::string encode_volume(const engine::Volume& volume) {
    Text out;
    put_volume(out, volume, /*usage=*/false);
    return out.take_line();
}

void put_volume_usage(Text& out, const std::vector<engine::Volume>& volumes) {
    put_volumes(out, volumes, /*usage=*/true);
}

std::string encode_volume_prune(const engine::VolumeService::PruneResult& result) {
    Text out;
    Object{out}("VolumesDeleted", result.deleted)("SpaceReclaimed", result.space_reclaimed);
    return out.take_line();
}

model::Filters decode_volume_prune(const http::Request& request) {
    model::Filters filters = filters_param(request);
    if (request.version < http::ApiVersion{1, 42}) filters.add("all", "true");
    return filters;
}

}  // namespace dockerd::api::codec

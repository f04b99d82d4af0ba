#include <fmt/format.h>

#include <dockerd/base/log.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"

namespace dockerd::engine {

namespace {

/// What a bind shows is there, or made.
// Source: moby volume/mounts/mounts.go, Setup.
void prepare_bind(const store::MountPointRecord& point) {
    if (sys::exists(point.source)) return;
    if (point.skip_mountpoint_creation) {
        base::fail(base::ErrorKind::invalid_argument,
                   "invalid mount config for type \"bind\": bind source path does not exist: " +
                       point.source);
    }
    base::in_context(fmt::format("error while creating mount source path '{}'", point.source),
                     [&] { sys::make_directories(point.source, 0755); });
}

}  // namespace

/// Notes in `mounted` what unmount_sources() has to undo, also when it throws.
void Containers::mount_sources(Container& container, std::vector<HeldMount>& mounted) {
    for (auto& [destination, point] : container.record.mount_points) {
        if (point.type == "volume") {
            point.source = mount_volume(point);
            mounted.push_back({HeldMount::Kind::volume, point.name, point.driver, point.id});
            parts_.events.volume_mounted(point.name, point.driver, container.id, destination,
                                         point.rw, point.propagation);
        } else if (point.type == "image") {
            mount_image(container.id, point);
            mounted.push_back({HeldMount::Kind::image, point.id, {}, {}});
        } else if (point.type == "bind") {
            prepare_bind(point);
        }
    }
}

void Containers::unmount_sources(const std::string& id, std::vector<HeldMount>& mounted) noexcept {
    for (const auto& mount : mounted) {
        const bool is_image = mount.kind == HeldMount::Kind::image;
        try {
            if (is_image) {
                parts_.layers.unmount_rw(mount.name);
            } else {
                parts_.volumes.unmount(mount.name, mount.driver, mount.id);
            }
        } catch (const std::exception& error) {
            base::log::warn("container {}: unmount {} {}, ignoring: {}", id,
                            is_image ? "image" : "volume", mount.name, error.what());
        }
        if (!is_image) parts_.events.volume_unmounted(mount.name, mount.driver, id);
    }
    mounted.clear();
}

// Source: moby volume/mounts/mounts.go, Setup.
std::string Containers::mount_volume(const store::MountPointRecord& point) {
    return base::in_context(
        fmt::format("error while mounting volume '{}'", point.source),
        [&] { return parts_.volumes.mount(point.name, point.driver, point.id); });
}

/// Gives the container a layer of its own on `chain_id`, of which it will see a read-only view.
/// Mounts of one image share it.
///
/// Differs from Docker: the layer is named by the image's id. Docker names it as the image was
/// named, and finds a name with a slash in it no more after the daemon's restart.
// Source: moby daemon/volumes.go, registerMountPoints.
void Containers::attach_image(const std::string& container, const std::string& chain_id,
                              store::MountPointRecord& point, store::Batch& batch) {
    const std::string& image = point.spec.source;
    point.id = fmt::format("{}-{}", container, image.substr(image.find(':') + 1));
    point.rw = false;
    auto& layers = parts_.layers;
    if (!layers.has_rw(point.id)) {
        layers.create_rw(point.id, chain_id, {.init_layer = false}, batch);
    }
    const auto places = layers.rw_metadata(point.id);
    // Without layers below nothing is mounted.
    point.source = places.at(places.contains("LowerDir") ? "MergedDir" : "UpperDir");
}

void Containers::mount_image(const std::string& container, store::MountPointRecord& point) {
    if (!parts_.layers.has_rw(point.id)) {
        // Lost by another engine: the image has it still.
        const auto image = parts_.images.get(point.spec.source);
        store::Batch batch;
        attach_image(container, image->chain_id, point, batch);
        batch.commit(parts_.files.directory(container).get());
    }
    point.source = parts_.layers.mount_rw(point.id).path;
}

/// Not durable by itself, as store::Layers::remove_rw.
void Containers::remove_image_layers(const store::ContainerRecord& record) {
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type != "image" || !parts_.layers.has_rw(point.id)) continue;
        (void)parts_.layers.remove_rw(point.id);
    }
}

}  // namespace dockerd::engine

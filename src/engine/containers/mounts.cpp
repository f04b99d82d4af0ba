#include <fmt/format.h>
#include <sys/stat.h>

#include <fcntl.h>

#include <set>
#include <utility>

#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "mount_parser.hpp"

namespace dockerd::engine {
namespace {

/// Makes or finds the volume a mount point names, lets the container hold it, and fills in where
/// it lies.
void attach_volume(Volumes& volumes, const std::string& container, store::MountPointRecord& point) {
    model::VolumeCreate request;
    request.name = point.name;
    request.driver = point.driver;
    if (point.spec.volume_options) {
        request.labels = point.spec.volume_options->labels;
        if (point.spec.volume_options->driver_config) {
            request.driver_opts = point.spec.volume_options->driver_config->options;
        }
    }
    const Volume volume = volumes.hold(request, container);
    point.name = volume.name;
    point.driver = volume.driver;
    point.source = volume.mountpoint;
    if (volume.driver == local_driver) {
        // Source: moby daemon/volumes_unix.go, setBindModeIfNull.
        if (point.mode.empty()) point.mode = "z";
    } else {
        point.id = base::random_id();
    }
}

/// Docker marks an anonymous volume in the labels that were asked for, where there are any: they
/// are shown so in HostConfig.Mounts.
// Source: moby volume/service/service.go, Create.
void mark_anonymous(model::Mount& mount) {
    if (mount.type != "volume" || !mount.source.empty() || !mount.volume_options) return;
    auto& labels = mount.volume_options->labels;
    if (!labels.is_null()) labels.emplace(anonymous_label, "");
}

/// Docker answers what is wrong with a text of Binds as a failure of its own: 500.
store::MountPointRecord requested_bind(const std::string& text, const std::string& driver) {
    try {
        return parse_bind(text, driver);
    } catch (const base::Error& error) {
        base::fail(base::ErrorKind::internal, error.what());
    }
}

/// A bind of what holds the daemon's mounts must not keep them alive in the container: it has to
/// receive unmounts.
// Source: moby daemon/volumes_linux.go, validateBindDaemonRoot.
void check_data_root(store::MountPointRecord& point, const std::string& data_root) {
    if (point.type != "bind") return;
    const auto& source = point.spec.source;
    if (!touches_data_root(source, data_root)) return;
    const std::string asked =
        point.spec.bind_options ? point.spec.bind_options->propagation : std::string();
    if (asked.empty()) {
        point.propagation = "rslave";
    } else if (asked != "rslave" && asked != "rshared") {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("invalid mount config: must use either propagation mode \"rslave\" "
                               "or \"rshared\" when mount source is within the daemon root, "
                               "daemon root: {}, bind mount source: {}, propagation: {}",
                               base::quote(data_root), base::quote(source), base::quote(asked)));
    }
}

/// What the container sees of the volume; empty when the volume has no such subpath, which the
/// start then says.
base::Fd open_to_populate(const std::string& path, const store::MountPointRecord& point) {
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    base::Fd top;
    if (point.spec.volume_options && !point.spec.volume_options->subpath.empty()) {
        try {
            top = runtime::open_subpath(path, point.spec.volume_options->subpath);
        } catch (const base::Error& error) {
            if (error.kind() == base::ErrorKind::not_found) return {};
            throw;
        }
    } else {
        top.reset(::open(path.c_str(), O_PATH | O_CLOEXEC));
        if (!top) base::throw_errno(errno, "open " + path);
    }
    base::Fd directory{::openat(top.get(), ".", flags)};
    if (!directory) base::throw_errno(errno, "open " + path);
    return directory;
}

}  // namespace

/// The mounts of `--volumes-from`; what the container asks for itself comes in their place later.
void Containers::take_mounts_of_others(store::ContainerRecord& record, store::Batch& batch) {
    for (const auto& text : record.host_config.volumes_from) {
        const auto [reference, mode] = parse_volumes_from(text);
        ContainerRef source;
        try {
            source = index_.get(reference);
        } catch (const base::Error& error) {
            base::fail(base::ErrorKind::invalid_argument, error.what());
        }
        const base::Lock lock(source->operation);
        for (auto [destination, point] : source->record.mount_points) {
            point.rw = point.rw && is_read_write(mode);
            point.spec.read_only = !point.rw;
            point.mode.clear();
            point.skip_mountpoint_creation = false;
            if (point.type == "volume") {
                (void)parts_.volumes.restore_hold(point.name, record.id);
                if (!point.id.empty()) point.id = base::random_id();
            }
            if (point.type == "image") {
                attach_image(record.id, parts_.layers.rw_parent(point.id), point, batch);
            }
            // The last one named has the place.
            const auto before = std::exchange(record.mount_points[destination], point);
            give_back(record, before);
        }
    }
}

/// Lets go of what had the place of another mount, unless it is mounted elsewhere as well.
void Containers::give_back(const store::ContainerRecord& record,
                           const store::MountPointRecord& replaced) {
    const auto held = [](const store::MountPointRecord& point) {
        return point.type == "image" ? point.id : point.name;
    };
    for (const auto& [destination, point] : record.mount_points) {
        if (held(point) == held(replaced)) return;
    }
    if (replaced.type == "volume") parts_.volumes.release(replaced.name, record.id);
    if (replaced.type == "image") (void)parts_.layers.remove_rw(replaced.id);
}

/// Returns where mounts of other containers are: nothing of the image is copied into those.
// Source: moby daemon/volumes.go, registerMountPoints.
std::set<std::string> Containers::register_mounts(store::ContainerRecord& record,
                                                  ReadOnlyBinds read_only_binds,
                                                  store::Batch& batch) {
    take_mounts_of_others(record, batch);
    auto& host = record.host_config;
    const auto others = record.mount_points;
    std::set<std::string> taken;
    const auto add = [&](store::MountPointRecord point) {
        if (!taken.insert(point.destination).second) {
            throw errors::duplicate_mount_point(point.destination);
        }
        if (point.type == "volume") attach_volume(parts_.volumes, record.id, point);
        if (point.type == "image") {
            const auto image = parts_.images.get(point.source);
            point.name = std::exchange(point.spec.source, image->id);
            attach_image(record.id, image->chain_id, point, batch);
        }
        if (point.type == "bind" && !point.rw && read_only_binds == ReadOnlyBinds::top_only) {
            if (!point.spec.bind_options) point.spec.bind_options.emplace();
            point.spec.bind_options->read_only_non_recursive = true;
        }
        record.mount_points[point.destination] = std::move(point);
    };
    for (const auto& text : host.binds) {
        auto point = requested_bind(text, host.volume_driver);
        check_data_root(point, options_.data_root);
        if (host.tmpfs.contains(point.destination)) {
            throw errors::duplicate_mount_point(point.destination);
        }
        add(std::move(point));
    }
    for (auto& mount : host.mounts) {
        auto point = parse_mount(mount, CheckSource::yes);
        check_data_root(point, options_.data_root);
        const bool creates = mount.bind_options && mount.bind_options->create_mountpoint;
        point.skip_mountpoint_creation = point.type == "bind" && !creates;
        mark_anonymous(mount);
        mark_anonymous(point.spec);
        const std::string& destination = point.destination;
        add(point);
        // What was decided is shown in HostConfig.Mounts where options were given, as Docker does.
        if (mount.bind_options) {
            mount.bind_options = record.mount_points.at(destination).spec.bind_options;
        }
    }
    std::set<std::string> left;
    for (const auto& [destination, point] : others) {
        if (taken.contains(destination)) {
            give_back(record, point);
        } else {
            left.insert(destination);
        }
    }
    return left;
}

/// Anonymous volumes for VOLUME of the image, where nothing is mounted yet.
// Source: moby daemon/create_unix.go, createContainerOSSpecificSettings; HasMountFor.
void Containers::register_image_volumes(store::ContainerRecord& record, const std::string& rootfs) {
    const base::Fd root{::open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    for (const auto& [path, unused] : record.config.volumes) {
        const std::string destination = clean_path(path);
        if (record.mount_points.contains(destination)) continue;
        if (record.host_config.tmpfs.contains(destination)) continue;
        const base::Fd found = sys::try_open_in_root(root.get(), destination, O_PATH);
        struct stat info {};
        if (found && ::fstat(found.get(), &info) == 0 && !S_ISDIR(info.st_mode)) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("cannot mount volume over existing file, file exists {}{}",
                                   rootfs, destination));
        }
        store::MountPointRecord point;
        point.type = "volume";
        point.destination = destination;
        point.driver = record.host_config.volume_driver;
        point.rw = true;
        attach_volume(parts_.volumes, record.id, point);
        point.mode.clear();
        record.mount_points[destination] = std::move(point);
    }
}

/// Copies what the image has at a volume's place into the volume, or into the part of it that the
/// container is given, if that is empty.
// Source: moby daemon/create_unix.go, populateVolume.
void Containers::populate_volumes(const store::ContainerRecord& record, const std::string& rootfs,
                                  const std::set<std::string>& of_others) {
    const base::Fd root{::open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type != "volume" || of_others.contains(destination)) continue;
        if (point.spec.volume_options && point.spec.volume_options->no_copy) continue;
        const base::Fd source =
            sys::try_open_in_root(root.get(), destination, O_RDONLY | O_DIRECTORY);
        if (!source) continue;
        base::in_context("failed to populate volume", [&] {
            const std::string path = mount_volume(point);
            const base::Undo unmount([&] {
                try {
                    parts_.volumes.unmount(point.name, point.driver, point.id);
                } catch (const base::Error& error) {
                    base::log::warn("unmount volume {}, ignoring: {}", point.name, error.what());
                }
            });
            const base::Fd target = open_to_populate(path, point);
            if (target) copy_up(source.get(), target.get());
        });
    }
}

/// Gives the container's volumes back; with `remove`, anonymous ones that nobody else holds go.
void Containers::release_volumes(const store::ContainerRecord& record, bool remove) noexcept {
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type != "volume") continue;
        try {
            // Named in the request: kept, whatever its name is.
            if (remove && point.spec.source.empty()) {
                parts_.volumes.release_and_remove(point.name, record.id);
            } else {
                parts_.volumes.release(point.name, record.id);
            }
        } catch (const std::exception& error) {
            base::log::warn("volume {} stays: {}", point.name, error.what());
        }
    }
}

}  // namespace dockerd::engine

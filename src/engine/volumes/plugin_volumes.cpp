#include <fmt/format.h>

#include <algorithm>
#include <future>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/thread.hpp>

#include "volumes/options.hpp"
#include "volumes/volumes.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

Volume volume_of(const store::VolumeRecord& record, const DriverVolume& found, std::string scope) {
    Volume volume;
    volume.name = record.name;
    volume.driver = record.driver;
    volume.mountpoint = found.mountpoint;
    volume.created_at = found.created_at;
    volume.labels = record.labels;
    volume.options = record.options;
    volume.scope = std::move(scope);
    volume.status = found.status;
    return volume;
}

}  // namespace

/// The volume as its plugin knows it; nullopt when it does not. Only that nobody could be asked is
/// an error.
// Source: moby volume/service/store.go, lookupVolume.
std::optional<Volume> Volumes::ask_driver(const store::VolumeRecord& record) {
    const auto context =
        fmt::format("error while checking if volume {} exists in driver {}",
                    base::quote(record.name), base::quote(record.driver));
    return base::in_context(context, [&]() -> std::optional<Volume> {
        const auto driver = drivers_.get(record.driver);
        try {
            const auto found = driver->get(record.name);
            if (found) return volume_of(record, *found, driver->scope());
        } catch (const plugins::Unreachable&) {
            throw;
        } catch (const base::Error& error) {
            // It may be its way to say that there is none.
            base::log::debug("volume {} of driver {}: {}", record.name, record.driver,
                             error.what());
        }
        return std::nullopt;
    });
}

/// Looks for a volume nobody here has made, and remembers whose it is. All plugins are asked at
/// once, and briefly: most names are of no plugin.
// Source: moby volume/service/store.go, getVolume.
std::optional<Volume> Volumes::probe_drivers(const std::string& name) {
    std::vector<std::future<std::optional<Volume>>> asked;
    for (const auto& driver : drivers_.all()) {
        asked.push_back(std::async(std::launch::async, [driver, name]() -> std::optional<Volume> {
            try {
                const auto found = driver->get(name, plugins::Effort::brief);
                if (!found) return std::nullopt;
                const store::VolumeRecord record{.name = name, .driver = driver->name()};
                return volume_of(record, *found, driver->scope());
            } catch (const base::Error& error) {
                base::log::debug("volume driver {}: {}", driver->name(), error.what());
                return std::nullopt;
            }
        }));
    }
    std::optional<Volume> first;
    for (auto& answer : asked) {
        auto volume = answer.get();
        if (!first) first = std::move(volume);
    }
    if (first) (void)store_.create(name, first->driver, {}, {});
    return first;
}

/// The volume that is on record, if it still exists; one that does not is forgotten.
// Source: moby volume/service/store.go, checkConflict.
std::optional<Volume> Volumes::existing(const store::VolumeRecord& record,
                                        const std::string& driver) {
    const std::string own = record.driver.empty() ? local_driver : record.driver;
    const bool conflict = !driver.empty() && driver != own;
    if (conflict && driver != local_driver) (void)drivers_.get(driver);
    std::optional<Volume> found;
    if (own != local_driver) {
        try {
            found = ask_driver(record);
        } catch (const base::Error& error) {
            base::fail(ErrorKind::conflict,
                       fmt::format("found reference to volume '{}' in driver '{}', but got an error "
                                   "while checking the driver: {}: volume name must be unique",
                                   record.name, own, error.what()));
        }
    }
    if (conflict && (found || own == local_driver)) {
        base::fail(ErrorKind::conflict,
                   fmt::format("driver '{}' already has volume '{}': volume name must be unique",
                               own, record.name));
    }
    if (found) return found;
    if (!holders(record.name).empty()) {
        base::fail(
            ErrorKind::conflict,
            fmt::format("found references to volume '{}' in driver '{}' but the volume was not "
                        "found in the driver -- you may need to remove containers referencing this "
                        "volume or force remove the volume to re-create it: volume name must be "
                        "unique",
                        record.name, own));
    }
    store_.remove(record.name);
    return std::nullopt;
}

// Source: moby volume/service/store.go, create.
Volume Volumes::create_by_plugin(const model::VolumeCreate& request) {
    const auto driver = drivers_.get(request.driver);
    std::optional<DriverVolume> found;
    try {
        found = driver->get(request.name);
    } catch (const base::Error& error) {
        base::log::debug("volume driver {}: {}", driver->name(), error.what());
    }
    if (!found) driver->create(request.name, request.driver_opts);
    const auto record =
        store_.create(request.name, driver->name(), request.labels, request.driver_opts);
    events_.volume("create", request.name, {{"driver", driver->name()}});
    auto volume = volume_of(record, found.value_or(DriverVolume()), driver->scope());
    volume.status.clear();  // told to those who inspect
    return volume;
}

Volume Volumes::inspect_by_plugin(const store::VolumeRecord& record) {
    return base::in_context("get " + record.name, [&] {
        if (auto found = ask_driver(record)) return *found;
        base::fail(ErrorKind::not_found, "no such volume");
    });
}

/// Pre: the caller works on the name exclusively. With `force` the volume is forgotten also when the
/// plugin could not remove it.
// Source: moby volume/service/store.go, Remove.
void Volumes::remove_by_plugin(const store::VolumeRecord& record, bool force) {
    const auto found = base::in_context("get " + record.name, [&] { return ask_driver(record); });
    if (!found) {
        // A container that has it would be given another volume of this name, once there is one.
        if (force || holders(record.name).empty()) store_.remove(record.name);
        if (force) return;
        base::fail(ErrorKind::not_found, "get " + record.name + ": no such volume");
    }
    base::in_context("remove " + record.name, [&] {
        check_unused(record.name);
        try {
            drivers_.get(record.driver)->remove(record.name);
        } catch (const base::Error&) {
            if (force) store_.remove(record.name);
            throw;
        }
        store_.remove(record.name);
    });
    events_.volume("destroy", record.name, {{"driver", record.driver}});
}

std::string Volumes::mount_by_plugin(const store::VolumeRecord& record, const std::string& id) {
    (void)inspect_by_plugin(record);
    const auto driver = drivers_.get(record.driver);
    const PluginMount mount{record.driver, record.name, id};
    // The same mount of an earlier run: given back after the new one, it would take that away.
    plugin_mounts_.give_back(id, [this](const PluginMount& lost) { return unmount_lost(lost); });
    plugin_mounts_.add(mount);
    std::string path;
    try {
        path = driver->mount(record.name, id);
    } catch (const plugins::Unreachable& error) {
        if (error.asked()) {
            plugin_mounts_.lose(mount);
        } else {
            plugin_mounts_.forget(mount);
        }
        throw;
    } catch (...) {
        plugin_mounts_.forget(mount);
        throw;
    }
    if (path.starts_with('/')) return path;
    try {
        unmount_by_plugin(mount);
    } catch (const base::Error& error) {
        base::log::warn("volume {}: {}, ignoring", record.name, error.what());
    }
    base::fail(ErrorKind::internal,
               fmt::format("volume driver {} names no mount point", record.driver));
}

/// What the plugin cannot be asked now stays to be given back later.
void Volumes::unmount_by_plugin(const PluginMount& mount) {
    VolumeDriverPtr driver;
    try {
        driver = drivers_.get(mount.driver);
        driver->unmount(mount.volume, mount.id);
    } catch (const plugins::Unreachable& error) {
        // One that has the request and does not answer is not told twice.
        if (error.asked()) {
            plugin_mounts_.forget(mount);
        } else {
            plugin_mounts_.lose(mount);
        }
        throw;
    } catch (const base::Error&) {
        if (driver) {
            plugin_mounts_.forget(mount);
        } else {
            plugin_mounts_.lose(mount);
        }
        throw;
    }
    plugin_mounts_.forget(mount);
}

bool Volumes::unmount_lost(const PluginMount& mount) {
    VolumeDriverPtr driver;
    try {
        driver = drivers_.get(mount.driver);
        driver->unmount(mount.volume, mount.id);
    } catch (const plugins::Unreachable& error) {
        base::log::warn("volume {} stays mounted: {}", mount.volume, error.what());
        return error.asked();
    } catch (const base::Error& error) {
        base::log::warn("volume {}: unmount, ignoring: {}", mount.volume, error.what());
        return driver != nullptr;
    }
    return true;
}

void Volumes::give_back_lost_mounts() {
    std::vector<std::string> mounted;
    for (const auto& record : store_.list()) {
        if (is_local(record) && needs_mount(record.options)) mounted.push_back(record.name);
    }
    if (returner_.joinable() || (mounted.empty() && !plugin_mounts_.has_lost())) return;
    returner_ = base::start_quiet_thread([this, mounted = std::move(mounted)] {
        for (const auto& name : mounted) unmount_idle(name);
        plugin_mounts_.give_back_all([this](const PluginMount& lost) { return unmount_lost(lost); });
    });
}

/// Adds what the plugins have. What cannot be asked is shown as it was made here, with a warning.
// Source: moby volume/service/store.go, list and Find.
void Volumes::list_plugins(const model::Filters& filters, VolumeList& list) {
    using Found = std::pair<VolumeDriverPtr, std::future<std::vector<DriverVolume>>>;
    std::vector<Found> asked;
    for (const auto& driver : drivers_.all()) {
        if (!filters.exact_match("driver", driver->name())) continue;
        asked.emplace_back(driver,
                           std::async(std::launch::async, [driver] { return driver->list(); }));
    }
    for (auto& [driver, answer] : asked) {
        try {
            const auto volumes = answer.get();
            const auto scope = driver->scope();
            for (const auto& found : volumes) {
                auto record = store_.find(found.name);
                if (!record) record = store::VolumeRecord{.name = found.name};
                if (record->driver != driver->name() && store_.find(found.name)) {
                    base::log::warn(
                        "Volume name {} already exists for driver {}, not including volume "
                        "returned by {}",
                        found.name, record->driver, driver->name());
                    continue;
                }
                record->driver = driver->name();
                auto volume = volume_of(*record, found, scope);
                volume.created_at = {};
                volume.status.clear();
                list.volumes.push_back(std::move(volume));
            }
        } catch (const base::Error& error) {
            list.warnings.push_back(fmt::format("list {}: {}", driver->name(), error.what()));
            for (const auto& record : store_.list()) {
                if (record.driver != driver->name()) continue;
                list.volumes.push_back(volume_of(record, {}, "local"));
            }
        }
    }
}

/// So that `docker info` and lists know them from the start on.
void Volumes::find_drivers() noexcept {
    try {
        std::set<std::string> names;
        for (const auto& record : store_.list()) names.insert(record.driver);
        names.erase(local_driver);
        for (const auto& name : names) {
            try {
                (void)drivers_.get(name, plugins::Effort::brief);
            } catch (const base::Error& error) {
                base::log::warn("{}", error.what());
            }
        }
    } catch (const std::exception& error) {
        base::log::error("volume drivers: {}", error.what());
    }
}

}  // namespace dockerd::engine

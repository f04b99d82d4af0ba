#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/volumes.hpp>
#include <dockerd/store/volumes_db.hpp>

#include "events/events.hpp"
#include "volumes/drivers.hpp"
#include "volumes/plugin_mounts.hpp"

namespace dockerd::engine {

/// Marks a volume without a name of a user's. Source: moby volume/service/service.go.
inline constexpr const char* anonymous_label = "com.docker.volume.anonymous";

inline bool is_local(const store::VolumeRecord& record) {
    return record.driver.empty() || record.driver == local_driver;
}

/// Volumes of the local driver, and of plugins.
///
/// Containers hold the volumes they name from their creation to their removal; a held volume
/// cannot be removed. Volumes with mount options are mounted while a container runs with them.
///
/// Source: moby volume/service, volume/local.
/// Thread: any. Work on one volume never waits for another's disk, mount or plugin.
class Volumes : public VolumeService {
public:
    /// `mounts_file` remembers what plugins have mounted; empty for a daemon that has no next one.
    Volumes(store::VolumesDb& store, Events& events, const std::string& mounts_file = {},
            plugins::Options plugins = {});
    ~Volumes() override;

    VolumeList list(const model::Filters& filters) override;
    Volume inspect(std::string_view name) override;
    Volume create(const model::VolumeCreate& request) override;
    void remove(std::string_view name, bool force) override;
    PruneResult prune(const model::Filters& filters) override;

    /// Creates a volume or finds it, and lets `container` hold it. An empty name makes an
    /// anonymous volume.
    Volume hold(const model::VolumeCreate& request, const std::string& container);
    /// Notes at the daemon's start that `container`, read from disk, holds the volume. Returns where a
    /// local volume lies, else nothing.
    std::string restore_hold(const std::string& name, const std::string& container);
    void release(const std::string& name, const std::string& container);
    /// For `docker rm -v` and volumes nobody named: release, and remove the volume if it is held by
    /// nobody else. Never throws for a volume in use.
    void release_and_remove(const std::string& name, const std::string& container);

    /// The volume's data on this host, mounted by its options if it has any, or by its plugin. Each
    /// call is undone by one unmount(). `driver` counts for a volume that is not on record, `id`
    /// names the mount to a plugin.
    /// Throws: not_found; internal, "failed to mount local volume: ...", a plugin's words.
    std::string mount(const std::string& name, const std::string& driver, const std::string& id);
    void unmount(const std::string& name, const std::string& driver, const std::string& id);
    /// Counts a mount that a container from before the daemon's start has, and will unmount.
    void restore_mount(const std::string& name, const std::string& driver, const std::string& id);
    /// Unmounts, in its own time, what was mounted for earlier daemons and restore_mount() was not told
    /// of.
    void give_back_lost_mounts();

    /// Local volumes with size and number of holders, for `docker system df`. Those with options
    /// are left out: they may lie anywhere. Source: moby volume/service, LocalVolumesSize.
    std::vector<Volume> disk_usage();

    /// Names of drivers in use, for `docker info`.
    [[nodiscard]] std::vector<std::string> drivers() const { return drivers_.names(); }
    /// The daemon ends: plugins that do not answer are hardly waited for any more.
    void stop() { drivers_.stop(); }

private:
    struct State;
    class Exclusive;
    Volume create_named(const model::VolumeCreate& request, const std::string& holder);
    std::string mount_local(const store::VolumeRecord& record);
    void unmount_local(const std::string& name);
    void detach_local(const std::string& name);
    void unmount_idle(const std::string& name) noexcept;
    void remove_idle(const std::string& name);
    void check_unused(const std::string& name) const;
    // plugin_volumes.cpp
    std::optional<Volume> ask_driver(const store::VolumeRecord& record);
    std::optional<Volume> probe_drivers(const std::string& name);
    std::optional<Volume> existing(const store::VolumeRecord& record, const std::string& driver);
    Volume create_by_plugin(const model::VolumeCreate& request);
    Volume inspect_by_plugin(const store::VolumeRecord& record);
    void remove_by_plugin(const store::VolumeRecord& record, bool force);
    std::string mount_by_plugin(const store::VolumeRecord& record, const std::string& id);
    void unmount_by_plugin(const PluginMount& mount);
    bool unmount_lost(const PluginMount& mount);
    void list_plugins(const model::Filters& filters, VolumeList& list);
    void find_drivers() noexcept;
    std::vector<std::string> holders(const std::string& name) const;

    store::VolumesDb& store_;
    Events& events_;
    std::unique_ptr<State> state_;
    VolumeDrivers drivers_;
    PluginMounts plugin_mounts_;
    std::thread finder_;    ///< asks, at the start, for the plugins of known volumes
    std::thread returner_;  ///< gives lost mounts back
};

/// Copies the tree below the directory `source` into the directory `target`, owners, modes,
/// times, extended attributes and hard links included, unless `target` has anything in it. Their
/// data are on the disk then; a commit after it makes the tree durable.
///
/// Goes from descriptor to descriptor and follows no symlink. Sockets are left out.
/// Throws: internal, "copy <path in the tree>: <errno text>".
/// Source: moby container/container_unix.go, copyExistingContents.
void copy_up(int source, int target);

}  // namespace dockerd::engine

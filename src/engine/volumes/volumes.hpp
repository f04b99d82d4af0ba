#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/engine/volumes.hpp>
#include <dockerd/store/volumes_db.hpp>

#include "events/events.hpp"

namespace dockerd::engine {

/// Marks a volume without a name of a user's. Source: moby volume/service/service.go.
inline constexpr const char* anonymous_label = "com.docker.volume.anonymous";

/// Volumes of the local driver.
///
/// Containers hold the volumes they name from their creation to their removal; a held volume
/// cannot be removed. Volumes with mount options are mounted while a container runs with them.
///
/// Source: moby volume/service, volume/local.
/// Thread: any. Work on one volume never waits for another's disk or mount.
class Volumes : public VolumeService {
public:
    Volumes(store::VolumesDb& store, Events& events);
    ~Volumes() override;

    std::vector<Volume> list(const model::Filters& filters) override;
    Volume inspect(std::string_view name) override;
    Volume create(const model::VolumeCreate& request) override;
    void remove(std::string_view name, bool force) override;
    PruneResult prune(const model::Filters& filters) override;

    /// Creates a volume or finds it, and lets `container` hold it. An empty name makes an
    /// anonymous volume.
    Volume hold(const model::VolumeCreate& request, const std::string& container);
    /// Notes at the daemon's start that `container`, read from disk, holds the volume.
    void restore_hold(const std::string& name, const std::string& container);
    void release(const std::string& name, const std::string& container);
    /// For `docker rm -v`: release, and remove the volume if it is anonymous and held by nobody.
    /// Never throws for a volume in use.
    void release_and_remove_anonymous(const std::string& name, const std::string& container);

    /// The volume's data on this host, mounted by its options if it has any. Each call is undone
    /// by one unmount(). Throws: not_found; internal, "failed to mount local volume: ...".
    std::string mount(const std::string& name);
    void unmount(const std::string& name);
    /// Counts a mount that a container from before the daemon's start still uses.
    void restore_mount(const std::string& name);

    /// All volumes with size and number of holders, for `docker system df`. Sizes of volumes
    /// with options are not counted: -1.
    std::vector<Volume> disk_usage();

private:
    struct State;
    class Exclusive;
    Volume create_named(const model::VolumeCreate& request, const std::string& holder);
    void remove_idle(const std::string& name);
    std::vector<std::string> holders(const std::string& name) const;

    store::VolumesDb& store_;
    Events& events_;
    std::unique_ptr<State> state_;
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

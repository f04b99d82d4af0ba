#include "volumes/volumes.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/worker_pool.hpp>

#include "volumes/options.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

base::Error no_such_volume(std::string_view name) {
    return {ErrorKind::not_found,
            (name.empty() ? "get" : "get " + std::string(name)) + ": no such volume"};
}

Volume to_volume(const store::VolumeRecord& record) {
    Volume volume;
    volume.name = record.name;
    volume.driver = record.driver.empty() ? local_driver : record.driver;
    volume.mountpoint = record.mountpoint;
    // Docker shows whole seconds.
    volume.created_at = {record.created.seconds(), 0};
    volume.labels = record.labels;
    volume.options = record.options;
    return volume;
}

bool passes_labels(const model::Filters& filters, const model::StringMap& labels) {
    return filters.match_labels("label", labels) &&
           !(filters.contains("label!") && filters.match_labels("label!", labels));
}

/// Adds what prune means by default: anonymous volumes only.
/// Source: moby volume/service/convert.go, withPrune.
model::Filters prune_filters(model::Filters filters) {
    const auto& all = filters.get("all");
    if (all.size() > 1) {
        base::fail(ErrorKind::invalid_argument, "invalid filter 'all=[" +
                                                    base::join({all.begin(), all.end()}, " ") +
                                                    "]': only one value is expected");
    }
    if (all.size() == 1) {
        // Source: Go strconv.ParseBool.
        static const std::set<std::string> yes = {"1", "t", "T", "TRUE", "true", "True"};
        static const std::set<std::string> no = {"0", "f", "F", "FALSE", "false", "False"};
        const auto& value = *all.begin();
        if (yes.contains(value)) return filters;
        if (!no.contains(value)) {
            base::fail(ErrorKind::invalid_argument,
                       "invalid filter 'all': strconv.ParseBool: parsing " + base::quote(value) +
                           ": invalid syntax");
        }
    }
    filters.add("label", anonymous_label);
    return filters;
}

}  // namespace

struct Volumes::State {
    mutable base::Mutex mutex;
    std::condition_variable_any freed;
    std::set<std::string> busy;  ///< names somebody works on
    std::map<std::string, std::set<std::string>> holders;
    std::map<std::string, int> mounts;  ///< users of a volume's own mount
    std::atomic<bool> pruning{false};
};

/// One name for one worker.
class Volumes::Exclusive {
public:
    Exclusive(State& state, const std::string& name) : state_(state), name_(name) {
        const base::LongWait wait;  // a plugin is asked with the name held
        base::Lock lock(state_.mutex);
        state_.freed.wait(lock, [&] { return !state_.busy.contains(name_); });
        state_.busy.insert(name_);
    }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;
    ~Exclusive() {
        const base::Lock lock(state_.mutex);
        state_.busy.erase(name_);
        state_.freed.notify_all();
    }

private:
    State& state_;
    std::string name_;
};

Volumes::Volumes(store::VolumesDb& store, Events& events, const std::string& mounts_file,
                 plugins::Options plugins)
    : store_(store),
      events_(events),
      state_(std::make_unique<State>()),
      drivers_(std::move(plugins)),
      plugin_mounts_(mounts_file) {
    if (!std::ranges::all_of(store_.list(), is_local)) {
        finder_ = std::thread([this] { find_drivers(); });
    }
}

Volumes::~Volumes() {
    stop();
    if (finder_.joinable()) finder_.join();
    if (returner_.joinable()) returner_.join();
}

std::vector<std::string> Volumes::holders(const std::string& name) const {
    const base::Lock lock(state_->mutex);
    const auto found = state_->holders.find(name);
    if (found == state_->holders.end()) return {};
    return {found->second.begin(), found->second.end()};
}

VolumeList Volumes::list(const model::Filters& filters) {
    filters.validate({"dangling", "name", "driver", "label"});
    const bool by_use = filters.contains("dangling");
    const bool dangling = filters.get_bool("dangling", false);
    VolumeList list;
    if (filters.exact_match("driver", local_driver)) {
        for (const auto& record : store_.list()) {
            if (is_local(record)) list.volumes.push_back(to_volume(record));
        }
    }
    list_plugins(filters, list);
    std::erase_if(list.volumes, [&](const Volume& volume) {
        return (filters.contains("name") && !filters.match("name", volume.name)) ||
               !passes_labels(filters, volume.labels) ||
               (by_use && holders(volume.name).empty() != dangling);
    });
    std::ranges::sort(list.volumes, {}, &Volume::name);
    return list;
}

Volume Volumes::inspect(std::string_view name) {
    const std::string own(name);
    const auto record = store_.find(own);
    if (record && is_local(*record)) return to_volume(*record);
    if (record) return inspect_by_plugin(*record);
    if (const auto found = probe_drivers(own)) return *found;
    throw no_such_volume(name);
}

Volume Volumes::create(const model::VolumeCreate& request) { return create_named(request, ""); }

Volume Volumes::hold(const model::VolumeCreate& request, const std::string& container) {
    return create_named(request, container);
}

Volume Volumes::create_named(const model::VolumeCreate& request, const std::string& holder) {
    model::VolumeCreate wanted = request;
    if (wanted.name.empty()) {
        wanted.name = base::random_id();
        wanted.labels[anonymous_label] = "";
        wanted.labels.given = true;
    }
    return base::in_context("create " + wanted.name, [&] {
        const Exclusive mine(*state_, wanted.name);
        const auto record = store_.find(wanted.name);
        std::optional<Volume> volume;
        if (record && is_local(*record) && (wanted.driver.empty() || wanted.driver == local_driver)) {
            volume = to_volume(*record);
        } else if (record) {
            volume = existing(*record, wanted.driver);
        }
        // Anonymous ones are nobody's yet.
        if (!volume && wanted.driver.empty() && !request.name.empty()) {
            volume = probe_drivers(wanted.name);
        }
        if (!volume && (wanted.driver.empty() || wanted.driver == local_driver)) {
            check_volume_name(wanted.name);
            check_volume_options(wanted.driver_opts);
            volume = to_volume(
                store_.create(wanted.name, local_driver, wanted.labels, wanted.driver_opts));
            events_.volume("create", wanted.name, {{"driver", local_driver}});
        }
        if (!volume) volume = create_by_plugin(wanted);
        if (!holder.empty()) {
            const base::Lock lock(state_->mutex);
            state_->holders[wanted.name].insert(holder);
        }
        return *volume;
    });
}

std::string Volumes::restore_hold(const std::string& name, const std::string& container) {
    {
        const base::Lock lock(state_->mutex);
        state_->holders[name].insert(container);
    }
    const auto record = store_.find(name);
    return record && is_local(*record) ? record->mountpoint : std::string();
}

void Volumes::release(const std::string& name, const std::string& container) {
    const base::Lock lock(state_->mutex);
    const auto found = state_->holders.find(name);
    if (found == state_->holders.end()) return;
    found->second.erase(container);
    if (found->second.empty()) state_->holders.erase(found);
}

void Volumes::release_and_remove(const std::string& name, const std::string& container) {
    release(name, container);
    const auto record = store_.find(name);
    if (!record) return;
    try {
        const Exclusive mine(*state_, name);
        if (is_local(*record)) {
            remove_idle(name);
        } else {
            remove_by_plugin(*record, /*force=*/false);
        }
    } catch (const base::Error& error) {
        if (error.kind() != ErrorKind::conflict) {
            base::log::warn("anonymous volume {} not removed: {}", name, error.what());
        }
    }
}

/// Pre: the caller works on the name exclusively.
void Volumes::remove_idle(const std::string& name) {
    const auto record = store_.find(name);
    if (!record) throw no_such_volume(name);
    base::in_context("remove " + name, [&] {
        check_unused(name);
        {
            const base::Lock lock(state_->mutex);
            if (state_->mounts.contains(name)) {
                base::fail(ErrorKind::internal, "volume has active mounts");
            }
        }
        // A mount left by an earlier daemon must not be emptied along with the folder.
        if (needs_mount(record->options) && is_mount_point(record->mountpoint) &&
            ::umount2(record->mountpoint.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
            base::throw_errno(errno, "unmount " + record->mountpoint);
        }
        store_.remove(name);
    });
    events_.volume("destroy", name, {{"driver", local_driver}});
}

void Volumes::check_unused(const std::string& name) const {
    const auto users = holders(name);
    if (users.empty()) return;
    base::fail(ErrorKind::conflict, "volume is in use - [" + base::join(users, ", ") + "]");
}

void Volumes::remove(std::string_view name, bool force) {
    const std::string own(name);
    const Exclusive mine(*state_, own);
    auto record = store_.find(own);
    if (!record && probe_drivers(own)) record = store_.find(own);
    if (!record && force) return;
    if (!record) throw no_such_volume(name);
    if (is_local(*record)) {
        remove_idle(own);
    } else {
        remove_by_plugin(*record, force);
    }
}

VolumeService::PruneResult Volumes::prune(const model::Filters& filters) {
    if (state_->pruning.exchange(true)) {
        base::fail(ErrorKind::conflict, "a prune operation is already running");
    }
    const std::shared_ptr<void> done(nullptr, [&](void*) { state_->pruning = false; });
    const auto wanted = prune_filters(filters);
    wanted.validate({"label", "label!", "all"});
    PruneResult result;
    for (const auto& record : store_.list()) {
        if (!is_local(record) || !record.options.empty() || !passes_labels(wanted, record.labels)) continue;
        if (!holders(record.name).empty()) continue;
        try {
            const std::int64_t size = store_.size(record.name);
            const Exclusive mine(*state_, record.name);
            remove_idle(record.name);
            result.space_reclaimed += size;
            result.deleted.push_back(record.name);
        } catch (const base::Error& error) {
            base::log::warn("volume {} not pruned: {}", record.name, error.what());
        }
    }
    events_.pruned("volume", result.space_reclaimed);
    return result;
}

std::string Volumes::mount(const std::string& name, const std::string& driver,
                           const std::string& id) {
    auto record = store_.find(name);
    const bool by_plugin = !driver.empty() && driver != local_driver;
    // Another driver's volume of that name is not the container's.
    if (record && by_plugin && record->driver != driver) record.reset();
    if (!record && by_plugin) record = store::VolumeRecord{.name = name, .driver = driver};
    if (!record) throw no_such_volume(name);
    return is_local(*record) ? mount_local(*record) : mount_by_plugin(*record, id);
}

std::string Volumes::mount_local(const store::VolumeRecord& record) {
    const Exclusive mine(*state_, record.name);
    if (!needs_mount(record.options)) return record.mountpoint;
    const auto count = [&](int change) {
        const base::Lock lock(state_->mutex);
        return state_->mounts[record.name] += change;
    };
    // One that an earlier daemon left mounted is used as it is.
    if (count(0) == 0 && !is_mount_point(record.mountpoint)) {
        try {
            mount_volume(record.options, record.mountpoint);
        } catch (const base::Error&) {
            const base::Lock lock(state_->mutex);
            state_->mounts.erase(record.name);
            throw;
        }
    }
    count(1);
    return record.mountpoint;
}

void Volumes::unmount(const std::string& name, const std::string& driver, const std::string& id) {
    if (driver.empty() || driver == local_driver) return unmount_local(name);
    unmount_by_plugin({driver, name, id});
}

void Volumes::unmount_local(const std::string& name) {
    const Exclusive mine(*state_, name);
    {
        const base::Lock lock(state_->mutex);
        const auto found = state_->mounts.find(name);
        if (found == state_->mounts.end() || --found->second > 0) return;
        state_->mounts.erase(found);
    }
    detach_local(name);
}

/// Pre: the caller works on the name exclusively.
void Volumes::detach_local(const std::string& name) {
    const auto record = store_.find(name);
    if (!record || !is_mount_point(record->mountpoint)) return;
    if (::umount2(record->mountpoint.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
        base::throw_errno(errno, "unmount " + record->mountpoint);
    }
}

/// Takes down what an earlier daemon mounted for containers that are no more running.
void Volumes::unmount_idle(const std::string& name) noexcept {
    try {
        const Exclusive mine(*state_, name);
        {
            const base::Lock lock(state_->mutex);
            if (state_->mounts.contains(name)) return;
        }
        detach_local(name);
    } catch (const std::exception& error) {
        base::log::warn("volume {}: {}", name, error.what());
    }
}

void Volumes::restore_mount(const std::string& name, const std::string& driver,
                            const std::string& id) {
    if (!driver.empty() && driver != local_driver) return plugin_mounts_.claim({driver, name, id});
    const auto record = store_.find(name);
    if (!record || !is_local(*record) || !needs_mount(record->options)) return;
    const base::Lock lock(state_->mutex);
    ++state_->mounts[name];
}

std::vector<Volume> Volumes::disk_usage() {
    std::vector<Volume> all;
    for (const auto& record : store_.list()) {
        if (is_local(record) && record.options.empty()) all.push_back(to_volume(record));
    }
    for (auto& volume : all) {
        volume.reference_count = static_cast<std::int64_t>(holders(volume.name).size());
        try {
            volume.size = store_.size(volume.name);
        } catch (const base::Error& error) {
            base::log::warn("size of volume {}: {}", volume.name, error.what());
            volume.size = -1;
        }
    }
    return all;
}

}  // namespace dockerd::engine

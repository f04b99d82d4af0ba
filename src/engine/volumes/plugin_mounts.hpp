#pragma once

#include <condition_variable>
#include <functional>
#include <string>
#include <vector>

#include <dockerd/base/mutex.hpp>

namespace dockerd::engine {

/// A mount that a plugin was asked for.
struct PluginMount {
    std::string driver;
    std::string volume;
    std::string id;  ///< what the mount is called to the plugin
    bool operator==(const PluginMount&) const = default;
};

/// What plugins were asked to mount and not yet asked to unmount, on disk: a plugin counts, and each
/// mount has to be given back once, by whichever daemon. Those of nobody are lost: their user
/// ended while no daemon ran, or the plugin could not be asked to unmount them.
///
/// Thread: any. Waiting for a plugin keeps nobody from another mount.
class PluginMounts {
public:
    /// Asks the plugin to unmount; false when it could not be asked.
    using Unmount = std::function<bool(const PluginMount& mount)>;

    /// Reads what an earlier daemon left in the file, if it is there. All of that is lost until it is
    /// claimed.
    explicit PluginMounts(std::string path);

    /// Before the plugin is asked; durable on return. Throws: internal, when it cannot be written.
    void add(const PluginMount& mount);
    /// The plugin has unmounted it, or never heard of it.
    void forget(const PluginMount& mount);
    /// The plugin may still have it, and nobody uses it.
    void lose(const PluginMount& mount);
    /// A container from before the daemon's start uses it.
    void claim(const PluginMount& mount);

    /// Gives lost mounts back, each by one call of `unmount`: all, or all of one id. What another thread
    /// is giving back is waited for. Those of which the plugin could not be asked stay lost.
    void give_back(const std::string& id, const Unmount& unmount);
    void give_back_all(const Unmount& unmount) { give_back({}, unmount); }
    [[nodiscard]] bool has_lost() const;

private:
    enum class State { used, lost, leaving };
    struct Entry {
        PluginMount mount;
        State state = State::used;
    };
    std::vector<Entry>::iterator find(const PluginMount& mount, State state)
        DOCKERD_REQUIRES(mutex_);
    void set(const PluginMount& mount, State from, State to);
    void drop(const PluginMount& mount, State state) noexcept;
    void write(bool durable) DOCKERD_REQUIRES(mutex_);

    std::string path_;
    mutable base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::vector<Entry> entries_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine

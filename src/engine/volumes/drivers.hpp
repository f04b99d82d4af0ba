#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/mutex.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/model/collections.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::engine {

/// The driver of volumes that are folders here.
inline constexpr const char* local_driver = "local";

/// A volume as a plugin describes it.
struct DriverVolume {
    std::string name;
    std::string mountpoint;
    base::WallTime created_at;
    std::string status;  ///< a JSON object, or empty
};

/// A plugin that keeps volumes. Every call ends within two and a half minutes, whatever the plugin
/// does; calls do not wait for each other.
///
/// Throws: internal, with the plugin's words; plugins::Unreachable.
/// Source: moby volume/drivers, proxy.go and adapter.go.
class VolumeDriver {
public:
    explicit VolumeDriver(plugins::PluginPtr plugin) : plugin_(std::move(plugin)) {}

    [[nodiscard]] const std::string& name() const { return plugin_->name(); }
    void create(const std::string& volume, const model::StringMap& options);
    void remove(const std::string& volume);
    std::string path(const std::string& volume);
    std::string mount(const std::string& volume, const std::string& id);
    void unmount(const std::string& volume, const std::string& id);
    /// Asked once.
    std::vector<DriverVolume> list();
    std::optional<DriverVolume> get(const std::string& volume,
                                    plugins::Effort effort = plugins::Effort::patient);
    /// "local" or "global"; asked for once.
    std::string scope();

private:
    plugins::PluginPtr plugin_;
    base::Mutex mutex_;
    std::string scope_ DOCKERD_GUARDED_BY(mutex_);
};
using VolumeDriverPtr = std::shared_ptr<VolumeDriver>;

/// Plugins that keep volumes, and which of them have been used.
/// Source: moby volume/drivers/extpoint.go. Thread: any.
class VolumeDrivers {
public:
    explicit VolumeDrivers(plugins::Options options = {}) : registry_(std::move(options)) {}

    /// Throws: not_found, `error looking up volume plugin x: plugin "x" not found`; internal.
    VolumeDriverPtr get(const std::string& name,
                        plugins::Effort effort = plugins::Effort::patient);
    /// All that can be found; those that do not answer are left out.
    std::vector<VolumeDriverPtr> all();
    /// Names of those in use and "local", sorted.
    [[nodiscard]] std::vector<std::string> names() const;
    void stop() { registry_.stop(); }

private:
    VolumeDriverPtr remember(const plugins::PluginPtr& plugin);

    plugins::Registry registry_;
    mutable base::Mutex mutex_;
    std::map<std::string, VolumeDriverPtr> drivers_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine

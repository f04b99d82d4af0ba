#include "volumes/drivers.hpp"

#include <algorithm>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/json.hpp>

#include "plugin_answer.hpp"

namespace dockerd::engine {

using base::ErrorKind;

namespace {

constexpr const char* kind = "VolumeDriver";

// Source: moby volume/drivers/proxy.go.
constexpr std::chrono::minutes long_timeout{2};
constexpr std::chrono::minutes short_timeout{1};
/// For those who can do without the answer.
constexpr std::chrono::seconds brief_timeout{10};

using plugin_answer::field;
using plugin_answer::Json;
using plugin_answer::text;

/// Calls a method; what the plugin calls an error is thrown.
Json ask(const plugins::Plugin& plugin, const char* method, const base::Json& request,
         std::chrono::milliseconds timeout, plugins::Effort effort = plugins::Effort::patient) {
    const std::string body = plugin.call(std::string(kind) + "." + method,
                                         model::to_html_safe_text(request) + "\n", timeout, effort);
    Json answer = plugin_answer::first_value(body);
    if (const auto error = plugin_answer::told_error(answer, "Err"); !error.empty()) {
        base::fail(ErrorKind::internal, error);
    }
    return answer;
}

DriverVolume volume_of(const Json& json) {
    DriverVolume volume;
    volume.name = text(json, "Name");
    volume.mountpoint = text(json, "Mountpoint");
    volume.created_at = base::parse_rfc3339(text(json, "CreatedAt")).value_or(base::WallTime());
    const auto* const status = field(json, "Status");
    if (status != nullptr && status->is_object() && !status->empty()) {
        volume.status = status->dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    return volume;
}

}  // namespace

void VolumeDriver::create(const std::string& volume, const model::StringMap& options) {
    (void)ask(*plugin_, "Create", {{"Name", volume}, {"Opts", model::encode(options)}},
              long_timeout);
}

void VolumeDriver::remove(const std::string& volume) {
    (void)ask(*plugin_, "Remove", {{"Name", volume}}, short_timeout);
}

std::string VolumeDriver::path(const std::string& volume) {
    return text(ask(*plugin_, "Path", {{"Name", volume}}, short_timeout), "Mountpoint");
}

std::string VolumeDriver::mount(const std::string& volume, const std::string& id) {
    return text(ask(*plugin_, "Mount", {{"Name", volume}, {"ID", id}}, long_timeout), "Mountpoint");
}

void VolumeDriver::unmount(const std::string& volume, const std::string& id) {
    (void)ask(*plugin_, "Unmount", {{"Name", volume}, {"ID", id}}, short_timeout);
}

std::vector<DriverVolume> VolumeDriver::list() {
    const Json answer = ask(*plugin_, "List", base::Json::object(), short_timeout, plugins::Effort::brief);
    std::vector<DriverVolume> out;
    const auto* const volumes = field(answer, "Volumes");
    if (volumes == nullptr || !volumes->is_array()) return out;
    for (const auto& item : *volumes) out.push_back(volume_of(item));
    return out;
}

std::optional<DriverVolume> VolumeDriver::get(const std::string& volume, plugins::Effort effort) {
    const bool brief = effort == plugins::Effort::brief;
    const Json answer = ask(*plugin_, "Get", {{"Name", volume}},
                            brief ? brief_timeout : std::chrono::seconds(short_timeout), effort);
    const auto* const found = field(answer, "Volume");
    if (found == nullptr || !found->is_object()) return std::nullopt;
    return volume_of(*found);
}

// Source: moby volume/drivers/adapter.go, getCapabilities.
std::string VolumeDriver::scope() {
    {
        const base::Lock lock(mutex_);
        if (!scope_.empty()) return scope_;
    }
    std::string scope;
    try {
        const Json answer = ask(*plugin_, "Capabilities", base::Json::object(), brief_timeout,
                                plugins::Effort::brief);
        const auto* const capabilities = field(answer, "Capabilities");
        if (capabilities != nullptr) scope = base::to_lower(text(*capabilities, "Scope"));
    } catch (const base::Error& error) {
        base::log::debug("volume driver {}: capabilities: {}", name(), error.what());
        return "local";  // not every plugin knows the question; it is asked again
    }
    if (scope != "local" && scope != "global") {
        if (!scope.empty()) base::log::warn("volume driver {}: invalid scope {}", name(), scope);
        scope = "local";
    }
    const base::Lock lock(mutex_);
    return scope_ = scope;
}

VolumeDriverPtr VolumeDrivers::remember(const plugins::PluginPtr& plugin) {
    const base::Lock lock(mutex_);
    auto& driver = drivers_[plugin->name()];
    if (!driver) driver = std::make_shared<VolumeDriver>(plugin);
    return driver;
}

VolumeDriverPtr VolumeDrivers::get(const std::string& name, plugins::Effort effort) {
    {
        const base::Lock lock(mutex_);
        if (const auto found = drivers_.find(name); found != drivers_.end()) return found->second;
    }
    return base::in_context("error looking up volume plugin " + name,
                            [&] { return remember(registry_.get(name, kind, effort)); });
}

std::vector<VolumeDriverPtr> VolumeDrivers::all() {
    for (const auto& plugin : registry_.all(kind)) {
        // The local driver is this engine's own, whatever somebody calls a plugin.
        if (plugin->name() != local_driver) (void)remember(plugin);
    }
    const base::Lock lock(mutex_);
    std::vector<VolumeDriverPtr> out;
    for (const auto& [name, driver] : drivers_) out.push_back(driver);
    return out;
}

std::vector<std::string> VolumeDrivers::names() const {
    const base::Lock lock(mutex_);
    std::vector<std::string> out{local_driver};
    for (const auto& [name, driver] : drivers_) out.push_back(name);
    std::ranges::sort(out);
    return out;
}

}  // namespace dockerd::engine

#pragma once

#include <map>
#include <memory>
#include <string>

#include <dockerd/base/mutex.hpp>
#include <dockerd/net/drivers.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::engine {

/// Legacy plugins that drive networks, or give their addresses.
///
/// Source: moby libnetwork/drivers/remote. Thread: any; calls do not wait for each other.
class PluginNetworkDrivers {
public:
    explicit PluginNetworkDrivers(plugins::Options options = {}) : registry_(std::move(options)) {}

    /// Throws: not_found, `plugin "x" not found`; internal, with the reason.
    net::NetworkDriverPtr get(const std::string& name);
    net::IpamDriverPtr ipam(const std::string& name);
    /// The daemon ends: plugins that do not answer are hardly waited for any more.
    void stop() { registry_.stop(); }

private:
    plugins::Registry registry_;
    base::Mutex mutex_;
    std::map<std::string, net::NetworkDriverPtr> drivers_ DOCKERD_GUARDED_BY(mutex_);
    std::map<std::string, net::IpamDriverPtr> ipams_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine

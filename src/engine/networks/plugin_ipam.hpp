#pragma once

#include <dockerd/net/drivers.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::engine {

/// A legacy plugin that gives the addresses of networks. Asks it what it can, and takes no answer for
/// nothing special.
///
/// Source: moby libnetwork/ipams/remote.
net::IpamDriverPtr make_plugin_ipam(plugins::PluginPtr plugin);

}  // namespace dockerd::engine

#pragma once

#include <memory>
#include <string>

#include <dockerd/http/server.hpp>

#include "config.hpp"

namespace dockerd::app {

/// Everything the daemon is made of, built from the configuration: the only composition root.
class Wiring {
public:
    virtual ~Wiring() = default;
    /// Finds what every request will depend on. Throws: what is shown as it is.
    virtual void validate() = 0;
    /// What the server serves.
    virtual http::Application& application() = 0;
    /// The server is about to answer: what is changed from here on is durable at once.
    virtual void serve() = 0;
    /// Makes durable what the start wrote, for the server answers by now.
    virtual void settle() = 0;
    /// Prepares what the first container would have to wait for.
    virtual void warm() = 0;
    /// Takes over the reloadable options. Throws: what is wrong with them.
    virtual void reload(const Config& config) = 0;
    /// The page of --metrics-addr. Thread: any.
    virtual std::string metrics() = 0;
    /// Lets the containers live on whatever live-restore says, when the daemon ends.
    virtual void keep_containers() = 0;
    /// Stops the containers, unless live-restore is on, within the shutdown timeout.
    virtual void shutdown() = 0;
};

/// Builds the services and restores what was there before.
/// Throws: what the caller shows behind "failed to start daemon: ".
std::unique_ptr<Wiring> make_wiring(const Config& config);

}  // namespace dockerd::app

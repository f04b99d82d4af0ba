#pragma once

#include <dockerd/engine/services.hpp>

#include "handlers/absent.hpp"
#include "handlers/build.hpp"
#include "handlers/containers.hpp"
#include "handlers/copy.hpp"
#include "handlers/debug.hpp"
#include "handlers/images.hpp"
#include "handlers/networks.hpp"
#include "handlers/registries.hpp"
#include "handlers/system.hpp"
#include "handlers/volumes.hpp"
#include "router.hpp"
#include "streams/streams.hpp"

namespace dockerd::api {

/// The router with every route of the Docker Engine API, and the handlers behind them.
class Api final : public Router {
public:
    Api(const engine::Services& services, const ApiOptions& options);

private:
    void add_system_routes();
    void add_container_routes();
    void add_image_routes();
    void add_build_routes();
    void add_network_routes();
    void add_volume_routes();
    void add_swarm_routes();
    void add_swarm_object_routes();
    void add_plugin_routes();
    void add_debug_routes();

    ContainerHandlers containers_;
    CopyHandlers copies_;
    ImageHandlers images_;
    NetworkHandlers networks_;
    VolumeHandlers volumes_;
    SystemHandlers system_;
    RegistryHandlers registries_;
    BuildHandlers builds_;
    AbsentHandlers absent_;
    DebugHandlers debug_;
    Streams streams_;
};

}  // namespace dockerd::api

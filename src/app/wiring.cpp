#include "wiring.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <dockerd/api/api.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/git/jail.hpp>
#include <dockerd/net/networks.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/sysinfo.hpp>
#include <dockerd/store/container_files.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/store/images.hpp>
#include <dockerd/store/kv.hpp>
#include <dockerd/store/layers.hpp>
#include <dockerd/store/volumes_db.hpp>
#include <dockerd/sys/sealed_program.hpp>

#include "engine/authorization/authorization.hpp"
#include "engine/build/builds.hpp"
#include "engine/containers/containers.hpp"
#include "engine/events/events.hpp"
#include "engine/images/images.hpp"
#include "engine/images/registries.hpp"
#include "engine/metrics/exposition.hpp"
#include "engine/networks/networks.hpp"
#include "engine/networks/plugin_drivers.hpp"
#include "engine/system/host.hpp"
#include "engine/system/system.hpp"
#include "engine/volumes/volumes.hpp"
#include "engine_options.hpp"
#include "support.hpp"

namespace dockerd::app {
namespace {

/// Members in the order they depend on each other; destroyed the other way round.
class DaemonWiring final : public Wiring {
public:
    explicit DaemonWiring(const Config& config)
        : cgroups_(open_cgroups(config)),
          unpacker_([this](int program, std::span<const int> fds) {
              return containers_.start_program("docker-unpack", program, fds);
          }),
          layers_(config.data_root, unpacker_),
          image_files_(config.data_root, layers_, &start_writes_),
          container_files_(config.data_root),
          volume_files_(config.data_root, &start_writes_),
          kv_(config.data_root, &start_writes_),
          network_store_(kv_),
          engine_id_(engine::load_or_create_id(config.data_root, &start_writes_)),
          networks_(base::in_context(
              "Error initializing network controller",
              [&] {
                  return net::Networks(with_plugins(networks_options(config, engine_id_)),
                                       network_store_);
              })),
          // After the networks, which switch forwarding on.
          sysinfo_(runtime::read_sysinfo(cgroups_)),
          cdi_(cdi_registry(config)),
          volumes_(volume_files_, events_, config.data_root + "/volumes/plugin-mounts.json"),
          containers_(containers_options(config, cdi_), {.layers = layers_,
                                                   .images = image_files_,
                                                   .files = container_files_,
                                                   .networks = networks_,
                                                   .cgroups = cgroups_,
                                                   .sysinfo = sysinfo_,
                                                   .events = events_,
                                                   .volumes = volumes_}),
          network_manager_(networks_, events_),
          images_(image_files_, events_),
          registries_(config.data_root, image_files_, images_, events_, registry_settings(config)),
          build_caches_(config.data_root + "/build-cache"),
          builds_({.containers = containers_,
                   .images = images_,
                   .store = image_files_,
                   .registries = registries_,
                   .events = events_,
                   .caches = build_caches_,
                   .data_root = config.data_root,
                   .start_git = [this](std::span<const int> fds) { return start_git(fds); }}),
          system_(options_of_system(config), {.containers = containers_,
                                           .images = images_,
                                           .volumes = volumes_,
                                           .layers = layers_,
                                           .events = events_,
                                           .sysinfo = sysinfo_,
                                           .count_containers = [this] { return count(); }}),
          services_{.containers = containers_,
                    .images = images_,
                    .networks = network_manager_,
                    .volumes = volumes_,
                    .events = events_,
                    .system = system_,
                    .registries = registries_,
                    .builds = builds_},
          container_metrics_(wants_container_metrics(config)),
          authorization_names_(config.authorization_plugins),
          application_(api::make_api(services_, with_authorization(api_options(config)))) {
        for (const auto& warning : sysinfo_.warnings) base::log::warn("{}", warning);
        network_manager_.set_endpoint_changes(
            [this](const auto& network, const auto& request) {
                containers_.connect_network(network, request);
            },
            [this](const auto& network, const auto& request) {
                containers_.disconnect_network(network, request);
            });
        images_.set_users([this] { return image_users(); });
        network_manager_.set_usage([this] { return containers_.used_networks(); });
        base::log::info("Loading containers: start.");
        containers_.restore();
        builds_.recover();
        base::log::info("Loading containers: done.");
    }

    http::Application& application() override { return *application_; }
    void validate() override {
        base::in_context("failed to validate authorization plugin",
                         [&] { authorization_.set(authorization_names_); });
    }
    void serve() override { start_writes_.serve(); }
    void settle() override { start_writes_.settle(); }
    void warm() override { containers_.warm(); }
    void reload(const Config& config) override {
        // What may be refused comes first: a reload changes all or nothing.
        auto defaults = container_defaults(config);
        const auto registries = registry_settings(config);
        auto attributes = reload_attributes(config, sysinfo_.cgroup_unified);
        base::in_context("Error validating authorization plugin",
                         [&] { authorization_.set(config.authorization_plugins); });
        registries_.set_settings(registries);
        containers_.set_defaults(std::move(defaults));
        containers_.set_live_restore(config.live_restore);
        containers_.set_shutdown_timeout(std::chrono::seconds(config.shutdown_timeout));
        system_.set_options(options_of_system(config));
        container_metrics_ = wants_container_metrics(config);
        events_.daemon("reload", system_.id(), std::move(attributes));
    }
    std::string metrics() override {
        auto facts = system_.metrics_facts();
        if (container_metrics_) facts.containers = containers_.stats_of_all();
        return engine::metrics_text(engine::metrics(), facts);
    }
    void keep_containers() override { containers_.set_live_restore(/*on=*/true); }
    void shutdown() override {
        volumes_.stop();
        network_drivers_.stop();
        authorization_.stop();
        containers_.shutdown();
    }

private:
    [[nodiscard]] engine::SystemOptions options_of_system(const Config& config) const {
        auto options = system_options(config, engine_id_, cdi_);
        options.cgroup_driver = runtime::driver_name(cgroups_.driver());
        return options;
    }

    net::NetworksOptions with_plugins(net::NetworksOptions options) {
        options.find_driver = [this](const std::string& name) { return network_drivers_.get(name); };
        options.find_ipam = [this](const std::string& name) { return network_drivers_.ipam(name); };
        return options;
    }

    api::ApiOptions with_authorization(api::ApiOptions options) {
        options.authorization = &authorization_;
        return options;
    }

    [[nodiscard]] engine::ContainerCounts count() const {
        engine::ContainerCounts counts;
        for (const auto& container : containers_.snapshots()) {
            const auto& state = container->state;
            if (state.paused) {
                ++counts.paused;
            } else if (state.running) {
                ++counts.running;
            } else {
                ++counts.stopped;
            }
        }
        return counts;
    }

    /// Which images containers need.
    base::Fd start_git(std::span<const int> fds) {
        const base::Fd program = sys::own_program();
        return containers_.start_program(std::string(git::program_name), program.get(), fds);
    }

    [[nodiscard]] std::vector<engine::ImageUser> image_users() const {
        std::vector<engine::ImageUser> users;
        for (const auto& container : containers_.snapshots()) {
            users.push_back({.container_id = container->id,
                             .image_id = container->image_id,
                             .running = container->state.running,
                             .mounted_images = container->mounted_images});
        }
        return users;
    }

    runtime::CgroupHost cgroups_;
    archive::Unpacker unpacker_;
    store::StartWrites start_writes_;
    store::Layers layers_;
    store::Images image_files_;
    store::ContainerFiles container_files_;
    store::VolumesDb volume_files_;
    store::KvFile kv_;
    engine::KvNetworkStore network_store_;
    std::string engine_id_;
    engine::PluginNetworkDrivers network_drivers_;
    net::Networks networks_;
    runtime::SysInfo sysinfo_;
    engine::Events events_;
    std::shared_ptr<engine::cdi::Registry> cdi_;
    engine::Volumes volumes_;
    engine::Containers containers_;
    engine::NetworkManager network_manager_;
    engine::Images images_;
    engine::Registries registries_;
    engine::builds::CacheMounts build_caches_;
    engine::Builds builds_;
    engine::System system_;
    engine::Services services_;
    std::atomic<bool> container_metrics_;
    std::vector<std::string> authorization_names_;
    engine::AuthorizationPlugins authorization_;
    std::unique_ptr<http::Application> application_;
};

}  // namespace

std::unique_ptr<Wiring> make_wiring(const Config& config) {
    return std::make_unique<DaemonWiring>(config);
}

}  // namespace dockerd::app

#include <fmt/format.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <array>

#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/model/reference.hpp>
#include <dockerd/runtime/plan_container.hpp>
#include <dockerd/runtime/verify.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "image_config.hpp"
#include "images/platform.hpp"
#include "metrics/metrics.hpp"
#include "names.hpp"
#include "signals.hpp"
#include "validate.hpp"

namespace dockerd::engine {
namespace {

using base::Error;
using base::ErrorKind;

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) base::throw_errno(errno, "gethostname");
    return name.data();
}

void set_command(store::ContainerRecord& record) {
    const auto& config = record.config;
    std::vector<std::string> words(config.entrypoint.begin(), config.entrypoint.end());
    words.insert(words.end(), config.cmd.begin(), config.cmd.end());
    record.path = words.front();
    record.args.assign(words.begin() + 1, words.end());
}

/// The name endpoints are kept under, whatever the network was called by.
// Differs from Docker: it keeps a shortened id as well, and does not start the container again.
std::string network_name(const net::Networks& networks, const std::string& reference) {
    if (reference == "default") return "bridge";
    const auto found = networks.find(reference);
    return found ? found->name : reference;
}

// Source: moby daemon/container_operations.go, updateContainerNetworkSettings.
void set_networks(store::ContainerRecord& record, const net::Networks& networks,
                  const std::optional<model::NetworkingConfig>& networking) {
    const std::string& mode = record.host_config.network_mode;
    if (model::is_container_mode(mode) || record.config.network_disabled) return;
    if (networking && !networking->endpoints_config.empty()) {
        for (const auto& [name, settings] : networking->endpoints_config) {
            auto& endpoint = record.network.networks[network_name(networks, name)];
            endpoint.settings = settings;
            endpoint.desired_mac_address = settings.mac_address;
        }
    } else {
        record.network.networks[network_name(networks, mode)];
    }
}

}  // namespace

CreateResult Containers::create(std::string name, const std::string& platform,
                                model::ContainerCreate request) {
    const base::ScopeTimer timer(metrics().container_actions["create"]);
    if (!request.has_config) {
        base::fail(ErrorKind::invalid_argument,
                   "config cannot be empty in order to create a container");
    }
    if (!platform.empty()) (void)Platform::parse(platform);
    // A start follows as a rule: what the kernel takes its time for begins now.
    lifecycle_.post([this] { parts_.cgroups.warm(); });
    CreateResult result;
    verify_create(request, result.warnings);

    auto& config = request.config;
    std::string chain_id;
    std::string image_id;
    std::string architecture;
    std::string variant;
    if (!config.image.empty()) {
        const auto image = parts_.images.get(config.image);
        if (request.networking_config && request.host_config) {
            validate_networking(*request.networking_config, parts_.networks);
        }
        require_platform(*image, config.image, platform);
        chain_id = image->chain_id;
        image_id = image->id;
        architecture = image->config->architecture;
        variant = image->config->variant;
        if (image->config->config) merge_image_config(config, *image->config->config);
    }
    model::HostConfig host = request.host_config.value_or(model::HostConfig{});
    fill_host_config(host);
    // Docker's own way of saying that an image's entrypoint shall not be used.
    if (config.entrypoint.size() == 1 && config.entrypoint[0].empty()) config.entrypoint = {};
    if (config.entrypoint.empty() && config.cmd.empty()) {
        base::fail(ErrorKind::invalid_argument, "no command specified");
    }
    check_log_config(host.log_config, options_.log_driver, options_.log_options);
    check_shared_namespaces(host);

    store::ContainerRecord record;
    record.of_step = !request.step_id.empty();
    record.id = record.of_step ? request.step_id : base::random_id();
    record.name = "/" + reserve_name(name, record.id);
    const std::string reserved = record.name.substr(1);
    base::Undo give_name_back(
        [this, reserved, id = record.id] { index_.release_name(reserved, id); });
    if (config.hostname.empty()) {
        config.hostname = host.network_mode == "host" ? host_name() : record.id.substr(0, 12);
    }
    record.created = base::WallTime::now();
    record.config = config;
    record.host_config = std::move(host);
    record.image_id = image_id;
    record.platform_architecture = architecture;
    record.platform_variant = variant;
    record.no_new_privileges = options_.no_new_privileges;
    set_command(record);
    set_networks(record, parts_.networks, request.networking_config);

    const auto container = std::make_shared<Container>(std::move(record));
    build_on_disk(container, chain_id, request);
    give_name_back.dismiss();
    index_.add(container);
    result.id = container->id;
    const base::Lock lock(container->operation);
    log_event(container->record, "create");
    return result;
}

std::vector<std::string> Containers::verify(model::ContainerCreate request) {
    std::vector<std::string> warnings;
    verify_create(request, warnings);
    return warnings;
}

void Containers::verify_create(model::ContainerCreate& request,
                               std::vector<std::string>& warnings) const {
    validate_config(request.config);
    if (!request.host_config) return;
    auto& host = *request.host_config;
    if (host.restart_policy.name.empty()) host.restart_policy.name = "no";
    validate_host_config(host, warnings);
    const auto more =
        runtime::verify_host_config(host, parts_.sysinfo, {.systemd_driver = has_scopes()});
    warnings.insert(warnings.end(), more.begin(), more.end());
    const auto runtimes = defaults().runtimes;
    require_runtime(runtimes, host.runtime.empty() ? runtimes.default_name : host.runtime);
}

// Source: moby daemon/create.go, generateSecurityOpt.
void Containers::check_shared_namespaces(const model::HostConfig& host) const {
    const bool labelled = std::ranges::any_of(host.security_opt, [](const std::string& option) {
        return option.substr(0, option.find('=')) == "label";
    });
    if (labelled || host.privileged || host.ipc_mode == "host" || host.pid_mode == "host") return;
    for (const std::string& mode : {host.ipc_mode, host.pid_mode}) {
        const auto other = model::joined_container(mode);
        if (other.empty()) continue;
        try {
            (void)index_.get(other);
        } catch (const Error& error) {
            throw Error(ErrorKind::invalid_argument, error.what());
        }
    }
}

/// Whose namespaces a container shares is kept by id: names may move on.
// Source: moby daemon/daemon_unix.go, adaptSharedNamespaceContainer.
void Containers::name_shared_by_id(model::HostConfig& host) const {
    for (std::string* mode : {&host.pid_mode, &host.ipc_mode, &host.network_mode}) {
        if (!model::is_container_mode(*mode)) continue;
        try {
            const auto other = index_.get(model::joined_container(*mode));
            *mode = std::string(model::container_mode) + other->id;
        } catch (const Error&) {
            // Refused where the mode is used, in the words for that.
        }
    }
}

ContainerDefaults Containers::defaults() const {
    const base::Lock lock(defaults_mutex_);
    return defaults_;
}

void Containers::set_defaults(ContainerDefaults defaults) {
    const base::Lock lock(defaults_mutex_);
    defaults_ = std::move(defaults);
}

bool Containers::has_scopes() const {
    return parts_.cgroups.driver() == runtime::CgroupDriver::systemd;
}

void Containers::fill_host_config(model::HostConfig& host) const {
    const ContainerDefaults defaults = this->defaults();
    runtime::adapt_host_config(host, parts_.sysinfo,
                               {.shm_size = defaults.shm_size,
                                .ipc_mode = defaults.ipc_mode,
                                .cgroupns_mode = defaults.cgroupns_mode});
    if (host.network_mode.empty() || host.network_mode == "default") host.network_mode = "bridge";
    name_shared_by_id(host);
    if (host.restart_policy.name.empty()) host.restart_policy.name = "no";
    if (host.runtime.empty()) host.runtime = defaults.runtimes.default_name;
    // Source: moby daemon/create.go, generateSecurityOpt.
    const bool shares_host = host.ipc_mode == "host" || host.pid_mode == "host";
    if (host.security_opt.is_null() && (shares_host || host.privileged)) {
        host.security_opt = model::Strings({"label=disable"});
        host.security_opt.given = true;
    }
    if (host.privileged) return;
    if (host.masked_paths.is_null()) {
        host.masked_paths = model::Strings(runtime::default_masked_paths(facts_));
        host.masked_paths.given = true;
    }
    if (host.readonly_paths.is_null()) {
        host.readonly_paths = model::Strings(runtime::default_read_only_paths());
        host.readonly_paths.given = true;
    }
}

std::string Containers::reserve_name(const std::string& wanted, const std::string& id) {
    if (!wanted.empty()) {
        std::string name = checked_name(wanted);
        index_.reserve_name(name, id);
        return name;
    }
    // Source: moby daemon/names.go, generateAndReserveName: six tries, then the short id.
    for (int i = 0; i < 6; ++i) {
        std::string name = generate_name();
        try {
            index_.reserve_name(name, id);
            return name;
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::conflict) throw;
        }
    }
    std::string name = id.substr(0, 12);
    index_.reserve_name(name, id);
    return name;
}

void Containers::keep(std::string_view reference) {
    const auto container = index_.get(reference);
    const base::Lock lock(container->operation);
    if (container->removed) throw errors::no_such_container(reference);
    auto& record = container->record;
    record.of_step = false;
    parts_.files.save_state(record.id, store::run_state_of(record));
    parts_.files.save(record);
}

/// Writable layer, volumes and both files; one flush makes all of it durable. Undone as a whole.
void Containers::build_on_disk(const ContainerRef& container, const std::string& chain_id,
                               const model::ContainerCreate& request) {
    const base::Lock lock(container->operation);
    auto& record = container->record;
    if (!record.host_config.storage_opt.empty()) {
        // Source: moby daemon/graphdriver/overlay2/overlay.go, CreateReadWrite, parseStorageOpt.
        const auto& options = record.host_config.storage_opt;
        if (!options.contains("size")) {
            base::fail(ErrorKind::internal,
                       "Unknown option " + base::to_lower(options.begin()->first));
        }
        base::fail(
            ErrorKind::internal,
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
    }
    (void)security_of(record);
    store::Batch batch;
    parts_.layers.create_rw(container->id, chain_id, {}, batch);
    base::Undo drop_layer([&] {
        try {
            (void)parts_.layers.remove_rw(container->id);
        } catch (const Error&) {
            // The first failure is the one reported; the layer is swept at the next start.
        }
    });
    base::Undo drop_volumes([&] {
        release_volumes(record, /*remove=*/true);
        try {
            remove_image_layers(record);
        } catch (const Error&) {
            // As above.
        }
    });
    const auto of_others =
        register_mounts(record,
                        request.default_read_only_non_recursive ? ReadOnlyBinds::top_only
                                                                : ReadOnlyBinds::recursive,
                        batch);
    base::Undo drop_links([&] { release_links(container->id); });
    register_links(record);
    prepare_rootfs(container, of_others);

    const std::string directory = parts_.files.path(container->id);
    record.log_path.clear();
    parts_.files.create(record, batch);
    base::Undo drop_files([&] {
        try {
            parts_.files.remove(container->id);
        } catch (const Error&) {
            // As above.
        }
    });
    publish(*container);
    drop_files.dismiss();
    drop_links.dismiss();
    drop_volumes.dismiss();
    drop_layer.dismiss();
}

/// What has to be done inside the new root file system; mounted only if there is something.
void Containers::prepare_rootfs(const ContainerRef& container,
                                const std::set<std::string>& of_others) {
    auto& record = container->record;
    const auto& config = record.config;
    bool needs_mount = !config.volumes.empty();
    needs_mount = needs_mount || (!config.working_dir.empty() && config.working_dir != "/");
    for (const auto& [destination, mount] : record.mount_points) {
        needs_mount = needs_mount || mount.type == "volume";
    }
    if (!needs_mount) return;
    const auto mounted = parts_.layers.mount_rw(container->id);
    base::Undo unmount([&] {
        try {
            parts_.layers.unmount_rw(container->id);
        } catch (const Error&) {
            // Left to the sweep of mounts at the next start.
        }
    });
    if (!config.working_dir.empty() && config.working_dir != "/") {
        const base::Fd root{::open(mounted.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
        try {
            (void)sys::make_directories_in_root(root.get(), config.working_dir, 0755, 0, 0);
        } catch (const Error& error) {
            if (error.errno_value() != ENOTDIR) throw;
            // Source: moby container/container.go, SetupWorkingDirectory.
            base::fail(ErrorKind::internal,
                       "Cannot mkdir: " + config.working_dir + " is not a directory");
        }
    }
    register_image_volumes(record, mounted.path);
    populate_volumes(record, mounted.path, of_others);
}

}  // namespace dockerd::engine

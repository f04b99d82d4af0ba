#include <fmt/format.h>

#include <fcntl.h>

#include <functional>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/net/ports.hpp>
#include <dockerd/runtime/plan_container.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "metrics/metrics.hpp"
#include "plan_input.hpp"
#include "validate.hpp"

namespace dockerd::engine {

using base::Error;
using base::ErrorKind;

namespace {

void set_started(store::StateRecord& state) {
    state.running = true;
    state.restarting = false;
    state.paused = false;
    state.exit_code = 0;
    state.started_at = base::WallTime::now();
}

/// What a power cut after this start leaves to be known.
store::RunState started_state(const store::ContainerRecord& record) {
    store::RunState out = store::run_state_of(record);
    set_started(out.state);
    out.has_been_started_before = true;
    return out;
}

/// What a daemon that is killed after this start leaves to be known.
store::ContainerRecord started_record(const store::ContainerRecord& record) {
    store::ContainerRecord out = record;
    set_started(out.state);
    out.has_been_started_before = true;
    return out;
}

/// With Docker it is the runtime that fails here, when the container's process is there.
runtime::Cgroup make_cgroup(std::string_view step, const std::function<runtime::Cgroup()>& make) {
    try {
        return make();
    } catch (const Error& error) {
        throw Error(error.kind(),
                    fmt::format("failed to create task for container: failed to create shim task: "
                                "OCI runtime create failed: runc create failed: unable to start "
                                "container process: {}: {}: unknown",
                                step, error.what()),
                    error.errno_value());
    }
}

}  // namespace

StartOutcome Containers::start(std::string_view reference, const std::string& /*detach_keys*/) {
    return start_container(index_.get(reference));
}

StartOutcome Containers::start_container(const ContainerRef& container) {
    const base::ScopeTimer timer(metrics().container_actions["start"]);
    await_arrivals(*container);
    const base::Lock lock(container->operation);
    const auto& state = container->record.state;
    if (container->removed) throw errors::no_such_container(container->id);
    // Source: moby daemon/start.go, ContainerStart: validateState.
    if (state.paused) throw errors::cannot_start_paused();
    return start_anew(container);
}

/// A start that somebody asked for, unlike one by the restart policy, which begins anew with it.
// Source: moby daemon/start.go, containerStart with resetRestartManager.
StartOutcome Containers::start_anew(const ContainerRef& container) {
    const auto& state = container->record.state;
    if (container->removed) throw errors::no_such_container(container->id);
    if (state.running) return StartOutcome::already_running;
    if (container->removing || state.dead) throw errors::marked_for_removal();
    container->restart_canceled = false;
    container->record.has_been_manually_stopped = false;
    container->restart_delay = {};
    container->record.restart_count = 0;
    start_locked(container);
    return StartOutcome::started;
}

/// Starts a container that is not running. Everything is undone if a step fails, and the
/// container then says why in State.Error.
void Containers::start_locked(const ContainerRef& container) {
    if (shutting_down_) {
        base::fail(ErrorKind::unavailable, "the daemon is shutting down");
    }
    auto& record = container->record;
    record.state.error.clear();
    record.state.oom_killed = false;
    ++container->run;
    // Goes to the disk while the kernel works. An end of the machine ends the container too, so
    // it is enough to know then that it was started.
    auto intent = begin_save_state(record, started_state(record));
    base::WallTime started_at;
    try {
        base::Undo release([&] { release_resources(*container); });
        started_at = start_steps(container);
        release.dismiss();
    } catch (const Error& error) {
        intent.wait();
        note_start_failure(container, error);
        throw;
    }
    intent.wait();
    mark_running(container, started_at);
}

/// The way from nothing to the exec of the user's program. Returns when that was, as the record on
/// the disk has it.
base::WallTime Containers::start_steps(const ContainerRef& container) {
    auto& record = container->record;
    PlanSources sources;
    sources.devices =
        inject_devices(record.host_config.resources.device_requests, options_.cdi.get());
    auto mounted = parts_.layers.mount_rw(container->id);
    container->rootfs_mounted = true;
    sources.rootfs_path = mounted.path;
    sources.rootfs_tree = std::move(mounted.tree);

    connect_networks(container);
    // Before the start: a daemon that is killed from here on finds the network again.
    save_network_state(*container);
    write_etc_files(*container);
    mount_sources(*container, container->held_mounts);

    add_host_devices(record.host_config, sources.devices.devices);
    auto limits = runtime::cgroup_limits(record.host_config.resources, runtime::LimitsFor::create);
    limits.devices = std::move(sources.devices.devices.rules);
    const auto make_scope = prepare_cgroup(*container, std::move(limits));
    // Now, not after the start: the program may be killed before that returns.
    container->oom_kills_seen = make_scope ? 0 : container->cgroup.oom_kills();
    container->oom_seen = false;
    sources.state_directory = state_directory(container->id);
    sources.join = find_namespaces(*container);
    sources.log =
        base::in_context("failed to create task for container: failed to initialize logging driver",
                         [&] { return plan_log(record); });
    auto plan = make_plan(*container, std::move(sources));

    auto pending = std::move(container->pending);
    container->pending.clear();
    {
        const base::Lock waiters(container->waiters_mutex);
        container->log_run = std::make_shared<logs::Run>();
    }
    auto running = started_record(record);
    const auto started_at = running.state.started_at;
    // Written while the kernel works, and there before anybody hears of the start.
    auto saved = states_.begin_relaxed(std::move(running));
    container->monitor = runtime_->start(std::move(plan), std::move(pending), make_scope);
    saved.wait();
    return started_at;
}

/// Makes the container's cgroup, or returns who makes it when there is a process.
runtime::CgroupMaker Containers::prepare_cgroup(Container& container, runtime::CgroupLimits limits) {
    const std::string parent = cgroup_parent_of(container.record);
    if (!has_scopes()) {
        container.cgroup = make_cgroup(
            "error during container init: error setting cgroup config for procHooks process",
            [&] { return parts_.cgroups.create(parent, container.id, limits); });
        return {};
    }
    container.cgroup = parts_.cgroups.attach(parent, container.id);
    return [this, &container, parent, limits = std::move(limits)](pid_t pid) {
        container.cgroup = make_cgroup("unable to apply cgroup configuration", [&] {
            return parts_.cgroups.create_scope(parent, container.id, pid, limits);
        });
        return container.cgroup.open_procs();
    };
}

// Source: moby daemon/container_operations.go, allocateNetwork.
void Containers::connect_networks(const ContainerRef& container) {
    auto& record = container->record;
    const std::string& mode = record.host_config.network_mode;
    if (model::is_container_mode(mode)) return;
    const base::ScopeTimer timer(metrics().network_actions["allocate"]);
    container->sandbox =
        mode == "host" ? parts_.networks.open_host_sandbox() : parts_.networks.open_sandbox();
    auto& sandbox = *container->sandbox;
    record.network.sandbox_id = sandbox.id();
    record.network.sandbox_key = sandbox.key();
    const auto ports = wanted_ports(record);
    for (auto& [name, endpoint] : record.network.networks) {
        if (name == "bridge" && !parts_.networks.find(name)) {
            // --bridge=none. Source: moby daemon/container_operations.go, connectToNetwork.
            record.config.network_disabled = true;
            continue;
        }
        net::JoinRequest request;
        request.network = name;
        request.container_id = container->id;
        request.container_name = record.name.substr(1);
        if (!net::is_predefined_network(name))
            endpoint.settings.dns_names = dns_names(record, endpoint);
        request.settings = endpoint.settings;
        request.settings.mac_address = endpoint.desired_mac_address;
        request.ports = ports;
        request.exposed_ports = exposed_ports(record.config);
        request.links = network_links(endpoint);
        if (!net::is_predefined_network(name)) request.dns = dns_settings(record, options_.dns);
        request.ipv6_disabled = switches_ipv6_off(record);
        const auto info = base::in_context("failed to set up container networking", [&] {
            // The one it had, not another one of that name.
            const std::string& known = endpoint.settings.network_id;
            if (!net::is_predefined_network(name) && !known.empty()) {
                request.network = parts_.networks.get(known).id;
            }
            validate_endpoint(name, request.settings, parts_.networks);
            return parts_.networks.join(sandbox, request);
        });
        info.fill(endpoint.settings);
    }
    base::in_context("failed to set up container networking", [&] { open_links(record); });
    show_ports(*container);
}

/// What is published now; an endpoint takes others' ports over when it leads outside.
void Containers::show_ports(Container& container) {
    auto& record = container.record;
    std::vector<net::PublishedPort> published;
    bool reachable = false;  // on a bridge that leads outside
    for (const auto& endpoint : container.sandbox->endpoints()) {
        published.insert(published.end(), endpoint.ports.begin(), endpoint.ports.end());
        reachable = reachable || endpoint.gateway || endpoint.ipv6_gateway;
    }
    record.network.ports =
        net::port_map(published, reachable ? exposed_ports(record.config) : std::vector<std::string>());
    record.network.ports.given = true;
}

void Containers::write_etc_files(Container& container) {
    auto& record = container.record;
    if (model::is_container_mode(record.host_config.network_mode)) {
        const auto other = networked_donor(record);
        // Source: moby daemon/container_operations.go, initializeNetworking.
        record.config.hostname = other->config->hostname;
        record.config.domainname = other->config->domainname;
        record.hostname_path = other->hostname_path;
        record.hosts_path = other->hosts_path;
        record.resolv_conf_path = other->resolv_conf_path;
        return;
    }
    const std::string directory = parts_.files.path(container.id);
    const base::Fd fd = parts_.files.directory(container.id);
    const bool host_network = record.host_config.network_mode == "host";
    record.hostname_path = directory + "/hostname";
    record.hosts_path = directory + "/hosts";
    record.resolv_conf_path = directory + "/resolv.conf";
    tell_parents_address(record);
    store::Batch batch;  // never committed: the files are made anew at each start
    batch.write_new(fd.get(), "hostname", net::hostname_text(record.config.hostname), 0644);
    batch.write_new(fd.get(), "hosts",
                    host_network ? host_hosts_text(record, parts_.networks.host_gateways())
                                 : container_hosts_text(record, parts_.networks.host_gateways(),
                                                        linked_hosts(record)),
                    0644);
    write_resolv_conf(record, fd, batch, /*anew=*/true);
}

/// After a change of networks; unless the container's users have changed it.
void Containers::rewrite_resolv_conf(const store::ContainerRecord& record) {
    const base::Fd fd = parts_.files.directory(record.id);
    store::Batch batch;  // never committed, as above
    write_resolv_conf(record, fd, batch, /*anew=*/false);
}

void Containers::mark_running(const ContainerRef& container, base::WallTime started_at) {
    auto& record = container->record;
    set_started(record.state);
    record.state.started_at = started_at;
    record.state.pid = container->monitor->pid();
    record.has_been_started_before = true;
    container->started_mono = std::chrono::steady_clock::now();
    begin_health(container);
    publish(*container);
    for (const auto& [name, endpoint] : record.network.networks) {
        if (endpoint.settings.endpoint_id.empty()) continue;
        const auto network = parts_.networks.find(endpoint.settings.network_id);
        if (!network) continue;
        log_network_event(record, "connect", network->id, network->name, network->driver);
    }
    log_event(record, "start");
    lifecycle_.post([this, container, run = container->run] {
        const base::Lock lock(container->operation);
        if (container->run == run && container->record.state.running && container->cgroup) {
            oom_watcher_.watch(container->id, container->cgroup.open_oom_events());
            note_oom(*container);  // what came before the watch
        }
    });
}

// Source: moby daemon/start.go, containerStart: the deferred clean-up.
void Containers::note_start_failure(const ContainerRef& container, const Error& error) {
    auto& record = container->record;
    const auto* failure = dynamic_cast<const runtime::StartFailure*>(&error);
    // A start by the restart policy leaves the code of the run before, and so does one that came to nothing
    // before there was a program, unless that is 0.
    // Source: moby daemon/monitor.go, handleContainerExit.
    if (!record.state.restarting) {
        if (failure != nullptr) record.state.exit_code = failure->exit_code();
        else if (record.state.exit_code == 0) record.state.exit_code = 128;
    }
    record.state.running = false;
    record.state.restarting = false;
    record.state.pid = 0;
    record.state.error = error.what();
    record.network.ports.clear();
    if (!record.has_been_started_before) {
        for (auto& [name, endpoint] : record.network.networks) endpoint.settings.network_id.clear();
    }
    publish(*container);
    begin_save_state(record).wait();
    // On the disk before the answer: the file there may say that it runs, and later than the state.
    save_durable(record);
    container->pending.clear();
    if (record.host_config.auto_remove && !container->removing) {
        lifecycle_.post([this, container] {
            try {
                remove_container(container, {.volumes = true, .force = true}, container->id);
            } catch (const Error& ignored) {
                base::log::debug("container {}: auto-remove, ignoring: {}", container->id,
                                 ignored.what());
            }
        });
    }
}

}  // namespace dockerd::engine

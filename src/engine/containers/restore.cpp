#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "plan_input.hpp"

namespace dockerd::engine {
namespace {

// Source: moby daemon/daemon.go, restore: the code of a container whose process vanished.
constexpr int lost_exit_code = 255;
constexpr std::size_t network_state_limit = 1U << 20U;
constexpr const char* boot_file = "boot-id";

/// How long the daemon's start waits for the containers it starts: one that hangs in the kernel must
/// not keep the others from being reached.
constexpr std::chrono::seconds start_patience{10};

/// Items that are done in one go: each long one alone, the others in no more parts than there are
/// processors, for a thread costs more than any of them.
template <typename Items, typename IsLong>
std::vector<Items> parts_of(const Items& items, IsLong is_long) {
    constexpr std::size_t worth_a_thread = 16;
    std::vector<Items> parts;
    Items quick;
    for (const auto& item : items) {
        if (is_long(item)) {
            parts.push_back({item});
        } else {
            quick.push_back(item);
        }
    }
    const std::size_t lanes = std::clamp<std::size_t>(quick.size() / worth_a_thread, 1,
                                                      std::max(1U, std::thread::hardware_concurrency()));
    const std::size_t size = (quick.size() + lanes - 1) / lanes;
    for (std::size_t at = 0; at < quick.size(); at += size) {
        const auto begin = quick.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = quick.begin() + static_cast<std::ptrdiff_t>(std::min(at + size, quick.size()));
        parts.emplace_back(begin, end);
    }
    return parts;
}

/// Runs `action` for each item on the pool and waits for all, or for as long as `patience`.
template <typename Items, typename IsLong, typename Action>
bool for_each_parallel(base::WorkerPool& pool, const Items& items, IsLong is_long, Action action,
                       std::optional<std::chrono::seconds> patience = {}) {
    struct Progress {
        std::mutex mutex;
        std::condition_variable changed;
        std::size_t left = 0;
    };
    const auto progress = std::make_shared<Progress>();
    const auto parts = parts_of(items, is_long);
    progress->left = parts.size();
    for (const auto& part : parts) {
        pool.post([progress, action, part] {
            for (const auto& item : part) {
                try {
                    action(item);
                } catch (const std::exception& error) {
                    base::log::error("container {}: {}", item->id, error.what());
                }
            }
            const std::lock_guard lock(progress->mutex);
            if (--progress->left == 0) progress->changed.notify_all();
        });
    }
    std::unique_lock lock(progress->mutex);
    const auto done = [&] { return progress->left == 0; };
    if (patience) return progress->changed.wait_for(lock, *patience, done);
    progress->changed.wait(lock, done);
    return true;
}

/// The container a writable layer was made for; images mounted into it have layers of their own.
std::string owner_of(const std::string& layer) { return layer.substr(0, layer.find('-')); }

/// Where the exec root outlives a boot (a chroot, a container's own disk), its process ids and
/// start times may fit processes of this boot.
void forget_earlier_boot(const std::string& exec_root) {
    const base::Fd proc{::open("/proc/sys/kernel/random", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    const base::Fd root{::open(exec_root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    std::string known;
    try {
        known = store::read_file(root.get(), boot_file);
    } catch (const base::Error&) {
        // First start in this exec root: nothing there is older than the note made below.
    }
    const std::string boot = store::read_file(proc.get(), "boot_id");
    if (known == boot) return;
    if (!known.empty()) {
        for (const auto& item : std::filesystem::directory_iterator(exec_root + "/containers")) {
            runtime::Runtime::forget_processes(item.path().string());
        }
    }
    store::Batch batch;  // for this boot only: never committed
    batch.replace(root.get(), boot_file, boot);
}

/// Engines name a container's cgroup after it.
bool is_process_of(std::int64_t pid, const std::string& id) {
    std::ifstream groups(fmt::format("/proc/{}/cgroup", pid));
    const std::string text{std::istreambuf_iterator<char>(groups), {}};
    return text.find(id) != std::string::npos;
}

}  // namespace

Containers::Containers(ContainersOptions options, ContainersParts parts)
    : options_(std::move(options)),
      parts_(parts),
      facts_(runtime::read_host_facts()),
      defaults_(options_.defaults),
      shutdown_timeout_(options_.shutdown_timeout),
      oom_watcher_(
          [this](const std::string& id) { lifecycle_.post([this, id] { handle_oom(id); }); }),
      states_(parts.files),
      lifecycle_({.name = "lifecycle"}),
      probes_({.name = "health", .max_threads = 16}) {
    live_restore_ = options_.live_restore;
    sys::make_directories(options_.exec_root + "/containers", 0700);
    sys::make_directories(options_.exec_root + "/sandboxes", 0700);
    sys::make_directories(options_.exec_root + "/commits", 0700);
    store::sweep_temporaries(
        store::open_or_make_directory(options_.exec_root + "/sandboxes").get());
    forget_earlier_boot(options_.exec_root);
    runtime::RuntimeEvents events;
    events.on_exit = [this](const std::string& id, const runtime::ExitInfo& exit) {
        lifecycle_.post([this, id, exit] { handle_exit(id, exit); });
    };
    events.on_exec_exit = [this](const std::string& id, const std::string& exec_id, int code) {
        handle_exec_exit(id, exec_id, code);
    };
    events.on_detach = [this](const std::string& id, const std::string& exec_id) {
        lifecycle_.post([this, id, exec_id] {
            const auto container = index_.find_id(id);
            if (!container) return;
            const base::Lock lock(container->operation);
            if (exec_id.empty()) {
                log_event(container->record, "detach");
            } else {
                log_event(container->record, "exec_detach", {{"execID", exec_id}});
            }
        });
    };
    events.on_attach_closed = [](const std::string&, std::uint64_t) {};
    runtime_ = std::make_unique<runtime::Runtime>(std::move(events));
}

void Containers::warm() {
    // Compiling the default profile takes longer than a start.
    const auto capabilities = runtime::container_capabilities({}, {}, /*privileged=*/false);
    (void)seccomp_of({}, capabilities);
}

Containers::~Containers() {
    timers_.stop();
    oom_watcher_.stop();
    runtime_->stop();
}

/// A process of the container that no monitor of ours has: another engine's, or one of this engine
/// with another exec root. Two runs on one file system would destroy it.
void Containers::refuse_foreign_runs(const std::vector<store::ContainerRecord>& records) const {
    for (const auto& record : records) {
        if (!record.state.running || record.state.pid <= 0) continue;
        if (sys::exists(state_directory(record.id))) continue;
        if (!is_process_of(record.state.pid, record.id)) continue;
        base::fail(base::ErrorKind::conflict,
                   fmt::format("container {} ({}) is still run by another engine, as process {}: stop "
                               "it there, or end the process, before this daemon starts",
                               record.name.substr(1), record.id.substr(0, 12), record.state.pid));
    }
}

void Containers::restore() {
    auto records = parts_.files.load_all();
    refuse_foreign_runs(records);
    for (auto& record : records) {
        const auto container = std::make_shared<Container>(std::move(record));
        try {
            index_.reserve_name(container->record.name.substr(1), container->id);
        } catch (const base::Error& error) {
            base::log::error("container {} is left out: {}", container->id, error.what());
            continue;
        }
        index_.add(container);
    }
    const auto all = index_.all();
    // Nobody but this thread knows them yet.
    const auto may_live = [this](const ContainerRef& c) {
        return c->record.state.running || sys::exists(state_directory(c->id));
    };
    for_each_parallel(lifecycle_, all, may_live, [this](const ContainerRef& c) { restore_one(c); });
    for (const auto& container : all) {
        try {
            const base::Lock lock(container->operation);
            if (!container->removed) register_links(container->record);
        } catch (const base::Error& error) {
            base::log::error("container {} loses its links: {}", container->id, error.what());
        }
        try {
            const base::Lock lock(container->operation);
            settle_network(container);
            if (container->record.state.running) open_links(container->record);
        } catch (const base::Error& error) {
            base::log::error("container {}: its network: {}", container->id, error.what());
        }
    }
    parts_.networks.clean_stale();
    sweep_runs();
    sweep_layers();
    parts_.layers.clean_mounts([this](const std::string& layer) {
        const auto container = index_.find_id(owner_of(layer));
        return container && container->snapshot()->state.running;
    });
    parts_.volumes.give_back_lost_mounts();
    // Whoever reaches the daemon finds its containers running.
    const auto has_policy = [](const ContainerRef& c) {
        const auto& host = c->record.host_config;
        return host.auto_remove || (!host.restart_policy.name.empty() && host.restart_policy.name != "no");
    };
    if (!for_each_parallel(lifecycle_, all, has_policy,
                           [this](const ContainerRef& c) { apply_policy_at_start(c); },
                           start_patience)) {
        base::log::warn("containers are still being started; answering without waiting for them");
    }
}

/// Removes layers of containers and images whose creation a crash cut off: nothing else is left of them. Those
/// of a container that could not be read stay, and so do those that are named otherwise, which
/// may be another program's.
void Containers::sweep_layers() {
    const auto is_known = [this](const std::string& layer) {
        const std::string owner = owner_of(layer);
        return !base::is_full_id(owner) || sys::exists(parts_.files.path(owner));
    };
    for (const auto& layer : parts_.layers.list_rw()) {
        if (is_known(layer)) continue;
        try {
            (void)parts_.layers.remove_rw(layer);
            base::log::warn("removed layer {}: its container was never completed", layer);
        } catch (const base::Error& error) {
            base::log::error("layer {} stays: {}", layer, error.what());
        }
    }
    parts_.layers.sweep_unclaimed(is_known);
}

/// Finds out what became of a container while no daemon ran.
void Containers::restore_one(const ContainerRef& container) {
    const base::Lock lock(container->operation);
    auto& record = container->record;
    record.state.restarting = false;
    for (auto& [destination, point] : record.mount_points) {
        if (point.type != "volume") continue;
        const std::string lies = parts_.volumes.restore_hold(point.name, container->id);
        // Docker leaves the place of an anonymous volume out.
        if (point.source.empty()) point.source = lies;
    }
    const std::string directory = state_directory(container->id);
    auto found = runtime_->recover(directory, container->id);
    using State = runtime::Recovered::State;
    const bool lives = found.state == State::running || found.state == State::orphaned;
    const bool had_run = record.state.running || found.state != State::gone;
    if (had_run) readopt_resources(*container, lives ? found.monitor.get() : nullptr);
    // A commit that died with its daemon holds nobody.
    const bool held = ::unlink(commit_mark(container->id).c_str()) == 0;
    if (held && lives && container->cgroup) container->cgroup.thaw();
    if (lives) {
        adopt_running(container, std::move(found));
    } else if (had_run) {
        if (found.state == State::exited) {
            record.state.exit_code = found.exit.exit_code;
            record.state.finished_at = found.exit.finished_at;
        } else {
            record.state.exit_code = lost_exit_code;
            record.state.finished_at = base::WallTime::now();
        }
        if (record.state.started_at.is_zero()) record.state.started_at = record.created;
        // True already when the last daemon had written the end down before its own.
        record.state.oom_killed = record.state.oom_killed ||
                                  (container->cgroup && container->cgroup.oom_kills() > 0);
        release_resources(*container);
        record.state.running = false;
        record.state.paused = false;
        record.state.pid = 0;
        begin_save_state(record).wait();
        save_relaxed(record);
        runtime::Runtime::forget(directory);
        if (found.monitor) found.monitor->release();
    } else {
        // The last daemon died between the files in it and the directory. A monitor that has just made it has
        // lost its daemon, and gives up in any case.
        runtime::Runtime::forget(directory);
    }
    publish(*container);
}

/// Takes over what the container's run holds, to keep it with its monitor or to release it.
void Containers::readopt_resources(Container& container, const runtime::Monitor* monitor) {
    auto& record = container.record;
    const bool lives = monitor != nullptr;
    container.cgroup = parts_.cgroups.find(cgroup_parent_of(record), container.id,
                                           lives ? monitor->pid() : 0);
    if (const auto saved = load_network_state(container.id)) {
        try {
            std::vector<std::string> on;
            for (const auto& [name, endpoint] : record.network.networks) on.push_back(name);
            container.sandbox =
                parts_.networks.restore(*saved, container.id, record.name.substr(1), on);
            if (lives) show_network(container);
        } catch (const base::Error& error) {
            base::log::debug("container {}: its network is gone: {}", container.id, error.what());
        }
    }
    const bool shares = record.host_config.ipc_mode == "shareable" && !record.shm_path.empty();
    container.shm_mounted = shares;
    // What an ended container had is unmounted when all containers are known: its volumes by
    // Volumes::give_back_lost_mounts(), its layers by Layers::clean_mounts().
    if (!lives) return;
    (void)parts_.layers.mount_rw(container.id);
    container.rootfs_mounted = true;
    for (const auto& [destination, point] : record.mount_points) {
        if (point.type == "volume") {
            parts_.volumes.restore_mount(point.name, point.driver, point.id);
            container.held_mounts.push_back(
                {HeldMount::Kind::volume, point.name, point.driver, point.id});
        } else if (point.type == "image" && parts_.layers.has_rw(point.id)) {
            (void)parts_.layers.mount_rw(point.id);
            container.held_mounts.push_back({HeldMount::Kind::image, point.id, {}, {}});
        }
    }
}

/// Of a connect or disconnect that its daemon's death cut off: what is left of the network, when all
/// containers have theirs.
void Containers::settle_network(const ContainerRef& container) {
    auto& record = container->record;
    if (!container->sandbox || !record.state.running) return;
    const auto left = parts_.networks.settle(*container->sandbox, wanted_ports(record));
    if (left.empty()) return;
    for (const net::EndpointInfo& endpoint : left) {
        model::EndpointSettings settings;
        endpoint.fill(settings);
        edit_own_hosts(record, settings, /*add=*/false);
    }
    show_network(*container);
    save_network_state(*container);
    save_relaxed(record);
    publish(*container);
}

/// What the container's own file says of its network is older than its start when the daemon died
/// in the middle of that.
void Containers::show_network(Container& container) {
    auto& network = container.record.network;
    network.sandbox_id = container.sandbox->id();
    network.sandbox_key = container.sandbox->key();
    for (const auto& endpoint : container.sandbox->endpoints()) {
        const auto found = network.networks.find(endpoint.network_name);
        if (found != network.networks.end()) endpoint.fill(found->second.settings);
    }
    show_ports(container);
}

void Containers::adopt_running(const ContainerRef& reference, runtime::Recovered found) {
    auto& container = *reference;
    auto& record = container.record;
    container.monitor = std::move(found.monitor);
    // Nobody is left who would take the results of the other daemon's probes.
    for (const auto& exec : found.execs) {
        if (is_probe(exec)) container.monitor->exec_kill(exec);
    }
    record.state.running = true;
    record.state.pid = container.monitor->pid();
    record.state.paused = container.cgroup && container.cgroup.is_frozen();
    const auto now = base::WallTime::now();
    if (record.state.started_at.is_zero()) record.state.started_at = now;
    const auto age =
        std::max<std::int64_t>(0, now.unix_nano() - record.state.started_at.unix_nano());
    container.started_mono = std::chrono::steady_clock::now() - std::chrono::nanoseconds(age);
    container.oom_kills_seen = container.cgroup ? container.cgroup.oom_kills() : 0;
    if (container.cgroup) {
        oom_watcher_.watch(container.id, container.cgroup.open_oom_events());
    }
    if (!record.state.paused) begin_health(reference);
    const base::Lock lock(container.waiters_mutex);
    container.log_run = std::make_shared<logs::Run>();
}

/// Starts and removes what Docker starts and removes when the daemon comes up.
// Source: moby daemon/daemon.go, restore.
void Containers::apply_policy_at_start(const ContainerRef& container) {
    bool remove = false;
    {
        const base::Lock lock(container->operation);
        auto& record = container->record;
        if (record.state.running || container->removed) return;
        const auto& policy = record.host_config.restart_policy.name;
        const bool stopped_by_user = record.has_been_manually_stopped;
        remove = record.host_config.auto_remove;
        const auto& retries = record.host_config.restart_policy.maximum_retry_count;
        const bool fails_again =
            record.state.exit_code != 0 && (retries == 0 || record.restart_count < retries);
        const bool restarts = policy == "always" ||
                              (policy == "unless-stopped" && !stopped_by_user) ||
                              (policy == "on-failure" && fails_again);
        if (!remove && restarts && record.has_been_started_before) {
            try {
                (void)start_anew(container);
            } catch (const base::Error& error) {
                base::log::error("failed to start container {}: {}", container->id, error.what());
            }
        }
    }
    if (remove) remove_container(container, {.volumes = true, .force = true}, container->id);
}

void Containers::save_network_state(const Container& container) {
    if (container.sandbox) write_network_state(container.id, container.sandbox->save());
}

void Containers::write_network_state(const std::string& id, const std::string& state) {
    const std::string path = options_.exec_root + "/sandboxes";
    const base::Fd directory = store::open_or_make_directory(path);
    store::Batch batch;  // for this boot only: never committed
    batch.replace(directory.get(), id, state, 0600);
}

std::optional<std::string> Containers::load_network_state(const std::string& id) const {
    const std::string path = options_.exec_root + "/sandboxes";
    const base::Fd directory{::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    try {
        return store::read_file(directory.get(), id, network_state_limit);
    } catch (const base::Error&) {
        return std::nullopt;
    }
}

/// What a daemon that was killed within a start or a removal left of containers that have no run.
void Containers::sweep_runs() {
    const auto runs = store::open_or_make_directory(options_.exec_root + "/containers");
    for (const std::string& id : archive::sorted_names(runs.get())) {
        // One with files in it stays.
        if (!index_.find_id(id)) (void)::unlinkat(runs.get(), id.c_str(), AT_REMOVEDIR);
    }
    const auto directory = store::open_or_make_directory(options_.exec_root + "/sandboxes");
    for (const std::string& id : archive::sorted_names(directory.get())) {
        const auto container = index_.find_id(id);
        if (!container || !container->snapshot()->state.running) forget_network_state(id);
    }
}

void Containers::forget_network_state(const std::string& id) noexcept {
    // Missing is as good: the file only helps a daemon that takes this container over.
    (void)::unlink((options_.exec_root + "/sandboxes/" + id).c_str());
}

}  // namespace dockerd::engine

#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dockerd/base/timers.hpp>
#include <dockerd/base/worker_pool.hpp>
#include <dockerd/engine/containers.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/namespace_mode.hpp>
#include <dockerd/net/etc_files.hpp>
#include <dockerd/net/networks.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/plan_container.hpp>
#include <dockerd/runtime/runtime.hpp>
#include <dockerd/runtime/sysinfo.hpp>
#include <dockerd/store/container_files.hpp>
#include <dockerd/store/images.hpp>
#include <dockerd/store/layers.hpp>

#include "cdi/devices.hpp"
#include "events/events.hpp"
#include "index.hpp"
#include "link_index.hpp"
#include "logs/wake.hpp"
#include "oom_watcher.hpp"
#include "plan_input.hpp"
#include "probe.hpp"
#include "runtimes.hpp"
#include "state_writer.hpp"
#include "volumes/volumes.hpp"

namespace dockerd::engine {

/// What containers get that do not say; a reload of the configuration may change it.
struct ContainerDefaults {
    std::string ipc_mode = "private";
    std::string cgroupns_mode;  ///< empty: private on v2, host on v1
    std::int64_t shm_size = 64 * 1024 * 1024;
    Runtimes runtimes;
};

/// The daemon's settings that containers depend on.
struct ContainersOptions {
    std::string data_root;
    std::string exec_root;
    std::string cgroup_parent;
    bool live_restore = false;
    std::shared_ptr<cdi::Registry> cdi;  ///< null where it is switched off
    std::chrono::seconds shutdown_timeout{15};
    std::string log_driver = "json-file";
    model::StringMap log_options;
    ContainerDefaults defaults;
    bool init = false;
    std::string seccomp_profile;
    bool no_new_privileges = false;
    net::DnsOverrides dns;
    std::vector<model::Ulimit> default_ulimits;
};

/// What containers stand on; all of it outlives them.
struct ContainersParts {
    store::Layers& layers;
    store::Images& images;
    store::ContainerFiles& files;
    net::Networks& networks;
    const runtime::CgroupHost& cgroups;
    const runtime::SysInfo& sysinfo;
    Events& events;
    Volumes& volumes;
};

/// All containers of the daemon and what may happen to them. One verb a file.
class Containers final : public ContainerService {
public:
    Containers(ContainersOptions options, ContainersParts parts);
    ~Containers() override;

    /// Reads all containers from disk, finds running ones again, and applies restart policies.
    void restore();
    /// Prepares what the first start would wait for. Thread: any.
    void warm();
    /// Whether containers outlive a graceful end of the daemon. Thread: any.
    void set_live_restore(bool on) { live_restore_ = on; }
    /// How long a graceful end waits for containers. Thread: any.
    void set_shutdown_timeout(std::chrono::seconds timeout) { shutdown_timeout_ = timeout; }
    /// What containers that are created from now on get. Thread: any.
    void set_defaults(ContainerDefaults defaults);
    /// As Runtime::start_program. Thread: any.
    base::Fd start_program(const std::string& name, int program, std::span<const int> fds) {
        return runtime_->start_program(name, program, fds);
    }
    /// Graceful end of the daemon: stops containers unless they are to live on.
    void shutdown();
    /// What running containers use now, but for those that something is being done with.
    [[nodiscard]] std::vector<StatsSample> stats_of_all();

    std::vector<std::string> verify(model::ContainerCreate request) override;
    CreateResult create(std::string name, const std::string& platform,
                        model::ContainerCreate request) override;
    void keep(std::string_view reference) override;
    StartOutcome start(std::string_view reference, const std::string& detach_keys) override;
    StopOutcome stop(std::string_view reference, const StopOptions& options) override;
    void restart(std::string_view reference, const StopOptions& options) override;
    void kill(std::string_view reference, const std::string& signal) override;
    void remove(std::string_view reference, const RemoveOptions& options) override;
    void rename(std::string_view reference, const std::string& name) override;
    void pause(std::string_view reference) override;
    void unpause(std::string_view reference) override;
    void resize(std::string_view reference, std::uint16_t height, std::uint16_t width) override;
    std::vector<std::string> update(std::string_view reference,
                                    const model::ContainerUpdate& request) override;
    TopResult top(std::string_view reference, const std::string& ps_args) override;
    std::vector<FileChange> changes(std::string_view reference) override;
    std::string commit(std::string_view reference, const CommitOptions& options) override;
    StatsSample stats(std::string_view reference) override;
    ContainerPtr inspect(std::string_view reference, bool size) override;
    std::vector<ContainerSummary> list(const ListOptions& options) override;
    Subscription wait(std::string_view reference, WaitCondition condition,
                      std::function<void(WaitResult)> done) override;
    std::unique_ptr<StreamSession> attach(std::string_view reference,
                                          const AttachOptions& options) override;
    std::unique_ptr<LogStream> logs(std::string_view reference, const LogOptions& options) override;
    std::string exec_create(std::string_view reference, const model::ExecCreate& request) override;
    std::unique_ptr<StreamSession> exec_attach(std::string_view exec_id,
                                               const model::ExecStart& request) override;
    void exec_start_detached(std::string_view exec_id, const model::ExecStart& request) override;
    void exec_resize(std::string_view exec_id, std::uint16_t height, std::uint16_t width) override;
    ExecSnapshot exec_inspect(std::string_view exec_id) override;
    PathStat stat_path(std::string_view reference, const std::string& path) override;
    void archive_path(std::string_view reference, const std::string& path, ContentEncoding encoding,
                      const std::function<void(const PathStat&)>& found,
                      const ByteWriter& sink) override;
    void extract_to_path(std::string_view reference, const std::string& path,
                         const ExtractPathOptions& options, const ByteReader& source) override;
    void export_files(std::string_view reference, const ByteWriter& sink) override;
    PruneResult prune(const model::Filters& filters) override;

    /// Connects a container to a network, or takes it off; running ones at once.
    void connect_network(const net::NetworkRecord& network, const model::NetworkConnect& request);
    void disconnect_network(const net::NetworkRecord& network,
                            const model::NetworkDisconnect& request);
    /// Names of the networks that containers refer to, each as often as it is.
    [[nodiscard]] std::vector<std::string> used_networks() const;

    /// All containers as they are, for other services' questions about use.
    [[nodiscard]] std::vector<ContainerPtr> snapshots() const;

private:
    friend class AttachSession;
    // create.cpp
    void verify_create(model::ContainerCreate& request, std::vector<std::string>& warnings) const;
    void check_shared_namespaces(const model::HostConfig& host) const;
    void name_shared_by_id(model::HostConfig& host) const;
    void fill_host_config(model::HostConfig& host) const;
    /// systemd makes the cgroups.
    [[nodiscard]] bool has_scopes() const;
    [[nodiscard]] ContainerDefaults defaults() const;
    std::string reserve_name(const std::string& wanted, const std::string& id);
    void build_on_disk(const ContainerRef& container, const std::string& chain_id,
                       const model::ContainerCreate& request);
    void prepare_rootfs(const ContainerRef& container, const std::set<std::string>& of_others);
    // links.cpp
    [[nodiscard]] ContainerRef linked_container(std::string name) const;
    void register_links(const store::ContainerRecord& record);
    void add_link(const LinkIndex::Link& link);
    void release_links(const std::string& id) noexcept;
    void rename_links(const std::string& id, const std::string& name);
    void remove_link(std::string_view reference);
    void name_by_links(ContainerSnapshot& snapshot) const;
    void show_links_of(const std::string& id) noexcept;
    [[nodiscard]] model::Strings shown_links(const std::string& id) const;
    [[nodiscard]] std::vector<std::string> linked_environment(
        const store::ContainerRecord& record) const;
    [[nodiscard]] std::vector<std::pair<std::string, net::IpAddress>> linked_hosts(
        const store::ContainerRecord& record) const;
    void tell_parents_address(const store::ContainerRecord& record);
    void open_links(const store::ContainerRecord& record);
    void close_link(const LinkIndex::Link& link) noexcept;
    // mounts.cpp
    void give_back(const store::ContainerRecord& record, const store::MountPointRecord& replaced);
    void take_mounts_of_others(store::ContainerRecord& record, store::Batch& batch);
    /// Whether what is mounted below a read-only bind is made read-only too.
    enum class ReadOnlyBinds { recursive, top_only };
    std::set<std::string> register_mounts(store::ContainerRecord& record,
                                          ReadOnlyBinds read_only_binds, store::Batch& batch);
    void register_image_volumes(store::ContainerRecord& record, const std::string& rootfs);
    void populate_volumes(const store::ContainerRecord& record, const std::string& rootfs,
                          const std::set<std::string>& of_others);
    void release_volumes(const store::ContainerRecord& record, bool remove) noexcept;
    // mount_sources.cpp
    void mount_sources(Container& container, std::vector<HeldMount>& mounted);
    void unmount_sources(const std::string& id, std::vector<HeldMount>& mounted) noexcept;
    std::string mount_volume(const store::MountPointRecord& point);
    void attach_image(const std::string& container, const std::string& chain_id,
                      store::MountPointRecord& point, store::Batch& batch);
    void mount_image(const std::string& container, store::MountPointRecord& point);
    void remove_image_layers(const store::ContainerRecord& record);
    // start.cpp
    StartOutcome start_container(const ContainerRef& container);
    StartOutcome start_anew(const ContainerRef& container);
    void start_locked(const ContainerRef& container);
    static void await_arrivals(Container& container);
    base::WallTime start_steps(const ContainerRef& container);
    void connect_networks(const ContainerRef& container);
    static void show_ports(Container& container);
    void write_etc_files(Container& container);
    void rewrite_resolv_conf(const store::ContainerRecord& record);
    // hosts_file.cpp
    using HostsChange = std::function<std::string(const std::string& text)>;
    void edit_hosts(const std::string& id, const HostsChange& change);
    void edit_own_hosts(const store::ContainerRecord& record,
                        const model::EndpointSettings& endpoint, bool add);
    // resolv_conf.cpp
    void write_resolv_conf(const store::ContainerRecord& record, const base::Fd& folder,
                           store::Batch& batch, bool anew) const;
    // namespaces.cpp
    JoinedNamespaces find_namespaces(const Container& container);
    [[nodiscard]] std::shared_ptr<const ContainerSnapshot> networked_donor(
        const store::ContainerRecord& record) const;
    [[nodiscard]] std::string shared_shm(const ContainerSnapshot& donor) const;
    std::string prepare_shm(Container& container, const JoinedNamespaces& joined);
    void release_shm(Container& container) noexcept;
    // log_plan.cpp
    [[nodiscard]] runtime::LogTarget plan_log(const store::ContainerRecord& record) const;
    [[nodiscard]] std::string log_path_of(const std::string& id, const std::string& driver) const;
    // stats.cpp
    static StatsSample sample_stats(Container& container);
    // plan.cpp
    runtime::CgroupMaker prepare_cgroup(Container& container, runtime::CgroupLimits limits);
    runtime::ContainerPlan make_plan(Container& container, PlanSources sources);
    runtime::ExecPlan plan_exec(const Container& container, const Exec& exec) const;
    std::shared_ptr<runtime::ExecPlan> plan_probe(const Container& container, const Exec& exec);
    runtime::SecurityOptions security_of(const store::ContainerRecord& record) const;
    runtime::SeccompFilterPtr seccomp_of(const store::ContainerRecord& record,
                                         runtime::CapabilitySet capabilities) const;
    void mark_running(const ContainerRef& container, base::WallTime started_at);
    void note_start_failure(const ContainerRef& container, const base::Error& error);
    // exit.cpp
    void handle_exit(const std::string& id, const runtime::ExitInfo& exit);
    void mark_stopped(const ContainerRef& container, const runtime::ExitInfo& exit);
    void release_resources(Container& container);
    bool wants_restart(const Container& container, std::int64_t exit_code) const;
    void schedule_restart(const ContainerRef& container);
    void restart_by_policy(const ContainerRef& container, std::uint64_t run);
    void handle_oom(const std::string& id);
    void note_oom(Container& container);
    void wake_waiters(Container& container, bool removed, const WaitResult& result);
    // stop.cpp
    StopOutcome stop_container(const ContainerRef& container, const StopOptions& options);
    void signal_locked(Container& container, int signal);
    void stop_between_runs(Container& container);
    void kill_hard(const ContainerRef& container);
    // pause.cpp
    void pause_container(const ContainerRef& container);
    void unpause_container(const ContainerRef& container);
    // commit.cpp
    std::string commit_files(const Container& container, const CommitOptions& options);
    // remove.cpp
    void remove_container(const ContainerRef& container, const RemoveOptions& options,
                          std::string_view reference);
    void remove_locked(const ContainerRef& container, bool volumes);
    // file_view.cpp
    using FileWork = std::function<void(int root, const store::ContainerRecord& record)>;
    using RootfsWork = std::function<void(base::Fd rootfs, const store::ContainerRecord& record)>;
    void with_files(const ContainerRef& container, const FileWork& work);
    void with_rootfs(const ContainerRef& container, const RootfsWork& work);
    static void await_copies(Container& container, base::Lock& lock);
    // restore.cpp
    void sweep_layers();
    void refuse_foreign_runs(const std::vector<store::ContainerRecord>& records) const;
    void restore_one(const ContainerRef& container);
    void readopt_resources(Container& container, const runtime::Monitor* monitor);
    void settle_network(const ContainerRef& container) DOCKERD_REQUIRES(container->operation);
    static void show_network(Container& container);
    void adopt_running(const ContainerRef& container, runtime::Recovered found);
    void apply_policy_at_start(const ContainerRef& container);
    void join_network(Container& container, const net::NetworkRecord& network,
                      store::EndpointRecord endpoint) DOCKERD_REQUIRES(container.operation);
    void leave_network(Container& container, const net::NetworkRecord& network,
                       const model::EndpointSettings& settings)
        DOCKERD_REQUIRES(container.operation);
    void save_network_state(const Container& container);
    void write_network_state(const std::string& id, const std::string& state);
    std::optional<std::string> load_network_state(const std::string& id) const;
    void sweep_runs();
    void forget_network_state(const std::string& id) noexcept;
    // logs.cpp
    std::unique_ptr<LogStream> open_log(const ContainerRef& container, const LogOptions& options,
                                        std::optional<runtime::LogPosition> end);
    // exec
    void leave_out_ended(std::vector<std::string>& exec_ids) const;
    [[nodiscard]] std::shared_ptr<Exec> get_live_exec(std::string_view exec_id) const;
    std::shared_ptr<Exec> get_exec(std::string_view exec_id) const;
    void run_exec(const std::shared_ptr<Exec>& exec, std::optional<runtime::PendingAttach> client);
    void handle_exec_exit(const std::string& id, const std::string& exec_id, int code);
    void end_execs(const ContainerRef& container);
    void exec_ended(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                    std::int64_t code, bool ran = true);
    void log_exec_event(const store::ContainerRecord& record, const char* action, const Exec& exec);
    // health.cpp
    static bool is_probe(std::string_view monitor_exec_id);
    static std::string_view engine_exec_id(std::string_view monitor_exec_id);
    void begin_health(const ContainerRef& container);
    void resume_health(const ContainerRef& container);
    void end_health(Container& container);
    template <typename Job>
    void with_lock_soon(const ContainerRef& container, Job job);
    void schedule_probe(const ContainerRef& container);
    void run_probe(const ContainerRef& container, const HealthWatchRef& watch);
    void probe_started(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                       const runtime::ExecStarted& started);
    void watch_probe(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                     std::chrono::nanoseconds rest);
    void time_out_probe(const ContainerRef& container, const std::shared_ptr<Exec>& exec);
    void fail_probe(const ContainerRef& container, const std::shared_ptr<Exec>& exec,
                    const std::string& reason);
    void probe_exited(const ContainerRef& container, const std::shared_ptr<Exec>& exec, int code);
    void take_probe_result(const ContainerRef& container, const Exec& exec, std::int64_t code,
                           std::string output);
    // list.cpp
    [[nodiscard]] std::vector<std::string> with_children(const std::string& image) const;
    // snapshot.cpp
    /// What differs from the snapshot before.
    enum class Changed { anything, state };
    void publish(Container& container, Changed changed = Changed::anything);
    void publish_health(Container& container);
    /// What a name of an image means during one list: many containers share few names.
    struct ImageName {
        bool is_reference = false;
        std::string id;  // empty: no such image
    };
    using ImageNames = std::unordered_map<std::string, ImageName>;
    [[nodiscard]] std::string listed_image(const ContainerSnapshot& container,
                                           ImageNames& names) const;
    ContainerSummary summarize(const ContainerPtr& container, ImageNames& names) const;
    [[nodiscard]] std::string state_directory(const std::string& id) const;
    [[nodiscard]] std::string commit_mark(const std::string& id) const;
    [[nodiscard]] std::string cgroup_parent_of(const store::ContainerRecord& record) const;
    void log_event(const store::ContainerRecord& record, const std::string& action,
                   const std::map<std::string, std::string>& extra = {});
    void log_network_event(const store::ContainerRecord& record, const std::string& action,
                           const std::string& network_id, const std::string& network_name,
                           const std::string& driver);
    void save_relaxed(const store::ContainerRecord& record) noexcept;
    void save_durable(const store::ContainerRecord& record) noexcept;
    StateWriter::Pending begin_save_state(const store::ContainerRecord& record,
                                          store::RunState state);
    StateWriter::Pending begin_save_state(const store::ContainerRecord& record);

    ContainersOptions options_;
    ContainersParts parts_;
    runtime::HostFacts facts_;
    ContainerIndex index_;
    LinkIndex links_;
    base::Timers timers_;
    mutable base::Mutex defaults_mutex_;
    ContainerDefaults defaults_ DOCKERD_GUARDED_BY(defaults_mutex_);
    std::atomic<std::chrono::seconds> shutdown_timeout_;
    std::atomic<bool> live_restore_{false};
    std::atomic<bool> shutting_down_{false};
    std::atomic<bool> pruning_{false};
    mutable base::Mutex execs_mutex_;
    std::map<std::string, std::shared_ptr<Exec>, std::less<>> execs_
        DOCKERD_GUARDED_BY(execs_mutex_);
    logs::Watcher log_watcher_;
    // The threads of these call into all that is below: the destructor stops them first. Jobs
    // that still run need them to the end.
    std::unique_ptr<runtime::Runtime> runtime_;
    OomWatcher oom_watcher_;
    StateWriter states_;  ///< outlives the lifecycle jobs that wait for it
    ProbeReader probe_reader_;
    base::WorkerPool lifecycle_;
    /// Health checks; a container that is held up must not hold up the ends of others.
    base::WorkerPool probes_;
    std::unique_ptr<base::WorkerPool> stops_;  ///< of the shutdown
};

}  // namespace dockerd::engine

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>
#include <dockerd/store/durable.hpp>

namespace dockerd::store {

/// One run of a health check, as config.v2.json has it.
struct HealthResult {
    base::WallTime start;
    base::WallTime end;
    std::int64_t exit_code = 0;
    std::string output;
};

/// State.Health of config.v2.json.
struct HealthRecord {
    std::string status;  ///< "starting", "healthy", "unhealthy", "none"
    std::int64_t failing_streak = 0;
    std::vector<HealthResult> log;
};

/// `State` of config.v2.json.
struct StateRecord {
    bool running = false;
    bool paused = false;
    bool restarting = false;
    bool oom_killed = false;
    bool dead = false;
    std::int64_t pid = 0;
    std::int64_t exit_code = 0;
    std::string error;
    base::WallTime started_at;
    base::WallTime finished_at;
    std::optional<HealthRecord> health;
};

/// A value of `MountPoints`; its key is `destination`.
struct MountPointRecord {
    std::string source;
    std::string destination;
    bool rw = false;
    std::string name;
    std::string driver;
    std::string type;
    std::string mode;  ///< key "Relabel"
    std::string propagation;
    std::string id;
    model::Mount spec;
    bool skip_mountpoint_creation = false;
};

/// A value of `NetworkSettings.Networks`.
struct EndpointRecord {
    model::EndpointSettings settings;
    bool ipam_operational = false;
    std::string desired_mac_address;
};

/// NetworkSettings of config.v2.json.
struct NetworkRecord {
    std::string bridge;
    std::string sandbox_id;
    std::string sandbox_key;
    bool hairpin_mode = false;
    std::map<std::string, EndpointRecord> networks;
    model::PortMap ports;
    bool has_swarm_endpoint = false;
};

/// Everything containers/<id>/ says about a container, in the fields of config.v2.json.
/// Source: moby container/container.go, Container.
struct ContainerRecord {
    bool of_step = false;  ///< of a build; not on the disk
    std::string id;
    StateRecord state;
    base::WallTime created;
    bool managed = false;
    std::string path;
    std::vector<std::string> args;
    model::ContainerConfig config;
    std::string image_id;  ///< "sha256:..."
    NetworkRecord network;
    std::string log_path;
    std::string name;  ///< with the leading slash
    std::string driver = "overlay2";
    std::string os = "linux";
    std::string platform_architecture;
    std::string platform_variant;
    std::int64_t restart_count = 0;
    bool has_been_started_before = false;
    bool has_been_manually_stopped = false;
    std::map<std::string, MountPointRecord> mount_points;
    std::string mount_label;
    std::string process_label;
    std::string app_armor_profile;
    std::string seccomp_profile;
    bool no_new_privileges = false;
    std::optional<bool> writable_cgroups;
    std::string hostname_path;
    std::string hosts_path;
    std::string shm_path;
    std::string resolv_conf_path;
    bool log_cache_has_notify = false;
    /// hostconfig.json.
    model::HostConfig host_config;
    /// Fields of the file this struct does not know, as JSON text; written back as they were.
    std::string unknown_json;
};

class Reaper;
struct RunState;

/// The folder containers/ of a data root.
///
/// Thread: safe for different containers at once; the caller serialises one container's saves.
class ContainerFiles {
public:
    explicit ContainerFiles(const std::string& data_root);
    ~ContainerFiles();
    ContainerFiles(const ContainerFiles&) = delete;
    ContainerFiles& operator=(const ContainerFiles&) = delete;

    /// Reads all containers, several at a time. One that cannot be read, or belongs to another
    /// storage driver, is left alone with a log line. Removals that were cut off are finished.
    [[nodiscard]] std::vector<ContainerRecord> load_all() const;
    /// Throws: not_found, or internal with the parser's words.
    [[nodiscard]] ContainerRecord load(const std::string& id) const;

    /// Makes containers/<id>/ with both files and flushes everything in `batch` with it: one
    /// commit of the disk for the whole of a create. Until then nothing of it is visible.
    /// Throws: conflict when the folder exists.
    void create(const ContainerRecord& record, Batch& batch);
    /// Replaces config.v2.json; durable on return.
    void save(const ContainerRecord& record) const;
    /// Replaces hostconfig.json too.
    void save_with_host_config(const ContainerRecord& record) const;
    /// Replaces config.v2.json atomically without waiting for the disk.
    void save_relaxed(const ContainerRecord& record) const;
    /// Writes what a start or an end changed; durable on return. What load() returns has it, also
    /// if config.v2.json is older. Throws: internal.
    void save_state(const std::string& id, const RunState& state, Flush flush = Flush::now) const;
    /// Takes the container's folder away: renamed at once and durably, deleted after.
    void remove(const std::string& id, Flush flush = Flush::now) const;

    /// "<data_root>/containers/<id>".
    [[nodiscard]] std::string path(const std::string& id) const;
    /// The same as a descriptor.
    [[nodiscard]] base::Fd directory(const std::string& id) const;

private:
    std::string root_;
    base::Fd root_fd_;
    std::unique_ptr<Reaper> reaper_;
};

/// config.v2.json's text for a record, newline included.
std::string encode_container_record(const ContainerRecord& record);
/// hostconfig.json's text for a record, newline included.
std::string encode_host_config(const ContainerRecord& record);
/// Reads config.v2.json's and hostconfig.json's text. Throws: internal.
ContainerRecord decode_container_record(std::string_view config, std::string_view host_config);

}  // namespace dockerd::store

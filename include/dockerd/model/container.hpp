#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <dockerd/model/collections.hpp>

namespace dockerd::model {

/// How a container's health is probed. Units: nanoseconds; 0 means inherit or default.
struct HealthConfig {
    Strings test;
    std::int64_t interval = 0;
    std::int64_t timeout = 0;
    std::int64_t start_period = 0;
    std::int64_t start_interval = 0;
    std::int64_t retries = 0;
};

/// The portable half of a container's configuration: API `ContainerConfig`, an image's "config".
/// Source: API document, ContainerConfig; field order is that of `docker inspect`.
struct ContainerConfig {
    std::string hostname;
    std::string domainname;
    std::string user;
    bool attach_stdin = false;
    bool attach_stdout = false;
    bool attach_stderr = false;
    StringSet exposed_ports;
    bool tty = false;
    bool open_stdin = false;
    bool stdin_once = false;
    Strings env;
    StrSlice cmd;
    std::optional<HealthConfig> healthcheck;
    bool args_escaped = false;
    std::string image;
    StringSet volumes;
    std::string working_dir;
    StrSlice entrypoint;
    bool network_disabled = false;
    std::string mac_address;
    Strings on_build;
    StringMap labels;
    std::string stop_signal;
    /// Units: seconds; -1 waits for ever.
    std::optional<std::int64_t> stop_timeout;
    StrSlice shell;
};

struct LogConfig {
    std::string type;
    StringMap config;
};

struct PortBinding {
    std::string host_ip;
    std::string host_port;
};
using PortMap = Map<List<PortBinding>>;

struct RestartPolicy {
    std::string name;
    std::int64_t maximum_retry_count = 0;
};

struct WeightDevice {
    std::string path;
    std::int64_t weight = 0;
};

/// Units: bytes or operations a second, by the list it stands in.
struct ThrottleDevice {
    std::string path;
    std::uint64_t rate = 0;
};

struct DeviceMapping {
    std::string path_on_host;
    std::string path_in_container;
    std::string cgroup_permissions;
};

struct DeviceRequest {
    std::string driver;
    std::int64_t count = 0;
    Strings device_ids;
    List<Strings> capabilities;
    StringMap options;
};

struct Ulimit {
    std::string name;
    std::int64_t hard = 0;
    std::int64_t soft = 0;
};

struct BindOptions {
    std::string propagation;
    bool non_recursive = false;
    bool create_mountpoint = false;
    bool read_only_non_recursive = false;
    bool read_only_force_recursive = false;
};

struct VolumeDriver {
    std::string name;
    StringMap options;
};

struct VolumeOptions {
    bool no_copy = false;
    StringMap labels;
    std::string subpath;
    std::optional<VolumeDriver> driver_config;
};

struct ImageOptions {
    std::string subpath;
};

struct TmpfsOptions {
    std::int64_t size_bytes = 0;
    std::int64_t mode = 0;
    List<Strings> options;
};

/// One `--mount`. Source: API document, Mount.
struct Mount {
    std::string type;
    std::string source;
    std::string target;
    bool read_only = false;
    std::string consistency;
    std::optional<BindOptions> bind_options;
    std::optional<VolumeOptions> volume_options;
    std::optional<ImageOptions> image_options;
    std::optional<TmpfsOptions> tmpfs_options;
};

/// Limits of a container's cgroup, flat in HostConfig and in `update` requests.
struct Resources {
    std::int64_t cpu_shares = 0;
    std::int64_t memory = 0;     ///< bytes
    std::int64_t nano_cpus = 0;  ///< 1e-9 CPUs
    std::string cgroup_parent;
    std::int64_t blkio_weight = 0;
    List<WeightDevice> blkio_weight_device;
    List<ThrottleDevice> blkio_device_read_bps;
    List<ThrottleDevice> blkio_device_write_bps;
    List<ThrottleDevice> blkio_device_read_iops;
    List<ThrottleDevice> blkio_device_write_iops;
    std::int64_t cpu_period = 0;            ///< microseconds
    std::int64_t cpu_quota = 0;             ///< microseconds
    std::int64_t cpu_realtime_period = 0;   ///< microseconds
    std::int64_t cpu_realtime_runtime = 0;  ///< microseconds
    std::string cpuset_cpus;
    std::string cpuset_mems;
    List<DeviceMapping> devices;
    Strings device_cgroup_rules;
    List<DeviceRequest> device_requests;
    std::int64_t kernel_memory = 0;
    std::int64_t kernel_memory_tcp = 0;
    std::int64_t memory_reservation = 0;  ///< bytes
    std::int64_t memory_swap = 0;         ///< bytes, memory included; -1 unlimited
    std::optional<std::int64_t> memory_swappiness;
    std::optional<bool> oom_kill_disable;
    std::optional<std::int64_t> pids_limit;
    List<Ulimit> ulimits;
    std::int64_t cpu_count = 0;
    std::int64_t cpu_percent = 0;
    std::uint64_t io_maximum_iops = 0;
    std::uint64_t io_maximum_bandwidth = 0;
};

/// The half of a container's configuration that belongs to this host; hostconfig.json.
/// Source: API document, HostConfig; field order is that of `docker inspect`.
struct HostConfig {
    Strings binds;
    std::string container_id_file;
    LogConfig log_config;
    std::string network_mode;
    PortMap port_bindings;
    RestartPolicy restart_policy;
    bool auto_remove = false;
    std::string volume_driver;
    Strings volumes_from;
    std::array<std::int64_t, 2> console_size{};  ///< height, width
    StringMap annotations;
    StrSlice cap_add;
    StrSlice cap_drop;
    std::string cgroupns_mode;
    Strings dns;
    Strings dns_options;
    Strings dns_search;
    Strings extra_hosts;
    Strings group_add;
    std::string ipc_mode;
    std::string cgroup;
    Strings links;
    std::int64_t oom_score_adj = 0;
    std::string pid_mode;
    bool privileged = false;
    bool publish_all_ports = false;
    bool readonly_rootfs = false;
    Strings security_opt;
    StringMap storage_opt;
    StringMap tmpfs;
    std::string uts_mode;
    std::string userns_mode;
    std::int64_t shm_size = 0;  ///< bytes
    StringMap sysctls;
    std::string runtime;
    std::string isolation;
    Resources resources;
    List<Mount> mounts;
    Strings masked_paths;
    Strings readonly_paths;
    std::optional<bool> init;
};

}  // namespace dockerd::model

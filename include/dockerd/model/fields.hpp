#pragma once

#include <concepts>
#include <type_traits>

#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>
#include <dockerd/model/requests.hpp>

/// The JSON name, order and omission of every field, one list a document. A visitor is called as
/// visitor("Name", member) or visitor("Name", member, omit_empty).
///
/// Source: the struct tags of moby api/types; go_name is the Go type clients see in messages.
namespace dockerd::model {

struct OmitEmpty {};
constexpr OmitEmpty omit_empty;

template <typename T>
struct GoName {
    static constexpr const char* value = nullptr;
};
#define DOCKERD_GO_NAME(type, package, name)                         \
    template <>                                                      \
    struct GoName<type> {                                            \
        static constexpr const char* value = #name;                  \
        static constexpr const char* qualified = #package "." #name; \
    }
DOCKERD_GO_NAME(HealthConfig, v1, HealthcheckConfig);
DOCKERD_GO_NAME(ContainerConfig, container, Config);
DOCKERD_GO_NAME(LogConfig, container, LogConfig);
DOCKERD_GO_NAME(PortBinding, nat, PortBinding);
DOCKERD_GO_NAME(RestartPolicy, container, RestartPolicy);
DOCKERD_GO_NAME(WeightDevice, blkiodev, WeightDevice);
DOCKERD_GO_NAME(ThrottleDevice, blkiodev, ThrottleDevice);
DOCKERD_GO_NAME(DeviceMapping, container, DeviceMapping);
DOCKERD_GO_NAME(DeviceRequest, container, DeviceRequest);
DOCKERD_GO_NAME(Ulimit, units, Ulimit);
DOCKERD_GO_NAME(BindOptions, mount, BindOptions);
DOCKERD_GO_NAME(VolumeDriver, mount, Driver);
DOCKERD_GO_NAME(VolumeOptions, mount, VolumeOptions);
DOCKERD_GO_NAME(ImageOptions, mount, ImageOptions);
DOCKERD_GO_NAME(TmpfsOptions, mount, TmpfsOptions);
DOCKERD_GO_NAME(Mount, mount, Mount);
DOCKERD_GO_NAME(Resources, container, Resources);
DOCKERD_GO_NAME(HostConfig, container, HostConfig);
DOCKERD_GO_NAME(EndpointIpamConfig, network, EndpointIPAMConfig);
DOCKERD_GO_NAME(EndpointSettings, network, EndpointSettings);
DOCKERD_GO_NAME(NetworkingConfig, network, NetworkingConfig);
DOCKERD_GO_NAME(IpamConfig, network, IPAMConfig);
DOCKERD_GO_NAME(Ipam, network, IPAM);
DOCKERD_GO_NAME(NetworkCreate, network, CreateRequest);
DOCKERD_GO_NAME(NetworkConnect, network, ConnectOptions);
DOCKERD_GO_NAME(NetworkDisconnect, network, DisconnectOptions);
DOCKERD_GO_NAME(ContainerCreate, container, CreateRequest);
DOCKERD_GO_NAME(ContainerUpdate, container, UpdateConfig);
DOCKERD_GO_NAME(ExecCreate, container, ExecOptions);
DOCKERD_GO_NAME(ExecStart, container, ExecStartOptions);
DOCKERD_GO_NAME(ClusterVolumeSpec, volume, ClusterVolumeSpec);
DOCKERD_GO_NAME(VolumeCreate, volume, CreateOptions);
DOCKERD_GO_NAME(AuthConfig, registry, AuthConfig);
#undef DOCKERD_GO_NAME

template <typename T, typename V>
concept VisitsAs = std::same_as<std::remove_const_t<T>, V>;

/// Go embeds a struct of that name here: messages name it on the way to the fields that follow.
template <typename F>
void enter_embedded(F& f, const char* name) {
    if constexpr (requires { f.enter(name); }) f.enter(name);
}
template <typename F>
void leave_embedded(F& f) {
    if constexpr (requires { f.leave(); }) f.leave();
}

/// A struct that Go embeds: its fields are the outer one's, but messages name it on the way.
template <typename F, typename T>
void embed(F& f, const char* name, T& x) {
    enter_embedded(f, name);
    visit(f, x);
    leave_embedded(f);
}

template <typename F, VisitsAs<HealthConfig> T>
void visit(F& f, T& x) {
    f("Test", x.test, omit_empty);
    f("Interval", x.interval, omit_empty);
    f("Timeout", x.timeout, omit_empty);
    f("StartPeriod", x.start_period, omit_empty);
    f("StartInterval", x.start_interval, omit_empty);
    f("Retries", x.retries, omit_empty);
}

template <typename F, VisitsAs<ContainerConfig> T>
void visit(F& f, T& x) {
    f("Hostname", x.hostname);
    f("Domainname", x.domainname);
    f("User", x.user);
    f("AttachStdin", x.attach_stdin);
    f("AttachStdout", x.attach_stdout);
    f("AttachStderr", x.attach_stderr);
    f("ExposedPorts", x.exposed_ports, omit_empty);
    f("Tty", x.tty);
    f("OpenStdin", x.open_stdin);
    f("StdinOnce", x.stdin_once);
    f("Env", x.env);
    f("Cmd", x.cmd);
    f("Healthcheck", x.healthcheck, omit_empty);
    f("ArgsEscaped", x.args_escaped, omit_empty);
    f("Image", x.image);
    f("Volumes", x.volumes);
    f("WorkingDir", x.working_dir);
    f("Entrypoint", x.entrypoint);
    f("NetworkDisabled", x.network_disabled, omit_empty);
    f("MacAddress", x.mac_address, omit_empty);
    f("OnBuild", x.on_build);
    f("Labels", x.labels);
    f("StopSignal", x.stop_signal, omit_empty);
    f("StopTimeout", x.stop_timeout, omit_empty);
    f("Shell", x.shell, omit_empty);
}

template <typename F, VisitsAs<LogConfig> T>
void visit(F& f, T& x) {
    f("Type", x.type);
    f("Config", x.config);
}

template <typename F, VisitsAs<PortBinding> T>
void visit(F& f, T& x) {
    f("HostIp", x.host_ip);
    f("HostPort", x.host_port);
}

template <typename F, VisitsAs<RestartPolicy> T>
void visit(F& f, T& x) {
    f("Name", x.name);
    f("MaximumRetryCount", x.maximum_retry_count);
}

template <typename F, VisitsAs<WeightDevice> T>
void visit(F& f, T& x) {
    f("Path", x.path);
    f("Weight", x.weight);
}

template <typename F, VisitsAs<ThrottleDevice> T>
void visit(F& f, T& x) {
    f("Path", x.path);
    f("Rate", x.rate);
}

template <typename F, VisitsAs<DeviceMapping> T>
void visit(F& f, T& x) {
    f("PathOnHost", x.path_on_host);
    f("PathInContainer", x.path_in_container);
    f("CgroupPermissions", x.cgroup_permissions);
}

template <typename F, VisitsAs<DeviceRequest> T>
void visit(F& f, T& x) {
    f("Driver", x.driver);
    f("Count", x.count);
    f("DeviceIDs", x.device_ids);
    f("Capabilities", x.capabilities);
    f("Options", x.options);
}

template <typename F, VisitsAs<Ulimit> T>
void visit(F& f, T& x) {
    f("Name", x.name);
    f("Hard", x.hard);
    f("Soft", x.soft);
}

template <typename F, VisitsAs<BindOptions> T>
void visit(F& f, T& x) {
    f("Propagation", x.propagation, omit_empty);
    f("NonRecursive", x.non_recursive, omit_empty);
    f("CreateMountpoint", x.create_mountpoint, omit_empty);
    f("ReadOnlyNonRecursive", x.read_only_non_recursive, omit_empty);
    f("ReadOnlyForceRecursive", x.read_only_force_recursive, omit_empty);
}

template <typename F, VisitsAs<VolumeDriver> T>
void visit(F& f, T& x) {
    f("Name", x.name, omit_empty);
    f("Options", x.options, omit_empty);
}

template <typename F, VisitsAs<VolumeOptions> T>
void visit(F& f, T& x) {
    f("NoCopy", x.no_copy, omit_empty);
    f("Labels", x.labels, omit_empty);
    f("Subpath", x.subpath, omit_empty);
    f("DriverConfig", x.driver_config, omit_empty);
}

template <typename F, VisitsAs<ImageOptions> T>
void visit(F& f, T& x) {
    f("Subpath", x.subpath, omit_empty);
}

template <typename F, VisitsAs<TmpfsOptions> T>
void visit(F& f, T& x) {
    f("SizeBytes", x.size_bytes, omit_empty);
    f("Mode", x.mode, omit_empty);
    f("Options", x.options, omit_empty);
}

template <typename F, VisitsAs<Mount> T>
void visit(F& f, T& x) {
    f("Type", x.type, omit_empty);
    f("Source", x.source, omit_empty);
    f("Target", x.target, omit_empty);
    f("ReadOnly", x.read_only, omit_empty);
    f("Consistency", x.consistency, omit_empty);
    f("BindOptions", x.bind_options, omit_empty);
    f("VolumeOptions", x.volume_options, omit_empty);
    f("ImageOptions", x.image_options, omit_empty);
    f("TmpfsOptions", x.tmpfs_options, omit_empty);
}

template <typename F, VisitsAs<Resources> T>
void visit(F& f, T& x) {
    f("CpuShares", x.cpu_shares);
    f("Memory", x.memory);
    f("NanoCpus", x.nano_cpus);
    f("CgroupParent", x.cgroup_parent);
    f("BlkioWeight", x.blkio_weight);
    f("BlkioWeightDevice", x.blkio_weight_device);
    f("BlkioDeviceReadBps", x.blkio_device_read_bps);
    f("BlkioDeviceWriteBps", x.blkio_device_write_bps);
    f("BlkioDeviceReadIOps", x.blkio_device_read_iops);
    f("BlkioDeviceWriteIOps", x.blkio_device_write_iops);
    f("CpuPeriod", x.cpu_period);
    f("CpuQuota", x.cpu_quota);
    f("CpuRealtimePeriod", x.cpu_realtime_period);
    f("CpuRealtimeRuntime", x.cpu_realtime_runtime);
    f("CpusetCpus", x.cpuset_cpus);
    f("CpusetMems", x.cpuset_mems);
    f("Devices", x.devices);
    f("DeviceCgroupRules", x.device_cgroup_rules);
    f("DeviceRequests", x.device_requests);
    f("KernelMemory", x.kernel_memory, omit_empty);
    f("KernelMemoryTCP", x.kernel_memory_tcp, omit_empty);
    f("MemoryReservation", x.memory_reservation);
    f("MemorySwap", x.memory_swap);
    f("MemorySwappiness", x.memory_swappiness);
    f("OomKillDisable", x.oom_kill_disable);
    f("PidsLimit", x.pids_limit);
    f("Ulimits", x.ulimits);
    f("CpuCount", x.cpu_count);
    f("CpuPercent", x.cpu_percent);
    f("IOMaximumIOps", x.io_maximum_iops);
    f("IOMaximumBandwidth", x.io_maximum_bandwidth);
}

template <typename F, VisitsAs<HostConfig> T>
void visit(F& f, T& x) {
    f("Binds", x.binds);
    f("ContainerIDFile", x.container_id_file);
    f("LogConfig", x.log_config);
    f("NetworkMode", x.network_mode);
    f("PortBindings", x.port_bindings);
    f("RestartPolicy", x.restart_policy);
    f("AutoRemove", x.auto_remove);
    f("VolumeDriver", x.volume_driver);
    f("VolumesFrom", x.volumes_from);
    f("ConsoleSize", x.console_size);
    f("Annotations", x.annotations, omit_empty);
    f("CapAdd", x.cap_add);
    f("CapDrop", x.cap_drop);
    f("CgroupnsMode", x.cgroupns_mode);
    f("Dns", x.dns);
    f("DnsOptions", x.dns_options);
    f("DnsSearch", x.dns_search);
    f("ExtraHosts", x.extra_hosts);
    f("GroupAdd", x.group_add);
    f("IpcMode", x.ipc_mode);
    f("Cgroup", x.cgroup);
    f("Links", x.links);
    f("OomScoreAdj", x.oom_score_adj);
    f("PidMode", x.pid_mode);
    f("Privileged", x.privileged);
    f("PublishAllPorts", x.publish_all_ports);
    f("ReadonlyRootfs", x.readonly_rootfs);
    f("SecurityOpt", x.security_opt);
    f("StorageOpt", x.storage_opt, omit_empty);
    f("Tmpfs", x.tmpfs, omit_empty);
    f("UTSMode", x.uts_mode);
    f("UsernsMode", x.userns_mode);
    f("ShmSize", x.shm_size);
    f("Sysctls", x.sysctls, omit_empty);
    f("Runtime", x.runtime, omit_empty);
    f("Isolation", x.isolation);
    embed(f, "Resources", x.resources);
    f("Mounts", x.mounts, omit_empty);
    f("MaskedPaths", x.masked_paths);
    f("ReadonlyPaths", x.readonly_paths);
    f("Init", x.init, omit_empty);
}

template <typename F, VisitsAs<EndpointIpamConfig> T>
void visit(F& f, T& x) {
    f("IPv4Address", x.ipv4_address, omit_empty);
    f("IPv6Address", x.ipv6_address, omit_empty);
    f("LinkLocalIPs", x.link_local_ips, omit_empty);
}

template <typename F, VisitsAs<EndpointSettings> T>
void visit(F& f, T& x) {
    f("IPAMConfig", x.ipam_config);
    f("Links", x.links);
    f("Aliases", x.aliases);
    f("MacAddress", x.mac_address);
    f("DriverOpts", x.driver_opts);
    f("GwPriority", x.gw_priority);
    f("NetworkID", x.network_id);
    f("EndpointID", x.endpoint_id);
    f("Gateway", x.gateway);
    f("IPAddress", x.ip_address);
    f("IPPrefixLen", x.ip_prefix_len);
    f("IPv6Gateway", x.ipv6_gateway);
    f("GlobalIPv6Address", x.global_ipv6_address);
    f("GlobalIPv6PrefixLen", x.global_ipv6_prefix_len);
    f("DNSNames", x.dns_names);
}

template <typename F, VisitsAs<NetworkingConfig> T>
void visit(F& f, T& x) {
    f("EndpointsConfig", x.endpoints_config);
}

template <typename F, VisitsAs<IpamConfig> T>
void visit(F& f, T& x) {
    f("Subnet", x.subnet, omit_empty);
    f("IPRange", x.ip_range, omit_empty);
    f("Gateway", x.gateway, omit_empty);
    f("AuxiliaryAddresses", x.aux_address, omit_empty);
}

template <typename F, VisitsAs<Ipam> T>
void visit(F& f, T& x) {
    f("Driver", x.driver);
    f("Options", x.options);
    f("Config", x.config);
}

template <typename F, VisitsAs<NetworkCreate> T>
void visit(F& f, T& x) {
    f("Name", x.name);
    f("CheckDuplicate", x.check_duplicate, omit_empty);
    enter_embedded(f, "CreateOptions");
    f("Driver", x.driver);
    f("Scope", x.scope);
    f("EnableIPv4", x.enable_ipv4, omit_empty);
    f("EnableIPv6", x.enable_ipv6, omit_empty);
    f("IPAM", x.ipam);
    f("Internal", x.internal);
    f("Attachable", x.attachable);
    f("Ingress", x.ingress);
    f("ConfigOnly", x.config_only);
    f("ConfigFrom", x.config_from);
    f("Options", x.options);
    f("Labels", x.labels);
    leave_embedded(f);
}

template <typename F, VisitsAs<NetworkConnect> T>
void visit(F& f, T& x) {
    f("Container", x.container);
    f("EndpointConfig", x.endpoint_config, omit_empty);
}

template <typename F, VisitsAs<NetworkDisconnect> T>
void visit(F& f, T& x) {
    f("Container", x.container);
    f("Force", x.force);
}

template <typename F, VisitsAs<ContainerCreate> T>
void visit(F& f, T& x) {
    embed(f, "Config", x.config);
    f("HostConfig", x.host_config, omit_empty);
    f("NetworkingConfig", x.networking_config, omit_empty);
}

template <typename F, VisitsAs<ContainerUpdate> T>
void visit(F& f, T& x) {
    embed(f, "Resources", x.resources);
    f("RestartPolicy", x.restart_policy);
}

template <typename F, VisitsAs<ExecCreate> T>
void visit(F& f, T& x) {
    f("User", x.user);
    f("Privileged", x.privileged);
    f("Tty", x.tty);
    f("ConsoleSize", x.console_size, omit_empty);
    f("AttachStdin", x.attach_stdin);
    f("AttachStderr", x.attach_stderr);
    f("AttachStdout", x.attach_stdout);
    f("DetachKeys", x.detach_keys);
    f("Env", x.env);
    f("WorkingDir", x.working_dir);
    f("Cmd", x.cmd);
}

template <typename F, VisitsAs<ExecStart> T>
void visit(F& f, T& x) {
    f("Detach", x.detach);
    f("Tty", x.tty);
    f("ConsoleSize", x.console_size, omit_empty);
}

template <typename F, VisitsAs<ClusterVolumeSpec> T>
void visit(F& /*f*/, T& /*x*/) {}

template <typename F, VisitsAs<VolumeCreate> T>
void visit(F& f, T& x) {
    f("ClusterVolumeSpec", x.cluster_volume_spec, omit_empty);
    f("Name", x.name);
    f("Driver", x.driver);
    f("DriverOpts", x.driver_opts);
    f("Labels", x.labels);
}

template <typename F, VisitsAs<AuthConfig> T>
void visit(F& f, T& x) {
    f("username", x.username, omit_empty);
    f("password", x.password, omit_empty);
    f("auth", x.auth, omit_empty);
    f("email", x.email, omit_empty);
    f("serveraddress", x.server_address, omit_empty);
    f("identitytoken", x.identity_token, omit_empty);
    f("registrytoken", x.registry_token, omit_empty);
}

}  // namespace dockerd::model

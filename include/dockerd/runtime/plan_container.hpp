#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>
#include <dockerd/model/container.hpp>
#include <dockerd/model/requests.hpp>
#include <dockerd/runtime/capabilities.hpp>
#include <dockerd/runtime/cgroup.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/runtime/plan.hpp>
#include <dockerd/runtime/seccomp.hpp>

namespace dockerd::runtime {

/// What --security-opt says. Source: moby daemon/daemon_unix.go, parseSecurityOpt.
struct SecurityOptions {
    std::string seccomp;   ///< empty, "unconfined", "builtin" or JSON
    std::string apparmor;  ///< empty: the default
    bool no_new_privileges = false;
    std::optional<bool> writable_cgroups;
    std::vector<std::string> labels;  ///< SELinux; "disable" among them
};

/// Throws: invalid_argument, `invalid --security-opt 1: "<opt>"`, `... 2: "<opt>"`.
SecurityOptions parse_security_options(const std::vector<std::string>& options,
                                       bool daemon_no_new_privileges);

/// A mount of the container after the engine has resolved volumes and binds.
struct ResolvedMount {
    std::string destination;
    std::string source;   ///< host path; unused for a tmpfs
    std::string subpath;  ///< of a volume: what of `source` is shown; empty: all of it
    bool tmpfs = false;
    std::string tmpfs_options;  ///< "size=64m,exec"
    bool writable = true;
    std::string propagation;  ///< "rprivate", "rshared", ...; empty: rprivate
    /// A source that lies in no shared or slave mount is no error: it cannot propagate, that is
    /// all.
    bool slave_if_possible = false;
    bool non_recursive = false;
    bool read_only_non_recursive = false;
    bool read_only_force_recursive = false;
    bool nosuid = false, nodev = false, noexec = false;
};

/// Everything a plan is made of. Descriptors are moved into the plan.
struct PlanInput {
    const model::ContainerConfig* config = nullptr;
    const model::HostConfig* host = nullptr;
    const HostFacts* facts = nullptr;

    std::string id;
    std::string state_directory;
    std::vector<std::string> args;        ///< path and arguments, entrypoint and command merged
    std::vector<std::string> linked_env;  ///< of legacy links

    base::Fd rootfs;
    std::string rootfs_path;  ///< on the host, for messages
    /// Volumes, binds and tmpfs of the user, in any order.
    std::vector<ResolvedMount> mounts;
    /// hosts, hostname and resolv.conf of the container; mounted after `mounts`, in this order.
    std::vector<ResolvedMount> network_files;
    /// Host folder for /dev/shm with a shareable, host or container: ipc mode; empty otherwise.
    std::string shm_path;

    /// Namespaces of other containers, for the modes that join one; network: also one the engine
    /// has made ready.
    base::Fd join_pid, join_ipc, join_net, join_user;
    bool remapped_root = false;  ///< userns-remap is on; the mappings are used
    std::vector<IdMapping> uid_mappings;
    std::vector<IdMapping> gid_mappings;

    CgroupVersion cgroup_version = CgroupVersion::v1;
    std::vector<base::Fd> cgroup_procs;         ///< from Cgroup::open_procs()
    std::vector<CgroupMountView> cgroup_views;  ///< from Cgroup::mount_views(); used on v1

    SecurityOptions security;
    CapabilitySet capabilities = 0;
    SeccompFilterPtr seccomp;
    std::vector<DeviceNode> devices;             ///< from gather_devices()
    std::vector<std::string> device_env;         ///< of injected devices; wins over the config's
    std::vector<std::string> device_groups;      ///< their additional groups
    model::List<model::Ulimit> default_ulimits;  ///< of the daemon
    bool default_init = false;                   ///< the daemon's --init
    LogTarget log;
};

/// A tree that has to be opened before the plan is complete.
struct SourceToOpen {
    std::size_t mount = 0;                 ///< index into plan.mounts
    std::optional<std::size_t> hierarchy;  ///< index into its hierarchies
    std::string path;
    std::string subpath;  ///< relative to `path`, never leading out of it; empty: the whole
    bool recursive = true;
    std::string required_propagation;  ///< "shared", "slave" or empty
};

/// A plan and what is still missing in it; see open_sources().
struct PlannedContainer {
    ContainerPlan plan;
    std::vector<SourceToOpen> sources;
};

/// Says exactly what Docker's runtime would do for this container, without doing it: file
/// systems, devices, hidden paths, namespaces, rights, environment.
///
/// Touches nothing outside memory.
/// Throws: invalid_argument, "Duplicate mount point: <destination>"; internal, with Docker's or
/// runc's words, for options that contradict each other, unknown ulimits, sysctls that are not
/// the container's own, tmpfs options, and mounts that would cover /proc.
/// Source: moby daemon/oci_linux.go, createSpec; oci/defaults.go.
PlannedContainer plan_container(PlanInput input);

/// A further process in a running container.
struct ExecInput {
    const model::ContainerConfig* config = nullptr;
    const model::HostConfig* host = nullptr;
    const model::ExecCreate* exec = nullptr;
    const HostFacts* facts = nullptr;
    std::string exec_id;
    std::vector<std::string> linked_env;
    SecurityOptions security;
    CapabilitySet capabilities = 0;  ///< the container's
    SeccompFilterPtr seccomp;        ///< the container's
    model::List<model::Ulimit> default_ulimits;
};

/// Throws: internal, as plan_container. Source: moby daemon/exec.go, daemon/exec_linux.go.
ExecPlan plan_exec(const ExecInput& input);

/// PATH, HOSTNAME and, with a terminal, TERM; then `overrides`, which replace a variable where it
/// stands, add it at the end, or without "=" remove it.
/// Source: moby container/container.go, CreateDaemonEnvironment; container/env.go.
std::vector<std::string> container_environment(const model::ContainerConfig& config,
                                               const std::vector<std::string>& linked_env,
                                               bool tty);
std::vector<std::string> merge_environment(std::vector<std::string> defaults,
                                           const std::vector<std::string>& overrides);

/// Ulimits as the kernel numbers them; those of `defaults` where `own` has none of that name.
/// Throws: internal, "wrong rlimit value: RLIMIT_<NAME>".
std::vector<ResourceLimit> resource_limits(const model::List<model::Ulimit>& own,
                                           const model::List<model::Ulimit>& defaults);

/// Options of a --tmpfs after Docker's defaults, one of each kind, the last one winning.
/// Throws: internal, `invalid tmpfs option ["<option>"]`.
/// Source: moby/sys mount/flags_unix.go, MergeTmpfsOptions.
std::vector<std::string> merge_tmpfs_options(const std::vector<std::string>& options);

}  // namespace dockerd::runtime

#include <dockerd/runtime/plan_container.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/verify.hpp>

#include "mounts.hpp"
#include "process.hpp"

namespace dockerd::runtime {

using base::Error;
using base::ErrorKind;

namespace {

NamespaceChoice host_or_own(bool host) {
    return {.mode = host ? NamespaceMode::host : NamespaceMode::create, .fd = {}};
}

NamespaceChoice joined_or(std::string_view mode, base::Fd fd, bool host) {
    if (!joined_container(mode).empty() || fd) {
        return {.mode = NamespaceMode::join, .fd = std::move(fd)};
    }
    return host_or_own(host);
}

/// Source: moby daemon/oci_linux.go, WithNamespaces.
void plan_namespaces(PlanInput& input, ContainerPlan& plan) {
    const model::HostConfig& host = *input.host;
    Namespaces& namespaces = plan.namespaces;
    namespaces.pid = joined_or(host.pid_mode, std::move(input.join_pid), host.pid_mode == "host");
    namespaces.ipc = joined_or(host.ipc_mode, std::move(input.join_ipc), host.ipc_mode == "host");
    namespaces.uts = host_or_own(host.uts_mode == "host");
    namespaces.cgroup = host_or_own(host.cgroupns_mode != "private");
    if (host.network_mode == "host" && !input.config->network_disabled) {
        namespaces.net = host_or_own(true);
    } else {
        namespaces.net = joined_or(host.network_mode, std::move(input.join_net), false);
    }
    namespaces.user = host_or_own(true);
    if (!input.remapped_root || host.userns_mode == "host") return;
    namespaces.user = joined_or("", std::move(input.join_user), false);
    plan.uid_mappings = std::move(input.uid_mappings);
    plan.gid_mappings = std::move(input.gid_mappings);
}

/// sysctl(8)'s other spelling, "net/ipv4/conf/eth0.1/forwarding", with dots.
/// Source: runc libcontainer/configs/validate, convertSysctlVariableToDotsSeparator.
std::string dotted(std::string key) {
    const std::size_t first = key.find_first_of("./");
    if (first == std::string::npos || key[first] == '.') return key;
    for (char& c : key) c = c == '.' ? '/' : c == '/' ? '.' : c;
    return key;
}

/// Refuses what would change the host. Source: runc libcontainer/configs/validate, sysctl.
void check_sysctl(const std::string& key, const Namespaces& namespaces) {
    static constexpr std::array<std::string_view, 8> of_ipc{
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
        "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
    const auto own = [](const NamespaceChoice& choice) {
        return choice.mode != NamespaceMode::host;
    };
    // With Docker it is the runtime that refuses.
    const auto refuse = [](std::string text) {
        throw Error(ErrorKind::internal,
                    "failed to create task for container: failed to create shim task: OCI runtime "
                    "create failed: runc create failed: " +
                        text + ": unknown");
    };
    if (std::ranges::find(of_ipc, key) != of_ipc.end() || key.starts_with("fs.mqueue.")) {
        if (own(namespaces.ipc)) return;
        refuse(fmt::format("sysctl \"{}\" is not allowed in the hosts ipc namespace", key));
    }
    if (key.starts_with("net.")) {
        if (own(namespaces.net)) return;
        refuse(fmt::format("sysctl \"{}\" not allowed in host network namespace", key));
    }
    if (own(namespaces.uts) && key == "kernel.domainname") return;
    if (own(namespaces.uts) && key == "kernel.hostname") {
        refuse(
            fmt::format("sysctl \"{}\" is not allowed as it conflicts with the OCI \"hostname\" "
                        "field",
                        key));
    }
    if (key.starts_with("user.")) {
        if (own(namespaces.user)) return;
        refuse(fmt::format("setting ucounts without a user namespace not allowed: {}", key));
    }
    refuse(fmt::format("sysctl \"{}\" is not in a separate kernel namespace", key));
}

/// Source: moby daemon/oci_linux.go, withCommonOptions and WithSysctls.
void plan_sysctls(const PlanInput& input, ContainerPlan& plan) {
    std::map<std::string, std::string> sysctls;
    const std::string& network = input.host->network_mode;
    if (network != "host" && joined_container(network).empty()) {
        const bool mapped = input.remapped_root && input.host->userns_mode != "host";
        if (!mapped && !input.facts->in_user_namespace && input.facts->ping_group_range) {
            sysctls["net.ipv4.ping_group_range"] = "0 2147483647";
        }
        if (input.facts->unprivileged_port_start) {
            sysctls["net.ipv4.ip_unprivileged_port_start"] = "0";
        }
    }
    for (const auto& [key, value] : input.host->sysctls) sysctls[dotted(key)] = value;
    for (auto& [key, value] : sysctls) {
        check_sysctl(key, plan.namespaces);
        plan.sysctls.emplace_back(key, value);
    }
}

/// The nodes every container has, unless a device of the user takes the path; then the user's.
/// Source: runc libcontainer/specconv/spec_linux.go, AllowedDevices.
void plan_devices(PlanInput& input, ContainerPlan& plan) {
    const std::array<DeviceNode, 6> defaults{{
        {.path = "/dev/null", .major = 1, .minor = 3},
        {.path = "/dev/random", .major = 1, .minor = 8},
        {.path = "/dev/full", .major = 1, .minor = 7},
        {.path = "/dev/tty", .major = 5, .minor = 0},
        {.path = "/dev/zero", .major = 1, .minor = 5},
        {.path = "/dev/urandom", .major = 1, .minor = 9},
    }};
    for (const DeviceNode& node : defaults) {
        if (std::ranges::find(input.devices, node.path, &DeviceNode::path) == input.devices.end()) {
            plan.devices.push_back(node);
        }
    }
    for (DeviceNode& node : input.devices) plan.devices.push_back(std::move(node));
}

/// Source: moby daemon/oci_linux.go, withMounts and createSpec.
void plan_hidden_paths(const PlanInput& input, ContainerPlan& plan) {
    const model::HostConfig& host = *input.host;
    if (!host.masked_paths.is_null()) {
        plan.masked_paths = host.masked_paths;
    } else if (!host.privileged) {
        plan.masked_paths = default_masked_paths(*input.facts);
    }
    if (!host.readonly_paths.is_null()) {
        plan.read_only_paths = host.readonly_paths;
    } else if (!host.privileged) {
        plan.read_only_paths = default_read_only_paths();
    }
}

void plan_process(PlanInput& input, ProcessPlan& process) {
    const model::ContainerConfig& config = *input.config;
    const model::HostConfig& host = *input.host;
    process.args = std::move(input.args);
    process.env = merge_environment(container_environment(config, input.linked_env, config.tty),
                                    input.device_env);
    process.cwd = config.working_dir.empty() ? "/" : config.working_dir;
    process.user = config.user;
    process.additional_groups = host.group_add;
    process.additional_groups.insert(process.additional_groups.end(), input.device_groups.begin(),
                                     input.device_groups.end());
    process.capabilities = capability_sets(input.capabilities);
    set_seccomp(process, input.seccomp);
    process.no_new_privileges = input.security.no_new_privileges;
    process.limits = resource_limits(host.resources.ulimits, input.default_ulimits);
    process.has_oom_score_adj = true;
    process.oom_score_adj = static_cast<std::int32_t>(host.oom_score_adj);
    process.tty = config.tty;
    process.open_stdin = config.open_stdin;
    if (config.tty) process.console_size = console_size(host.console_size);
    process.apparmor_profile = apparmor_profile(*input.facts, input.security, host.privileged);
}

}  // namespace

PlannedContainer plan_container(PlanInput input) {
    PlannedContainer planned;
    ContainerPlan& plan = planned.plan;
    const model::HostConfig& host = *input.host;

    if (input.security.writable_cgroups && (input.remapped_root || !input.uid_mappings.empty())) {
        throw Error(ErrorKind::internal,
                    "option WritableCgroups conflicts with user namespaces and rootless mode");
    }
    plan_mounts(input, planned);  // before namespaces: it looks at the mappings
    plan_namespaces(input, plan);
    plan_sysctls(input, plan);
    plan_devices(input, plan);
    plan_hidden_paths(input, plan);
    plan_process(input, plan.process);

    plan.id = std::move(input.id);
    plan.state_directory = std::move(input.state_directory);
    refuse_mounts_over_proc(input, plan);  // after all that Docker finds out before it mounts
    plan.rootfs = std::move(input.rootfs);
    plan.rootfs_path = std::move(input.rootfs_path);
    plan.read_only_rootfs = host.readonly_rootfs;
    if (plan.namespaces.uts.mode != NamespaceMode::host) {
        plan.hostname = input.config->hostname;
        plan.domainname = input.config->domainname;
    }
    plan.cgroup_procs = std::move(input.cgroup_procs);
    // A process that is not number 1 of its own namespace has an init already.
    const bool private_pid = host.pid_mode != "host" && joined_container(host.pid_mode).empty();
    plan.use_init = private_pid && host.init.value_or(input.default_init);
    plan.stdin_once = input.config->stdin_once;
    plan.log = std::move(input.log);
    return planned;
}

}  // namespace dockerd::runtime

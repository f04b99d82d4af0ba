#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>

#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/runtime/plan_container.hpp>
#include <dockerd/runtime/verify.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "mount_parser.hpp"
#include "validate.hpp"

namespace dockerd::engine {
namespace {

runtime::ResolvedMount resolved(const store::MountPointRecord& point) {
    runtime::ResolvedMount mount;
    mount.destination = point.destination;
    mount.source = point.source;
    mount.writable = point.rw;
    mount.propagation = point.propagation;
    mount.subpath = subpath_of(point);
    if (point.type == "tmpfs") {
        mount.tmpfs = true;
        std::vector<std::string> options;
        if (!point.rw) options.emplace_back("ro");
        if (point.spec.tmpfs_options) {
            const auto& tmpfs = *point.spec.tmpfs_options;
            if (tmpfs.mode != 0) options.push_back(fmt::format("mode={:o}", tmpfs.mode));
            if (tmpfs.size_bytes != 0) options.push_back(fmt::format("size={}", tmpfs.size_bytes));
            for (const auto& option : tmpfs.options) options.push_back(base::join(option, "="));
        }
        mount.tmpfs_options = base::join(options, ",");
    }
    if (point.spec.bind_options) {
        const auto& bind = *point.spec.bind_options;
        mount.non_recursive = bind.non_recursive;
        mount.read_only_non_recursive = bind.read_only_non_recursive;
        mount.read_only_force_recursive = bind.read_only_force_recursive;
    }
    return mount;
}

model::List<model::Ulimit> as_list(const std::vector<model::Ulimit>& items) {
    return model::List<model::Ulimit>(items);
}

}  // namespace

runtime::SecurityOptions Containers::security_of(const store::ContainerRecord& record) const {
    return runtime::parse_security_options(record.host_config.security_opt,
                                           options_.no_new_privileges);
}

runtime::ContainerPlan Containers::make_plan(Container& container, PlanSources sources) {
    auto& record = container.record;
    const auto& host = record.host_config;
    runtime::PlanInput input;
    input.config = &record.config;
    input.host = &host;
    input.facts = &facts_;
    input.id = container.id;
    input.state_directory = std::move(sources.state_directory);
    input.linked_env = linked_environment(record);
    input.args.push_back(record.path);
    input.args.insert(input.args.end(), record.args.begin(), record.args.end());
    input.rootfs = std::move(sources.rootfs_tree);
    input.rootfs_path = std::move(sources.rootfs_path);
    for (const auto& [destination, point] : record.mount_points) {
        input.mounts.push_back(resolved(point));
        // Source: moby daemon/oci_linux.go, withMounts: the fallback for the daemon's own root.
        input.mounts.back().slave_if_possible =
            point.type == "bind" && touches_data_root(point.spec.source, options_.data_root);
    }
    for (const auto& [destination, options] : host.tmpfs) {
        input.mounts.push_back(
            {.destination = destination, .source = {}, .tmpfs = true, .tmpfs_options = options});
    }
    // What the user mounts comes in the place of a device's files.
    // Source: moby daemon/oci_linux.go, withMounts.
    for (auto& mount : sources.devices.mounts) {
        const bool covered = std::ranges::any_of(input.mounts, [&](const auto& other) {
            return clean_path(other.destination) == clean_path(mount.destination);
        });
        if (!covered) input.mounts.push_back(std::move(mount));
    }
    const auto etc = [&](const char* destination, const std::string& source) {
        for (const auto& mount : input.mounts) {
            if (mount.destination == destination) return;
        }
        input.network_files.push_back(
            {.destination = destination, .source = source, .writable = !host.readonly_rootfs});
    };
    etc("/etc/resolv.conf", record.resolv_conf_path);
    etc("/etc/hostname", record.hostname_path);
    etc("/etc/hosts", record.hosts_path);
    input.shm_path = prepare_shm(container, sources.join);
    input.join_pid = std::move(sources.join.pid);
    input.join_ipc = std::move(sources.join.ipc);
    input.join_net = std::move(sources.join.network);
    if (container.sandbox && !container.sandbox->is_host()) {
        input.join_net = base::Fd(::fcntl(container.sandbox->netns().get(), F_DUPFD_CLOEXEC, 0));
    }
    if (!has_scopes()) input.cgroup_procs = container.cgroup.open_procs();
    input.cgroup_views = container.cgroup.mount_views();
    input.cgroup_version = parts_.cgroups.version();
    input.security = security_of(record);
    input.capabilities =
        runtime::container_capabilities(host.cap_add, host.cap_drop, host.privileged);
    input.seccomp = seccomp_of(record, input.capabilities);
    input.devices = std::move(sources.devices.devices.nodes);
    input.device_env = std::move(sources.devices.env);
    input.device_groups = std::move(sources.devices.groups);
    input.default_ulimits = as_list(options_.default_ulimits);
    input.default_init = options_.init;
    record.log_path = host.log_config.type == "json-file"
                          ? log_path_of(container.id, host.log_config.type)
                          : std::string();
    input.log = std::move(sources.log);
    auto planned = runtime::plan_container(std::move(input));
    if (planned.plan.process.apparmor_profile == runtime::default_app_armor_profile) {
        runtime::ensure_default_app_armor_profile();
    }
    runtime::open_sources(planned);
    return std::move(planned.plan);
}

runtime::SeccompFilterPtr Containers::seccomp_of(const store::ContainerRecord& record,
                                                 runtime::CapabilitySet capabilities) const {
    runtime::SeccompChoice choice;
    choice.option = security_of(record).seccomp;
    choice.daemon_profile = options_.seccomp_profile;
    choice.privileged = record.host_config.privileged;
    choice.kernel_support = parts_.sysinfo.seccomp;
    try {
        return runtime::choose_seccomp(choice, capabilities);
    } catch (const base::Error& error) {
        // Whatever keeps a plan from being made, the request to start is not what is wrong.
        // Source: moby daemon/start.go, containerStart: createSpec.
        base::fail(base::ErrorKind::internal, error.what());
    }
}

runtime::ExecPlan Containers::plan_exec(const Container& container, const Exec& exec) const {
    const auto& record = container.record;
    const auto& host = record.host_config;
    runtime::ExecInput input;
    input.config = &record.config;
    input.host = &host;
    input.exec = &exec.request;
    input.linked_env = linked_environment(record);
    input.facts = &facts_;
    input.exec_id = exec.id;
    input.security = security_of(record);
    input.capabilities =
        runtime::container_capabilities(host.cap_add, host.cap_drop, host.privileged);
    input.seccomp = seccomp_of(record, input.capabilities);
    input.default_ulimits = as_list(options_.default_ulimits);
    return runtime::plan_exec(input);
}

}  // namespace dockerd::engine

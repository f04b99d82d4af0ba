#include <fmt/format.h>

#include <dockerd/base/undo.hpp>
#include <dockerd/runtime/host_facts.hpp>
#include <dockerd/runtime/verify.hpp>

#include "containers.hpp"
#include "errors.hpp"
#include "validate.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;

/// A share of the processors is told in one of two ways, and stays with it.
// Source: moby container/container_unix.go, UpdateContainer.
void check_same_way(const model::Resources& own, const model::Resources& wanted) {
    const auto refuse = [](const char* wish, const char* present) {
        base::fail(ErrorKind::conflict,
                   fmt::format("Conflicting options: {} cannot be updated as {} has already been "
                               "set",
                               wish, present));
    };
    if (wanted.nano_cpus > 0 && own.cpu_period > 0) refuse("Nano CPUs", "CPU Period");
    if (wanted.nano_cpus > 0 && own.cpu_quota > 0) refuse("Nano CPUs", "CPU Quota");
    if (wanted.cpu_period > 0 && own.nano_cpus > 0) refuse("CPU Period", "NanoCPUs");
    if (wanted.cpu_quota > 0 && own.nano_cpus > 0) refuse("CPU Quota", "NanoCPUs");
}

/// Takes over what the request sets; zero means unchanged.
// Source: moby container/container_unix.go, UpdateContainer.
void merge_resources(model::Resources& own, const model::Resources& wanted) {
    const auto take = [](auto& value, const auto& from) {
        if (from != std::decay_t<decltype(from)>{}) value = from;
    };
    check_same_way(own, wanted);
    take(own.blkio_weight, wanted.blkio_weight);
    take(own.nano_cpus, wanted.nano_cpus);
    take(own.cpu_shares, wanted.cpu_shares);
    take(own.cpu_period, wanted.cpu_period);
    take(own.cpu_quota, wanted.cpu_quota);
    take(own.cpuset_cpus, wanted.cpuset_cpus);
    take(own.cpuset_mems, wanted.cpuset_mems);
    take(own.memory_reservation, wanted.memory_reservation);
    take(own.cpu_realtime_period, wanted.cpu_realtime_period);
    take(own.cpu_realtime_runtime, wanted.cpu_realtime_runtime);
    if (wanted.memory != 0) {
        // Without a limit of its own there is none for swap, 0; -1 is none that was asked for.
        if (wanted.memory_swap == 0 && wanted.memory > own.memory_swap) {
            base::fail(ErrorKind::conflict,
                       "Memory limit should be smaller than already set memoryswap limit, update "
                       "the memoryswap at the same time");
        }
        own.memory = wanted.memory;
    }
    take(own.memory_swap, wanted.memory_swap);
    if (wanted.pids_limit) own.pids_limit = wanted.pids_limit;
}

}  // namespace

// Source: moby daemon/update.go, ContainerUpdate.
std::vector<std::string> Containers::update(std::string_view reference,
                                            const model::ContainerUpdate& request) {
    model::HostConfig asked;
    asked.resources = request.resources;
    asked.restart_policy = request.restart_policy;
    std::vector<std::string> warnings;
    validate_host_config(asked, warnings);
    const auto more = runtime::verify_host_config(
        asked, parts_.sysinfo, {.update = true, .systemd_driver = has_scopes()});
    warnings.insert(warnings.end(), more.begin(), more.end());

    const auto container = index_.get(reference);
    base::in_context(fmt::format("Cannot update container {}", container->id), [&] {
        const base::Lock lock(container->operation);
        auto& record = container->record;
        if (container->removing || record.state.dead) {
            base::fail(ErrorKind::conflict,
                       "container is marked for removal and cannot be \"update\"");
        }
        const model::HostConfig before = record.host_config;
        base::Undo back([&] { record.host_config = before; });
        if (!request.restart_policy.name.empty()) {
            if (record.host_config.auto_remove && request.restart_policy.name != "no") {
                base::fail(ErrorKind::conflict,
                           "Restart policy cannot be updated because AutoRemove is enabled for "
                           "the container");
            }
            record.host_config.restart_policy = request.restart_policy;
        }
        merge_resources(record.host_config.resources, asked.resources);
        if (record.state.running && !record.state.restarting && container->cgroup) {
            container->cgroup.update(
                runtime::cgroup_limits(record.host_config.resources, runtime::LimitsFor::update));
        }
        parts_.files.save_with_host_config(record);
        back.dismiss();
        publish(*container);
        log_event(record, "update");
    });
    return warnings;
}

}  // namespace dockerd::engine

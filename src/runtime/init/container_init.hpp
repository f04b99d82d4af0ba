#pragma once

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

#include <sys/types.h>

#include <span>

namespace dockerd::runtime::init {

/// The three descriptors a process starts with.
struct Stdio {
    base::Fd in, out, err;
};

/// Container init: runs in the process made with the container's namespaces. Never returns.
[[noreturn]] void run_container_init(ContainerPlan& plan, Stdio& stdio, base::Fd& report);

/// What a further process needs to know of the container it goes into.
struct Target {
    int pidfd = -1;      ///< the container's process 1
    int namespaces = 0;  ///< CLONE_NEW flags of those to join
    std::span<const base::Fd> cgroups;  ///< written by whoever joins, see Cgroup::open_procs()
};

/// What the helper of an exec works with.
struct ExecHelper {
    ExecPlan& plan;
    const Target& target;
    const Stdio& stdio;
    const base::Fd& report;
    pid_t made = 0;  ///< the process in the container; 0: there is none, and a report says why
};

/// Helper of an exec: joins the container and makes the process in it as a child of the monitor.
/// It runs in the monitor's memory, while that waits for its end: it changes `made` and the report
/// socket, and must not end with memory of its own. Its descriptors are its own. Never returns.
int run_exec_helper(void* helper);

/// Makes this process, a fork of the monitor, one that is in the container's namespaces as a
/// helper is, for good: it keeps only `socket` and the target's files. Ends it when that fails.
/// Pre: no user namespace is to be joined; who has entered one could not raise limits any more.
void become_prober(const Target& target, base::Fd& socket, std::int32_t oom_score_adj);

/// Goes on as a process that a prober has forked, with `pipe` as both its outputs. What the prober
/// has open besides is closed first of all. Never returns.
[[noreturn]] void run_probe(ExecPlan& plan, std::span<const base::Fd> cgroups, int pipe,
                            int report);

}  // namespace dockerd::runtime::init

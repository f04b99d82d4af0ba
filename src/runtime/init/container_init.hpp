#pragma once

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

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
};

/// Helper of an exec: joins the container and makes the process in it as a child of the monitor.
/// Never returns.
[[noreturn]] void run_exec_helper(ExecPlan& plan, const Target& target, Stdio& stdio,
                                  base::Fd& report);

}  // namespace dockerd::runtime::init

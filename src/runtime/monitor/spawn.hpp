#pragma once

#include "init/container_init.hpp"
#include "init/report.hpp"
#include "wire/messages.hpp"

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

#include <sys/types.h>

#include <vector>

namespace dockerd::runtime::monitor {

/// Our ends of a process's pipes; none with a terminal.
struct Ends {
    base::Fd in, out, err;
};

/// Makes what a process of this plan starts with. 0 or an errno.
int make_stdio(const ProcessPlan& process, init::Stdio& theirs, Ends& ours);

/// The same for a process that writes to its one client itself: both outputs are the client's.
int direct_stdio(std::vector<wire::AttachRequest>& clients, init::Stdio& theirs);

/// A process that is being prepared.
struct Child {
    pid_t pid = -1;
    base::Fd pidfd;
    base::Fd link;  ///< its reports come here
};

/// Makes the container's process in its namespaces; it goes on as init::run_container_init.
/// `failed` is filled when pid is -1.
Child spawn_container(ContainerPlan& plan, init::Stdio& stdio, wire::Failed& failed);

/// Makes the process of an exec in the container. Its pid is 0 when it could not be made, and the
/// report says why. Waits for the helper, which waits for nothing in the container.
Child spawn_exec(ExecPlan& plan, const init::Target& target, init::Stdio& stdio,
                 wire::Failed& failed);

/// Writes `pid` to each file of Cgroup::open_procs(). 0 or an errno.
int join_cgroups(const std::vector<base::Fd>& procs, pid_t pid);

/// One message of a child.
struct ChildEvent {
    enum class Kind { signal, failed, closed, again } kind = Kind::again;
    init::Signal signal = init::Signal::joined;
    int number = 0;
    base::Fd fd;
    wire::Failed failed;
};
ChildEvent next_event(const base::Fd& link, bool wait);

/// CLONE_NEW flags an exec into this container has to join.
int namespaces_of(const Namespaces& namespaces);

}  // namespace dockerd::runtime::monitor

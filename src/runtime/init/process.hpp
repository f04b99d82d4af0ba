#pragma once

#include "users/passwd.hpp"

#include <dockerd/runtime/plan.hpp>

#include <string>
#include <vector>

namespace dockerd::runtime::init {

/// What this system refuses to raise stays as it is.
void apply_limits(const ProcessPlan& process);

/// The same for this process's oom_score_adj. Pre: /proc is the host's.
void set_oom_score(std::int32_t score);

/// Opens what is needed to change the AppArmor profile at exec; -1 without one.
/// Pre: /proc is the host's.
base::Fd open_apparmor(const ProcessPlan& process);

/// The same in a process whose /proc is the container's. The kernel takes the profile only from
/// the process that opened the file (Linux 5.13), so it cannot be opened before the fork.
base::Fd open_apparmor_inside(const ProcessPlan& process);

/// Becomes the user's program: user, capabilities, filter, directory, exec. Never returns.
///
/// Failures up to the search of the program are reported to the monitor. One of execve itself is
/// written to standard error, with exit code 255, as with Docker: by then the start has succeeded.
/// With `below_reaper` (--init) the program becomes a child and this process stays as process 1,
/// with the program's own rights: it forwards signals, reaps, and ends with the program's code.
/// Source: runc libcontainer/init_linux.go, finalizeNamespace; standard_init_linux.go.
[[noreturn]] void become_program(ProcessPlan& process, const users::Identity& identity,
                                 const base::Fd& apparmor, bool below_reaper);

/// Looks the process's user up below "/" of this process. Ends it when that fails.
users::Identity find_identity(const ProcessPlan& process);

/// Opens /dev/null of the container for those of 0, 1, 2 that are a null device, so that the
/// host's own is not seen inside.
void reopen_null();

/// The path `name` is executed by, as Go's exec.LookPath finds it with `path`. Empty with an
/// error text otherwise. Pre: the process has the user's rights already.
std::string look_up_program(const std::string& name, std::string_view path, std::string& text,
                            int& error);

/// Without duplicates (the last one counts), and with HOME. Source: runc env.go, prepareEnv.
/// An error text is left in `text`.
std::vector<std::string> prepare_environment(const std::vector<std::string>& environment,
                                             const std::string& home, std::string& text);

}  // namespace dockerd::runtime::init

#pragma once

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/runtime/attach.hpp>
#include <dockerd/runtime/plan.hpp>
#include <dockerd/runtime/start_failure.hpp>

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dockerd::runtime {

/// How a container ended. exit_code is 128 + signal for a killed one, as Docker has it.
struct ExitInfo {
    int exit_code = 0;
    int signal = 0;  ///< 0: it exited by itself
    base::WallTime finished_at;
    bool known = true;  ///< false: the monitor was killed and the kernel no longer knew; 137
};

/// Called from the reaper thread, one at a time and in order per container.
/// Pre: they are quick and call nothing of Monitor or Runtime that waits; signal() and release()
/// are fine.
struct RuntimeEvents {
    /// Output has been flushed. The engine then calls release(), and with that the streams of
    /// attached clients end.
    std::function<void(const std::string& id, const ExitInfo&)> on_exit;
    /// Its clients see the end of their streams after this has returned.
    std::function<void(const std::string& id, const std::string& exec_id, int code)> on_exec_exit;
    /// A client typed the detach keys. `exec_id` is empty for the container's own streams.
    std::function<void(const std::string& id, const std::string& exec_id)> on_detach;
    /// An attached client is gone or was closed; `attach_id` as attach() returned it.
    std::function<void(const std::string& id, std::uint64_t attach_id)> on_attach_closed;
};

class Monitor;

/// Makes the cgroup around a container's process, which waits for it before it does anything that
/// counts; returns its files as Cgroup::open_procs() does. May throw base::Error.
using CgroupMaker = std::function<std::vector<base::Fd>(pid_t)>;

/// How the start of an exec went that nobody waited for.
struct ExecStarted {
    pid_t pid = 0;      ///< 0: it was not started
    std::string error;  ///< then why, in Docker's words
    int exit_code = 0;  ///< and the code Docker records
};

/// What became of a container that an earlier daemon started.
struct Recovered {
    enum class State { running, exited, orphaned, gone };
    State state = State::gone;
    std::shared_ptr<Monitor> monitor;  ///< running, exited (if its monitor lives), orphaned
    ExitInfo exit;                     ///< exited
    std::vector<std::string> execs;    ///< ids of the execs that run in it
};

/// One running container, by its monitor process. Thread: any.
class Monitor {
public:
    virtual ~Monitor() = default;

    /// The container's id.
    [[nodiscard]] virtual const std::string& id() const = 0;
    /// The container's process 1, as the host sees it.
    [[nodiscard]] virtual pid_t pid() const = 0;
    /// Stays open as long as this object.
    [[nodiscard]] virtual const base::Fd& pidfd() const = 0;

    /// Gives the client's socket to the monitor, which serves it until it closes. Returns a number
    /// for on_attach_closed. Throws: conflict, "container <id> is not running".
    virtual std::uint64_t attach(const AttachOptions& options, base::Fd client,
                                 const std::string& input) = 0;

    /// The same, but the client gets nothing before resume(): meanwhile the log up to `log_end`
    /// can be given to it, and together that is all output without gap or double.
    /// Throws: conflict, "container <id> is not running", or when its monitor is too old for it.
    virtual HeldClient attach_held(const AttachOptions& options, base::Fd client,
                                   const std::string& input) = 0;
    virtual void resume(std::uint64_t attach_id) = 0;

    /// Sends `signal` to process 1. Returns false when it has ended.
    virtual bool signal(int signal) = 0;
    /// Sets the terminal's size; ignored without a tty.
    virtual void resize(ConsoleSize size) = 0;

    /// Starts a process in the container; returns its pid.
    /// Throws: StartFailure, "OCI runtime exec failed: exec failed: unable to start container
    /// process: <reason>".
    virtual pid_t exec_start(const ExecPlan& plan, std::optional<PendingAttach> client) = 0;
    /// Starts a process whose outputs are both the pipe `output`, without waiting: `done` is called
    /// once, from the reaper thread or before this returns, and must be as quick as a RuntimeEvents
    /// function; it is not called for a process that has ended soon after its start.
    /// on_exec_exit does not wait for what others in the container hold open of the pipe.
    virtual void exec_begin(const ExecPlan& plan, base::Fd output,
                            std::function<void(ExecStarted)> done) = 0;
    /// The same; false, with nothing done, if it would have to wait for the monitor.
    virtual bool try_exec_begin(const ExecPlan& plan, base::Fd& output,
                                const std::function<void(ExecStarted)>& done) = 0;
    virtual void exec_resize(const std::string& exec_id, ConsoleSize size) = 0;
    /// Returns false when there is no such running exec.
    virtual bool exec_signal(const std::string& exec_id, int signal) = 0;
    /// Kills the exec's process, now or as soon as it has one; never waits.
    virtual void exec_kill(const std::string& exec_id) = 0;

    /// Where the exit was taken over: the monitor removes its state and ends. Never waits.
    virtual void release() = 0;
};

/// The daemon's side of starting containers: the launcher, and one thread that hears monitors.
/// Thread: any.
class Runtime {
public:
    /// Starts the launcher and the reaper thread.
    explicit Runtime(RuntimeEvents events);
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;
    /// Stops both; containers run on.
    ~Runtime();

    /// Calls no event any more. Who waits for a monitor's answer gets "container <id> is not
    /// running", now and from now on.
    void stop();

    /// Starts a container and returns when its program has been exec'd.
    ///
    /// When the start fails the clients' sockets are closed without a word or a shutdown: who kept
    /// a duplicate can still write to it. The same holds for Monitor::exec_start.
    /// Throws: StartFailure, "failed to create task for container: failed to create shim task: OCI
    /// runtime create failed: runc create failed: unable to start container process: <reason>", or
    /// "unable to find user x: no matching entries in passwd file" bare, as Docker has them.
    ///
    /// `make_cgroup` is for a cgroup that cannot be without a process; what it throws is thrown,
    /// unless the process has failed by itself.
    std::shared_ptr<Monitor> start(ContainerPlan plan, std::vector<PendingAttach> clients,
                                   const CgroupMaker& make_cgroup = {});

    /// Executes a program of the daemon's own: `program` is its file, `name` its argv[0], `fds` are
    /// its descriptors from 3 on; it has no environment and 0 to 2 on /dev/null. It is a child of
    /// this process, to be waited for by the pidfd that is returned.
    /// Throws: internal, "<name>: <what failed>".
    base::Fd start_program(const std::string& name, int program, std::span<const int> fds);

    /// Finds a container that an earlier daemon started. on_exit follows for `running` and
    /// `orphaned` (its monitor was killed, the container lives: signal() and pidfd() work, the
    /// rest throws); `exited` has the recorded exit, and release() through its monitor or
    /// forget() removes it; `gone`: neither process nor record.
    Recovered recover(const std::string& state_directory, const std::string& id);

    /// Removes what a monitor keeps in `state_directory`. For a monitor that lives this comes
    /// before its release(): behind that it would take away what the next start has made.
    static void forget(const std::string& state_directory);
    /// Removes what names processes in `state_directory`, not a recorded exit: for a directory
    /// from before the machine was booted, whose numbers are other processes' by now.
    static void forget_processes(const std::string& state_directory);

    /// The launcher's pid, for tests and `docker info`.
    [[nodiscard]] pid_t launcher_pid() const;

    struct Impl;

private:
    std::shared_ptr<Impl> impl_;
};

/// A user as Docker's Config.User names it, looked up in a container's files.
struct ResolvedUser {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    std::string home;  ///< empty when passwd has no entry
};

/// Looks `user` and `additional_groups` up in etc/passwd and etc/group below `root`, streaming.
/// Throws: invalid_argument, "unable to find user x: no matching entries in passwd file", "unable
/// to find group x: no matching entries in group file", "uids and gids must be in range
/// 0-2147483647".
ResolvedUser resolve_user(const base::Fd& root, const std::string& user,
                          const std::vector<std::string>& additional_groups);

}  // namespace dockerd::runtime

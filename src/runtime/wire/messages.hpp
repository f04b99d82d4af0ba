#pragma once

#include "wire/codec.hpp"

#include <dockerd/base/fd.hpp>
#include <dockerd/runtime/plan.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dockerd::runtime::wire {

/// Grows when a message changes its meaning. A daemon talks to monitors of older versions, so
/// fields are never reordered; new kinds get new numbers.
constexpr std::uint16_t protocol_version = 2;

enum class Kind : std::uint16_t {
    fd_batch = 1,  ///< descriptors that belong to the next message
    // daemon -> launcher
    start = 2,
    execute = 3,  ///< a program of the daemon's own
    // daemon -> monitor
    hello = 16,
    attach = 17,
    resize = 18,
    exec_start = 19,
    exec_signal = 20,
    exec_ack = 21,
    release = 22,
    attach_held = 23,  ///< as attach; nothing is sent before attach_resume
    attach_resume = 24,
    exec_direct = 25,  ///< as exec_start; the client is a pipe, and the process writes to it itself
    prober = 26,       ///< asks for a process that takes exec_direct and exec_signal itself
    cgroup_ready = 27,  ///< answer to `made`
    // monitor -> daemon
    started = 32,
    failed = 33,
    welcome = 34,
    reply = 35,
    exited = 36,
    exec_exited = 37,
    detached = 38,
    attach_closed = 39,
    log_lost = 40,
    made = 41,  ///< the container's process is there and waits for its cgroup
};

/// One client to serve.
struct AttachRequest {
    std::uint64_t attach_id = 0;
    bool use_stdin = false;
    bool use_stdout = true;
    bool use_stderr = true;
    bool multiplexed = true;
    std::string detach_keys;
    base::Fd client;
    std::string input;
};

struct StartRequest {
    ContainerPlan plan;
    std::vector<AttachRequest> clients;
    base::Fd connection;  ///< the monitor's end
    /// The daemon makes the cgroup when it is told the process: `made` and `cgroup_ready` come
    /// before `started`.
    bool awaits_cgroup = false;
};

struct Made {
    std::int32_t pid = 0;
};

/// The process is in its cgroup; `procs` as in the plan, for what is executed later.
struct CgroupReady {
    std::vector<base::Fd> procs;
};

/// A program to be executed as a child of the daemon, with `fds` from 3 on. The answer is started
/// or failed, on `connection`.
struct ExecuteRequest {
    std::string name;
    base::Fd program;
    std::vector<base::Fd> fds;
    base::Fd connection;
};

struct Hello {
    std::uint16_t version = protocol_version;
};

/// `exec_id` is empty for the container's own terminal.
struct ResizeRequest {
    std::string exec_id;
    ConsoleSize size;
};

struct ExecRequest {
    ExecPlan plan;
    std::vector<AttachRequest> clients;  ///< none or one
};

struct ExecSignal {
    std::string exec_id;
    std::int32_t signal = 0;
};

struct ExecAck {
    std::string exec_id;
};

/// What is executed by this prober is all of the container's oom_score_adj.
struct ProberRequest {
    base::Fd socket;  ///< the prober's end
    std::int32_t oom_score_adj = 0;
    std::shared_ptr<const std::string> seccomp_program;  ///< what its requests call known
};

struct Empty {};

/// Also the content of the record a monitor leaves for a later daemon.
struct Started {
    std::int32_t pid = 0;
    std::uint64_t start_time = 0;  ///< field 22 of /proc/PID/stat
    base::Fd pidfd;
};

/// A start or exec that did not happen. The text lacks the errno's words, which the daemon adds.
struct Failed {
    std::string step;
    std::int32_t error = 0;
    std::string text;
};

struct Exited {
    std::int32_t code = 0;
    std::int32_t signal = 0;
    std::int64_t seconds = 0;
    std::int32_t nanoseconds = 0;
};

/// A running exec, as a new daemon learns of it.
struct ExecRunning {
    std::string exec_id;
    std::int32_t pid = 0;
};

struct Welcome {
    std::uint16_t version = protocol_version;
    Started started;
    bool has_exited = false;
    Exited exited;
    std::vector<ExecRunning> execs;
};

/// Answer to attach, exec_start, exec_signal and resize; matched by the packet's serial. To
/// attach_held: `failed.text` is the log's inode and size at that moment, "123 456", when `ok`.
struct Reply {
    bool ok = true;
    std::int32_t pid = 0;
    Failed failed;
};

struct ExecExited {
    std::string exec_id;
    std::int32_t code = 0;
};

struct Detached {
    std::string exec_id;
};

struct AttachResume {
    std::uint64_t attach_id = 0;
};

/// Log entries that could not be sent, and why.
struct LogLost {
    std::string why;
};

struct AttachClosed {
    std::uint64_t attach_id = 0;
};

template <typename T, typename Of>
concept Is = std::same_as<std::remove_const_t<T>, Of>;

// One visit for each struct: both directions follow from it.
template <typename V, Is<NamespaceChoice> T>
void visit(V& v, T& x) {
    v(x.mode, x.fd);
}
template <typename V, Is<Namespaces> T>
void visit(V& v, T& x) {
    v(x.pid, x.ipc, x.uts, x.net, x.cgroup, x.user);
}
template <typename V, Is<IdMapping> T>
void visit(V& v, T& x) {
    v(x.inside, x.outside, x.length);
}
template <typename V, Is<CgroupHierarchy> T>
void visit(V& v, T& x) {
    v(x.name, x.tree, x.data, x.links);
}
template <typename V, Is<Mount> T>
void visit(V& v, T& x) {
    v(x.kind, x.destination, x.tree, x.is_file, x.source, x.data, x.read_only,
      x.recursive_read_only, x.nosuid, x.nodev, x.noexec, x.propagation, x.recursive_propagation,
      x.hierarchies);
}
template <typename V, Is<DeviceNode> T>
void visit(V& v, T& x) {
    v(x.path, x.type, x.major, x.minor, x.mode, x.uid, x.gid);
}
template <typename V, Is<CapabilitySets> T>
void visit(V& v, T& x) {
    v(x.bounding, x.effective, x.permitted, x.ambient);
}
template <typename V, Is<ResourceLimit> T>
void visit(V& v, T& x) {
    v(x.type, x.soft, x.hard);
}
template <typename V, Is<ConsoleSize> T>
void visit(V& v, T& x) {
    v(x.height, x.width);
}
template <typename V, Is<ProcessPlan> T>
void visit(V& v, T& x) {
    v(x.args, x.env, x.cwd, x.user, x.additional_groups, x.capabilities, x.seccomp_program,
      x.seccomp_flags, x.no_new_privileges, x.limits, x.has_oom_score_adj, x.oom_score_adj, x.tty,
      x.open_stdin, x.console_size, x.apparmor_profile, x.umask);
}
template <typename V, Is<LogTarget> T>
void visit(V& v, T& x) {
    v(x.kind, x.path, x.max_size, x.max_files, x.compress, x.attributes_json, x.forwarder,
      x.forwarder_config, x.ring_size);
}
template <typename V, Is<ContainerPlan> T>
void visit(V& v, T& x) {
    v(x.id, x.state_directory, x.process, x.rootfs, x.rootfs_path, x.read_only_rootfs,
      x.rootfs_propagation, x.hostname, x.domainname, x.namespaces, x.uid_mappings, x.gid_mappings,
      x.mounts, x.devices, x.masked_paths, x.read_only_paths, x.sysctls, x.cgroup_procs, x.use_init,
      x.stdin_once, x.log);
}
template <typename V, Is<ExecPlan> T>
void visit(V& v, T& x) {
    v(x.id, x.process, x.cgroup_procs, x.privileged);
}
template <typename V, Is<AttachRequest> T>
void visit(V& v, T& x) {
    v(x.attach_id, x.use_stdin, x.use_stdout, x.use_stderr, x.multiplexed, x.detach_keys, x.client,
      x.input);
}
template <typename V, Is<StartRequest> T>
void visit(V& v, T& x) {
    v(x.connection, x.plan, x.clients, x.awaits_cgroup);
}
template <typename V, Is<Made> T>
void visit(V& v, T& x) {
    v(x.pid);
}
template <typename V, Is<CgroupReady> T>
void visit(V& v, T& x) {
    v(x.procs);
}
template <typename V, Is<ExecuteRequest> T>
void visit(V& v, T& x) {
    v(x.name, x.program, x.fds, x.connection);
}
template <typename V, Is<Hello> T>
void visit(V& v, T& x) {
    v(x.version);
}
template <typename V, Is<ResizeRequest> T>
void visit(V& v, T& x) {
    v(x.exec_id, x.size);
}
template <typename V, Is<ExecRequest> T>
void visit(V& v, T& x) {
    v(x.plan, x.clients);
}
template <typename V, Is<ExecSignal> T>
void visit(V& v, T& x) {
    v(x.exec_id, x.signal);
}
template <typename V, Is<ExecAck> T>
void visit(V& v, T& x) {
    v(x.exec_id);
}
template <typename V, Is<ProberRequest> T>
void visit(V& v, T& x) {
    v(x.socket, x.oom_score_adj, x.seccomp_program);
}
template <typename V, Is<Empty> T>
void visit(V&, T&) {}
template <typename V, Is<Started> T>
void visit(V& v, T& x) {
    v(x.pid, x.start_time, x.pidfd);
}
template <typename V, Is<Failed> T>
void visit(V& v, T& x) {
    v(x.step, x.error, x.text);
}
template <typename V, Is<Exited> T>
void visit(V& v, T& x) {
    v(x.code, x.signal, x.seconds, x.nanoseconds);
}
template <typename V, Is<ExecRunning> T>
void visit(V& v, T& x) {
    v(x.exec_id, x.pid);
}
template <typename V, Is<Welcome> T>
void visit(V& v, T& x) {
    v(x.version, x.started, x.has_exited, x.exited, x.execs);
}
template <typename V, Is<Reply> T>
void visit(V& v, T& x) {
    v(x.ok, x.pid, x.failed);
}
template <typename V, Is<ExecExited> T>
void visit(V& v, T& x) {
    v(x.exec_id, x.code);
}
template <typename V, Is<Detached> T>
void visit(V& v, T& x) {
    v(x.exec_id);
}
template <typename V, Is<AttachResume> T>
void visit(V& v, T& x) {
    v(x.attach_id);
}
template <typename V, Is<LogLost> T>
void visit(V& v, T& x) {
    v(x.why);
}
template <typename V, Is<AttachClosed> T>
void visit(V& v, T& x) {
    v(x.attach_id);
}

}  // namespace dockerd::runtime::wire

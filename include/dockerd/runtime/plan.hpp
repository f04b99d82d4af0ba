#pragma once

#include <dockerd/base/fd.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dockerd::runtime {

/// Where a container's namespace of one kind comes from.
enum class NamespaceMode : std::uint8_t { host, create, join };

/// One namespace choice. `fd` is an open /proc/PID/ns/X file and only set for `join`.
struct NamespaceChoice {
    NamespaceMode mode = NamespaceMode::host;
    base::Fd fd;
};

/// The namespaces of a container. The mount namespace is always a new one.
struct Namespaces {
    NamespaceChoice pid, ipc, uts, net, cgroup, user;
};

/// One line of /proc/PID/uid_map or gid_map.
struct IdMapping {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t length = 0;
};

/// What a mount step makes.
enum class MountKind : std::uint8_t {
    bind,   ///< `tree` is attached at the destination
    tmpfs,  ///< `data` are options such as "size=65536k,mode=755"
    proc,
    sysfs,
    devpts,  ///< `data` as "newinstance,ptmxmode=0666,mode=0620,gid=5"
    mqueue,
    cgroup_v1,  ///< a tmpfs with the `hierarchies` in it
    cgroup_v2,  ///< `tree` if set, else a new cgroup2 mount seen from the container's namespace
};

/// What becomes of a mount's propagation.
enum class Propagation : std::uint8_t {
    unchanged,
    make_private,
    make_slave,
    make_shared,
    make_unbindable,
};

/// One v1 controller directory below /sys/fs/cgroup.
struct CgroupHierarchy {
    std::string name;  ///< directory: "cpu,cpuacct", "systemd"
    base::Fd
        tree;  ///< detached bind of the container's own directory; used without a cgroup namespace
    std::string data;  ///< else options of a new cgroup mount: "cpu,cpuacct", "none,name=systemd"
    std::vector<std::string> links;  ///< symlinks to it beside it: "cpu", "cpuacct"
};

/// One mount in a container. Mounts are performed in the order of the list.
struct Mount {
    MountKind kind = MountKind::bind;
    std::string destination;  ///< absolute, inside the container
    /// bind: a detached tree from open_tree(OPEN_TREE_CLONE | AT_RECURSIVE if `recursive`).
    base::Fd tree;
    bool is_file =
        false;  ///< bind: the source is no directory, so a missing mountpoint is made a file
    /// Text for error messages: `error mounting "<source>" to rootfs at "<destination>"`.
    std::string source;
    std::string data;  ///< options of the file system, comma-separated
    bool read_only = false;
    bool recursive_read_only = false;  ///< also submounts of a bind
    bool nosuid = false;
    bool nodev = false;
    bool noexec = false;
    Propagation propagation = Propagation::make_private;
    bool recursive_propagation = true;
    std::vector<CgroupHierarchy> hierarchies;
};

/// A device node to make below /dev (or to bind from the host where mknod is refused).
struct DeviceNode {
    std::string path;  ///< inside the container: "/dev/null"
    char type = 'c';   ///< 'c', 'b' or 'p'
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    std::uint32_t mode = 0666;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};

/// Capability sets, bit N for number N. The inheritable set is always empty.
/// effective and permitted apply to user 0; others keep what is ambient.
struct CapabilitySets {
    std::uint64_t bounding = 0;
    std::uint64_t effective = 0;
    std::uint64_t permitted = 0;
    std::uint64_t ambient = 0;
};

/// `type` is a RLIMIT_ number; UINT64_MAX is unlimited.
struct ResourceLimit {
    std::uint32_t type = 0;
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
};

/// Rows and columns of a terminal.
struct ConsoleSize {
    std::uint16_t height = 0;
    std::uint16_t width = 0;
};

/// What is started and with which rights: common to a container's program and an exec.
struct ProcessPlan {
    std::vector<std::string> args;
    std::vector<std::string> env;  ///< "K=V"; HOME is added from passwd when it is absent
    std::string cwd = "/";         ///< made if absent (container only), as Docker does
    /// Docker's Config.User: "", "name", "uid", "name:group", "uid:gid".
    std::string user;
    std::vector<std::string> additional_groups;  ///< names or numbers of --group-add
    CapabilitySets capabilities;
    /// An array of struct sock_filter; null is unconfined.
    std::shared_ptr<const std::string> seccomp_program;
    std::uint32_t seccomp_flags = 0;
    bool no_new_privileges = false;
    std::vector<ResourceLimit> limits;
    bool has_oom_score_adj = false;
    std::int32_t oom_score_adj = 0;
    bool tty = false;
    bool open_stdin = false;  ///< else standard input is /dev/null
    ConsoleSize console_size;
    /// Apparmor profile; empty: none. Applied where the kernel has AppArmor.
    std::string apparmor_profile;
    std::int32_t umask = 0022;
};

/// The log files a monitor writes itself.
enum class LogKind : std::uint8_t { none, json_file, local };

/// Where the monitor writes what the container prints.
struct LogTarget {
    LogKind kind = LogKind::none;
    std::string path;            ///< .../<id>-json.log, or the local driver's container.log
    std::int64_t max_size = -1;  ///< bytes; -1: no rotation
    std::uint32_t max_files = 1;
    bool compress = false;        ///< rotated files become `.gz`
    std::string attributes_json;  ///< `{"k":"v"}` for "attrs", or empty
    /// With a driver that sends logs away: the program that does it, and what it is told. The file
    /// above is then the copy that can be read back.
    base::Fd forwarder;
    std::string forwarder_config;
    /// Bytes that may wait for the forwarder before lines are dropped; -1: the container waits.
    std::int64_t ring_size = -1;
};

/// Everything the launcher needs to start a container; the engine has opened all host paths.
struct ContainerPlan {
    std::string id;
    std::string state_directory;  ///< absolute, below the exec root, 0700; made if absent
    ProcessPlan process;

    base::Fd rootfs;          ///< detached mount (fsmount, or open_tree with OPEN_TREE_CLONE)
    std::string rootfs_path;  ///< its path on the host, for messages only
    bool read_only_rootfs = false;
    Propagation rootfs_propagation = Propagation::make_slave;
    std::string hostname;
    std::string domainname;
    Namespaces namespaces;
    std::vector<IdMapping> uid_mappings;  ///< with a new user namespace
    std::vector<IdMapping> gid_mappings;
    std::vector<Mount> mounts;
    std::vector<DeviceNode> devices;
    std::vector<std::string> masked_paths;
    std::vector<std::string> read_only_paths;
    std::vector<std::pair<std::string, std::string>> sysctls;  ///< "net.ipv4.ip_forward", "1"
    /// From Cgroup::open_procs(): one a v1 hierarchy, or the one of v2.
    std::vector<base::Fd> cgroup_procs;
    bool use_init = false;  ///< --init: process 1 reaps and forwards signals
    bool stdin_once = false;
    LogTarget log;
};

/// A further process in a running container.
struct ExecPlan {
    std::string id;  ///< the exec's id
    ProcessPlan process;
    std::vector<base::Fd> cgroup_procs;  ///< empty: the container's own, which the monitor keeps
    bool privileged = false;             ///< for the record; capabilities say what it means
};

}  // namespace dockerd::runtime

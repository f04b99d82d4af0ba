#include "init/report.hpp"
#include "init/root_file_system.hpp"
#include "paths/in_root.hpp"
#include "paths/proc_rule.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <string>
#include <string_view>

namespace dockerd::runtime::init {

namespace {

[[noreturn]] void fail_mount(const Mount& mount, int error, std::string_view detail) {
    fail("mount", error,
         "error mounting " + quoted(mount.source) + " to rootfs at " + quoted(mount.destination) +
             ": " + std::string(detail));
}

std::uint64_t propagation_bits(Propagation propagation) {
    switch (propagation) {
        case Propagation::unchanged:
            return 0;
        case Propagation::make_private:
            return MS_PRIVATE;
        case Propagation::make_slave:
            return MS_SLAVE;
        case Propagation::make_shared:
            return MS_SHARED;
        case Propagation::make_unbindable:
            return MS_UNBINDABLE;
    }
    return 0;
}

unsigned attributes_of(const Mount& mount) {
    unsigned bits = 0;
    if (mount.read_only) bits |= MOUNT_ATTR_RDONLY;
    if (mount.nosuid) bits |= MOUNT_ATTR_NOSUID;
    if (mount.nodev) bits |= MOUNT_ATTR_NODEV;
    if (mount.noexec) bits |= MOUNT_ATTR_NOEXEC;
    return bits;
}

int set_attributes(const base::Fd& tree, std::uint64_t set, std::uint64_t propagation,
                   bool recursive) {
    if (set == 0 && propagation == 0) return 0;
    mount_attr attributes{};
    attributes.attr_set = set;
    attributes.propagation = propagation;
    const unsigned flags = AT_EMPTY_PATH | (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0U);
    return ::mount_setattr(tree.get(), "", flags, &attributes, sizeof attributes) == 0 ? 0 : errno;
}

bool is_procfs(const Mount& mount) {
    if (mount.kind == MountKind::proc) return true;
    struct statfs system {};
    return mount.kind == MountKind::bind && ::fstatfs(mount.tree.get(), &system) == 0 &&
           system.f_type == PROC_SUPER_MAGIC;
}

/// The path of an open place in this mount namespace; empty when it cannot be told.
std::string path_of(const base::Fd& place) {
    char path[PATH_MAX];
    const std::string link = "/proc/self/fd/" + std::to_string(place.get());
    const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
    return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : std::string{};
}

/// Refuses to cover /proc, whichever way the destination leads there. What is looked at is the
/// opened place, not a path that another container could change meanwhile.
void check_proc_safety(const Rootfs& rootfs, const Mount& mount, const base::Fd& place) {
    const bool procfs = is_procfs(mount);
    const std::string top = path_of(rootfs.root);
    const std::string found = path_of(place);
    if (top.empty() || !found.starts_with(top) ||
        (found.size() > top.size() && found[top.size()] != '/')) {
        fail_mount(mount, 0,
                   "create mountpoint for " + mount.destination + " mount: mountpoint " +
                       quoted(found) + " is outside of rootfs " + quoted(rootfs.plan.rootfs_path));
    }
    const std::string inside = found.substr(top.size());
    for (const std::string& path : {mount.destination, inside}) {
        const std::string text = proc_refusal(proc_place(path), procfs, mount.destination,
                                              rootfs.plan.rootfs_path + path);
        if (!text.empty()) fail_mount(mount, 0, text);
    }
}

/// Where `mount` goes. proc and sysfs only go on real directories: a link there is an attempt to
/// have labels and masks written elsewhere (CVE-2019-19921).
base::Fd open_destination(const Rootfs& rootfs, const Mount& mount) {
    const bool special = mount.kind == MountKind::proc || mount.kind == MountKind::sysfs;
    if (special) {
        const base::Fd found = open_in_root(rootfs.root, mount.destination, O_PATH | O_NOFOLLOW);
        struct stat info {};
        if (found && ::fstat(found.get(), &info) == 0 && !S_ISDIR(info.st_mode)) {
            fail_mount(
                mount, 0,
                "filesystem " + quoted(mount.source) + " must be mounted on ordinary directory");
        }
        const base::Fd straight =
            open_in_root(rootfs.root, mount.destination, O_PATH, 0, RESOLVE_NO_SYMLINKS);
        if (!straight && errno == ELOOP) {
            fail_mount(
                mount, 0,
                "filesystem " + quoted(mount.source) + " must be mounted on ordinary directory");
        }
    }
    base::Fd place =
        make_in_root(rootfs.root, mount.destination, mount.is_file ? Leaf::file : Leaf::directory);
    if (!place) {
        fail_mount(mount, errno,
                   "create mountpoint for " + mount.destination + " mount: make mountpoint " +
                       quoted(mount.destination));
    }
    check_proc_safety(rootfs, mount, place);
    return place;
}

void refuse_root(const Rootfs& rootfs, const base::Fd& place, const Mount& mount) {
    struct stat here {
    }, top{};
    if (::fstat(place.get(), &here) == 0 && ::fstat(rootfs.root.get(), &top) == 0 &&
        here.st_dev == top.st_dev && here.st_ino == top.st_ino) {
        fail_mount(mount, 0,
                   "mountpoint " + quoted(mount.destination) + " is on the top of rootfs");
    }
}

/// What mount(2) would have been called with.
// Source: runc 1.2 libcontainer/mount_linux.go, mountError.
std::string attach_text(const Mount& mount, unsigned long flags, const std::string& data = {}) {
    std::string out = "mount src=" + mount.source + ", dst=" + mount.destination +
                      ", dstFd=/proc/thread-self/fd/11";
    if (flags != 0) {
        char digits[2 * sizeof flags];
        const auto end = std::to_chars(digits, digits + sizeof digits, flags, 16).ptr;
        out += ", flags=0x" + std::string(digits, end);
    }
    return data.empty() ? out : out + ", data=" + data;
}

bool is_directory(const base::Fd& fd) {
    struct stat info {};
    return ::fstat(fd.get(), &info) == 0 && S_ISDIR(info.st_mode);
}

void apply_bind(const Rootfs& rootfs, const Mount& mount) {
    const base::Fd place = open_destination(rootfs, mount);
    refuse_root(rootfs, place, mount);
    if (is_directory(mount.tree) && !is_directory(place)) {
        fail_mount(mount, ENOTDIR,
                   "create mountpoint for " + mount.destination +
                       " mount: cannot create subdirectories in " +
                       quoted(rootfs.plan.rootfs_path + mount.destination));
    }
    if (is_directory(place) != is_directory(mount.tree)) {
        // The kernel says EINVAL here; mount(2), which Docker uses, says this.
        fail_mount(mount, ENOTDIR, attach_text(mount, MS_BIND | MS_REC));
    }
    const unsigned bits = attributes_of(mount);
    if (const int error = set_attributes(mount.tree, bits, 0, mount.recursive_read_only)) {
        fail_mount(mount, error, "failed to set user-requested vfs flags on bind-mount");
    }
    if (const int error = set_attributes(mount.tree, 0, propagation_bits(mount.propagation),
                                         mount.recursive_propagation)) {
        fail_mount(mount, error, "change mount propagation");
    }
    if (const int error = attach(mount.tree, place)) {
        fail_mount(mount, error, attach_text(mount, MS_BIND | MS_REC));
    }
}

const char* file_system(MountKind kind) {
    switch (kind) {
        case MountKind::tmpfs:
            return "tmpfs";
        case MountKind::proc:
            return "proc";
        case MountKind::sysfs:
            return "sysfs";
        case MountKind::devpts:
            return "devpts";
        case MountKind::mqueue:
            return "mqueue";
        case MountKind::cgroup_v1:
            return "cgroup";
        case MountKind::cgroup_v2:
            return "cgroup2";
        case MountKind::bind:
            return "bind";
    }
    return "";
}

/// A tmpfs that is not told its mode takes that of the directory it covers, if there was one.
// Source: runc 1.2 libcontainer/rootfs_linux.go, createMountpoint.
std::string tmpfs_options(const Rootfs& rootfs, const Mount& mount) {
    const base::Fd covered = open_in_root(rootfs.root, mount.destination, O_PATH);
    struct stat info {};
    if (!covered || ::fstat(covered.get(), &info) != 0) return mount.data;
    char digits[8] = {};
    const auto end = std::to_chars(digits, digits + sizeof digits, info.st_mode & 07777U, 8).ptr;
    const std::string mode(digits, end);
    std::string out = "mode=" + std::string(mode.size() < 4 ? 4 - mode.size() : 0, '0') + mode;
    return mount.data.empty() ? out : out + "," + mount.data;
}

/// tmpfs and the like.
void apply_new(const Rootfs& rootfs, const Mount& mount) {
    const std::string options =
        mount.kind == MountKind::tmpfs ? tmpfs_options(rootfs, mount) : mount.data;
    const base::Fd place = open_destination(rootfs, mount);
    // A tmpfs that gets device nodes or copies is made read-only afterwards.
    const bool late = mount.read_only && mount.kind == MountKind::tmpfs;
    const unsigned bits = attributes_of(mount) & ~(late ? unsigned{MOUNT_ATTR_RDONLY} : 0U);
    const base::Fd tree = new_mount(file_system(mount.kind), options, bits, mount.source.c_str());
    if (!tree) fail_mount(mount, errno, attach_text(mount, attributes_of(mount), options));
    if (!is_directory(place)) {
        fail_mount(mount, ENOTDIR, attach_text(mount, attributes_of(mount), options));
    }
    if (const int error = attach(tree, place)) {
        fail_mount(mount, error, attach_text(mount, attributes_of(mount), options));
    }
    // A new mount is private until it is said otherwise.
    if (mount.propagation == Propagation::make_private) return;
    if (const int error = set_attributes(tree, 0, propagation_bits(mount.propagation), false)) {
        fail_mount(mount, error, "change mount propagation");
    }
}

bool is_late(const Rootfs& rootfs, const Mount& mount) {
    if (rootfs.plan.namespaces.cgroup.mode == NamespaceMode::host) return false;
    if (mount.kind == MountKind::cgroup_v2) return !mount.tree;
    if (mount.kind != MountKind::cgroup_v1) return false;
    for (const CgroupHierarchy& hierarchy : mount.hierarchies) {
        if (!hierarchy.tree) return true;
    }
    return false;
}

void apply_hierarchy(const base::Fd& parent, const CgroupHierarchy& hierarchy, const Mount& mount) {
    const unsigned bits = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                          (mount.read_only ? unsigned{MOUNT_ATTR_RDONLY} : 0U);
    if (::mkdirat(parent.get(), hierarchy.name.c_str(), 0755) != 0 && errno != EEXIST) {
        fail_mount(mount, errno, "mkdir " + hierarchy.name);
    }
    const base::Fd place{::openat(parent.get(), hierarchy.name.c_str(),
                                  O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (hierarchy.tree) {
        int error = set_attributes(hierarchy.tree, bits, MS_PRIVATE, false);
        if (error == 0) error = attach(hierarchy.tree, place);
        if (error != 0) fail_mount(mount, error, "bind " + hierarchy.name);
    } else {
        const base::Fd tree = new_mount("cgroup", hierarchy.data, bits);
        if (!tree) fail_mount(mount, errno, "mount " + hierarchy.name);
        if (const int error = attach(tree, place)) {
            fail_mount(mount, error, "mount " + hierarchy.name);
        }
    }
    for (const std::string& link : hierarchy.links) {
        if (::symlinkat(hierarchy.name.c_str(), parent.get(), link.c_str()) != 0 &&
            errno != EEXIST) {
            fail_mount(mount, errno, "symlink " + link);
        }
    }
}

void apply_cgroup_v1(const Rootfs& rootfs, const Mount& mount) {
    const base::Fd place = open_destination(rootfs, mount);
    const base::Fd tree =
        new_mount("tmpfs", "mode=755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (!tree) fail_mount(mount, errno, attach_text(mount, attributes_of(mount)));
    if (const int error = attach(tree, place)) {
        fail_mount(mount, error, attach_text(mount, attributes_of(mount)));
    }
    // Only the hierarchies are read-only: programs make folders for their own beside them.
    for (const CgroupHierarchy& hierarchy : mount.hierarchies) {
        apply_hierarchy(tree, hierarchy, mount);
    }
}

void apply_one(const Rootfs& rootfs, const Mount& mount) {
    switch (mount.kind) {
        case MountKind::bind:
            return apply_bind(rootfs, mount);
        case MountKind::cgroup_v1:
            return apply_cgroup_v1(rootfs, mount);
        case MountKind::cgroup_v2:
            if (mount.tree) return apply_bind(rootfs, mount);
            return apply_new(rootfs, mount);
        case MountKind::tmpfs:
        case MountKind::proc:
        case MountKind::sysfs:
        case MountKind::devpts:
        case MountKind::mqueue:
            return apply_new(rootfs, mount);
    }
}

/// Sets one option; a name without a value is a flag. "ro" and its like are attributes, not these.
int configure(int context, std::string_view option) {
    const auto equals = option.find('=');
    const std::string key(option.substr(0, equals));
    if (equals == std::string_view::npos) {
        return ::fsconfig(context, FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) == 0 ? 0 : errno;
    }
    const std::string value(option.substr(equals + 1));
    if (key == "name" && value.find(',') != std::string::npos) return EINVAL;
    return ::fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0 ? 0 : errno;
}

/// Options that the mount takes, not the file system. True when `option` was one.
bool is_mount_attribute(std::string_view option, unsigned& attributes) {
    struct Known {
        std::string_view name;
        unsigned set;
    };
    constexpr Known known[] = {
        {"ro", MOUNT_ATTR_RDONLY},
        {"nosuid", MOUNT_ATTR_NOSUID},
        {"nodev", MOUNT_ATTR_NODEV},
        {"noexec", MOUNT_ATTR_NOEXEC},
        {"noatime", MOUNT_ATTR_NOATIME},
        {"strictatime", MOUNT_ATTR_STRICTATIME},
        {"nodiratime", MOUNT_ATTR_NODIRATIME},
        {"rw", 0},
        {"suid", 0},
        {"dev", 0},
        {"exec", 0},
        {"relatime", 0},
        {"defaults", 0},
        {"atime", 0},
        {"diratime", 0},
    };
    for (const Known& entry : known) {
        if (entry.name == option) {
            attributes |= entry.set;
            return true;
        }
    }
    return false;
}

}  // namespace

base::Fd new_mount(const char* type, const std::string& options, unsigned attributes,
                   const char* source) {
    const base::Fd context{::fsopen(type, FSOPEN_CLOEXEC)};
    if (!context) return base::Fd{};
    (void)::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", source ? source : type, 0);
    std::string_view rest = options;
    while (!rest.empty()) {
        const auto comma = rest.find(',');
        const auto option = rest.substr(0, comma);
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
        if (option.empty() || is_mount_attribute(option, attributes)) continue;
        if (const int error = configure(context.get(), option)) {
            errno = error;
            return base::Fd{};
        }
    }
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        return base::Fd{};
    }
    return base::Fd{::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes)};
}

int attach(const base::Fd& tree, const base::Fd& at) {
    const int result = ::move_mount(tree.get(), "", at.get(), "",
                                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    return result == 0 ? 0 : errno;
}

void await_join(Rootfs& rootfs) {
    if (rootfs.join_awaited) return;
    await_signal(Signal::joined);
    rootfs.join_awaited = true;
}

void enter_cgroup_namespace(Rootfs& rootfs) {
    if (rootfs.cgroup_namespace_entered) return;
    rootfs.cgroup_namespace_entered = true;
    const NamespaceChoice& choice = rootfs.plan.namespaces.cgroup;
    if (choice.mode == NamespaceMode::create && ::unshare(CLONE_NEWCGROUP) != 0) {
        fail("cgroup", errno, "unshare cgroup namespace");
    }
    if (choice.mode == NamespaceMode::join && ::setns(choice.fd.get(), CLONE_NEWCGROUP) != 0) {
        fail("cgroup", errno, "join cgroup namespace");
    }
}

namespace {

/// Makes the namespace's own root this process's root. Below a chroot `/` is another one: where
/// it is no mount, it can neither change its propagation nor be pivoted away; where it is one, it
/// is pivoted away alone, and who joins the namespace later stands in what lies above it. Returns
/// 0 or errno.
int leave_chroot() {
    const base::Fd self{static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))};
    return self && ::setns(self.get(), CLONE_NEWNS) == 0 ? 0 : errno;
}

int make_everything_slave() {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0 ? 0 : errno;
}

}  // namespace

void attach_root(Rootfs& rootfs) {
    int failed = leave_chroot();
    if (failed == 0) failed = make_everything_slave();
    if (failed != 0) fail("rootfs", failed, "error preparing rootfs: make / a slave mount");
    if (const int error = set_attributes(rootfs.root, 0, MS_PRIVATE, true)) {
        fail("rootfs", error, "error preparing rootfs: make rootfs private");
    }
    // Any directory will do that exists everywhere and that a remapped root can reach; in this
    // namespace nobody needs it any more.
    if (::move_mount(rootfs.root.get(), "", AT_FDCWD, "/sys", MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        fail("rootfs", errno, "error preparing rootfs: move_mount");
    }
}

void apply_mounts(Rootfs& rootfs) {
    bool late = false;
    for (const Mount& mount : rootfs.plan.mounts) {
        if (is_late(rootfs, mount)) {
            late = true;
        } else {
            apply_one(rootfs, mount);
        }
    }
    if (!late) return;
    await_join(rootfs);
    enter_cgroup_namespace(rootfs);
    for (const Mount& mount : rootfs.plan.mounts) {
        if (mount.kind == MountKind::cgroup_v1 || mount.kind == MountKind::cgroup_v2) {
            if (is_late(rootfs, mount)) apply_one(rootfs, mount);
        }
    }
}

}  // namespace dockerd::runtime::init

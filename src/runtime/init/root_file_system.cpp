#include "init/root_file_system.hpp"

#include "init/report.hpp"
#include "paths/in_root.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

namespace dockerd::runtime::init {

namespace {

bool binds_dev(const ContainerPlan& plan) {
    return std::any_of(plan.mounts.begin(), plan.mounts.end(), [](const Mount& mount) {
        return mount.kind == MountKind::bind &&
               (mount.destination == "/dev" || mount.destination == "/dev/");
    });
}

mode_t type_bits(char type) {
    switch (type) {
        case 'b':
            return S_IFBLK;
        case 'p':
            return S_IFIFO;
        default:
            return S_IFCHR;
    }
}

/// Where mknod is refused (a user namespace) the host's node of that name is bound instead.
int bind_device(const DeviceNode& node, const base::Fd& parent, const std::string& name) {
    const base::Fd tree{
        ::open_tree(AT_FDCWD, node.path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)};
    if (!tree) return errno;
    // The path is the container's: on the host something else may be there.
    struct stat info {};
    if (::fstat(tree.get(), &info) != 0) return errno;
    if ((info.st_mode & S_IFMT) != type_bits(node.type) ||
        info.st_rdev != makedev(node.major, node.minor)) {
        return EPERM;
    }
    {
        const base::Fd made{
            ::openat(parent.get(), name.c_str(), O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0)};
    }
    const base::Fd place{::openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    return place ? attach(tree, place) : errno;
}

void make_device(const Rootfs& rootfs, const DeviceNode& node) {
    std::string name;
    const base::Fd parent = make_parent_in_root(rootfs.root, node.path, name);
    if (!parent) fail("device", errno, "mkdir parent of device inode " + quoted(node.path));
    const auto failed = [&](int error) {
        fail("device", error,
             "configuring container /dev: error creating device nodes: create device inode " +
                 node.path + ": mknodat");
    };
    const mode_t mode = type_bits(node.type) | (node.mode & 07777U);
    if (::mknodat(parent.get(), name.c_str(), mode, makedev(node.major, node.minor)) != 0) {
        if (errno == EEXIST) return;
        if (errno != EPERM) failed(errno);
        if (const int error = bind_device(node, parent, name)) failed(error);
        return;
    }
    const base::Fd made{::openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    struct stat info {};
    if (!made || ::fstat(made.get(), &info) != 0) failed(errno);
    // Another container may share this /dev: what was opened must be what was made.
    if ((info.st_mode & S_IFMT) != (mode & S_IFMT) ||
        (node.type != 'p' && info.st_rdev != makedev(node.major, node.minor))) {
        failed(EEXIST);
    }
    if ((node.uid != 0 || node.gid != 0) &&
        ::fchownat(made.get(), "", node.uid, node.gid, AT_EMPTY_PATH) != 0) {
        failed(errno);
    }
}

void make_link(const Rootfs& rootfs, const char* target, const char* path) {
    std::string name;
    const base::Fd parent = make_parent_in_root(rootfs.root, path, name);
    if (parent && (::symlinkat(target, parent.get(), name.c_str()) == 0 || errno == EEXIST)) return;
    fail("device", errno,
         "configuring container /dev: error setting up /dev symlinks: symlink " +
             std::string(target) + " " + path);
}

void set_read_only(const base::Fd& mount, const char* step, const std::string& text) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
        fail(step, errno, text);
    }
}

/// Covers a file with the host's null device, a directory with an empty read-only tmpfs.
void mask_path(const Rootfs& rootfs, const std::string& path, base::Fd& empty) {
    const base::Fd place = open_in_root(rootfs.root, path, O_PATH);
    if (!place) {
        if (errno == ENOENT || errno == ENOTDIR) return;
        fail("mask", errno, "can't mask path " + quoted(path));
    }
    struct stat info {};
    if (::fstat(place.get(), &info) != 0) fail("mask", errno, "can't mask path " + quoted(path));
    base::Fd tree;
    if (!S_ISDIR(info.st_mode)) {
        tree.reset(::open_tree(rootfs.host_null.get(), "",
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
    } else if (empty) {
        tree.reset(
            ::open_tree(empty.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
    } else {
        empty = new_mount("tmpfs", "nr_blocks=1,nr_inodes=1", MOUNT_ATTR_RDONLY);
        const int error = empty ? attach(empty, place) : errno;
        if (error != 0) fail("mask", error, "can't mask dir " + quoted(path));
        return;
    }
    const int error = tree ? attach(tree, place) : errno;
    if (error != 0) fail("mask", error, "can't mask path " + quoted(path));
}

void protect_path(const Rootfs& rootfs, const std::string& path) {
    const base::Fd place = open_in_root(rootfs.root, path, O_PATH);
    const std::string text = "can't make " + quoted(path) + " read-only";
    if (!place) {
        if (errno == ENOENT) return;
        fail("mask", errno, text);
    }
    const base::Fd tree{::open_tree(
        place.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE)};
    if (!tree) fail("mask", errno, text);
    set_read_only(tree, "mask", text);
    if (const int error = attach(tree, place)) fail("mask", error, text);
}

/// The container's own /dev/pts/ptmx, or the host's where there is no devpts of its own. What is
/// opened must be the multiplexer of a devpts: the image or another container may have put
/// something else there.
base::Fd open_multiplexer(const base::Fd& root) {
    base::Fd master =
        open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, RESOLVE_NO_SYMLINKS);
    if (!master) return master;
    struct stat info {};
    struct statfs system {};
    if (::fstat(master.get(), &info) != 0 || ::fstatfs(master.get(), &system) != 0 ||
        !S_ISCHR(info.st_mode) || info.st_rdev != makedev(5, 2) ||
        system.f_type != DEVPTS_SUPER_MAGIC) {
        errno = ENODEV;
        return base::Fd{};
    }
    return master;
}

void bind_console_device(const base::Fd& root, const base::Fd& peer) {
    const base::Fd place = make_in_root(root, "/dev/console", Leaf::file, 0666);
    if (!place) fail("console", errno, "mount console: create /dev/console");
    const base::Fd tree{
        ::open_tree(peer.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)};
    const int error = tree ? attach(tree, place) : errno;
    if (error != 0) fail("console", error, "mount console");
}

}  // namespace

bool is_null_device(const base::Fd& fd) {
    struct stat info {};
    return fd && ::fstat(fd.get(), &info) == 0 && S_ISCHR(info.st_mode) &&
           info.st_rdev == makedev(1, 3);
}

void make_devices(Rootfs& rootfs) {
    if (binds_dev(rootfs.plan)) return;
    for (const DeviceNode& node : rootfs.plan.devices) make_device(rootfs, node);
    std::string name;
    const base::Fd dev = make_parent_in_root(rootfs.root, "/dev/ptmx", name);
    if (!dev) fail("device", errno, "configuring container /dev: error setting up ptmx");
    if (::unlinkat(dev.get(), "ptmx", 0) != 0 && errno != ENOENT) {
        fail("device", errno, "configuring container /dev: error setting up ptmx");
    }
    make_link(rootfs, "pts/ptmx", "/dev/ptmx");
    make_link(rootfs, "/proc/self/fd", "/dev/fd");
    make_link(rootfs, "/proc/self/fd/0", "/dev/stdin");
    make_link(rootfs, "/proc/self/fd/1", "/dev/stdout");
    make_link(rootfs, "/proc/self/fd/2", "/dev/stderr");
    if (::access("/proc/kcore", F_OK) == 0) make_link(rootfs, "/proc/kcore", "/dev/core");
}

void hide_paths(Rootfs& rootfs) {
    // tmpfs and /dev were writable until now, for what had to be made in them.
    for (const Mount& mount : rootfs.plan.mounts) {
        if (!mount.read_only || mount.kind != MountKind::tmpfs) continue;
        const base::Fd top = open_in_root(rootfs.root, mount.destination, O_PATH);
        if (!top) fail("mount", errno, "remount " + mount.destination);
        set_read_only(top, "mount", "remount " + mount.destination);
    }
    if (rootfs.plan.read_only_rootfs) {
        set_read_only(rootfs.root, "rootfs", "error setting rootfs as readonly");
    }
    for (const std::string& path : rootfs.plan.read_only_paths) protect_path(rootfs, path);
    base::Fd empty;
    for (const std::string& path : rootfs.plan.masked_paths) mask_path(rootfs, path, empty);
}

void enter_root(Rootfs& rootfs) {
    const auto check = [](long result, const char* what) {
        if (result != 0)
            fail("rootfs", errno, std::string("error jailing process inside rootfs: ") + what);
    };
    const base::Fd old{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    check(old ? 0 : -1, "open old root");
    check(::fchdir(rootfs.root.get()), "chdir");
    check(::syscall(SYS_pivot_root, ".", "."), "pivot_root .");
    check(::fchdir(old.get()), "fchdir");
    check(::umount2(".", MNT_DETACH), "unmount old root");
    check(::chdir("/"), "chdir /");
    const Propagation wanted = rootfs.plan.rootfs_propagation;
    if (wanted == Propagation::make_shared || wanted == Propagation::make_unbindable) {
        const unsigned long bits = wanted == Propagation::make_shared ? MS_SHARED : MS_UNBINDABLE;
        if (::mount(nullptr, "/", nullptr, bits, nullptr) != 0) {
            fail("rootfs", errno, "unable to apply root propagation flags");
        }
    }
}

void write_sysctls(const ContainerPlan& plan) {
    if (plan.sysctls.empty()) return;
    const base::Fd proc = new_mount("proc", "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    if (!proc) fail("sysctl", errno, "open private procfs");
    for (const auto& [key, value] : plan.sysctls) {
        std::string path = "sys/" + key;
        // "net.ipv4.conf.eth0/1.forwarding": sysctl(8) writes a dot in a name as a slash.
        for (char& c : path) c = c == '.' ? '/' : c == '/' && &c > &path[3] ? '.' : c;
        open_how how{};
        how.flags = O_WRONLY | O_CLOEXEC;
        how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
        const base::Fd file{
            static_cast<int>(::syscall(SYS_openat2, proc.get(), path.c_str(), &how, sizeof how))};
        if (!file) fail("sysctl", errno, "open /proc/" + path);
        if (::write(file.get(), value.data(), value.size()) < 0) {
            fail("sysctl", errno, "write /proc/" + path);
        }
    }
}

void open_terminal(const base::Fd& root, ConsoleSize size, bool bind_console) {
    const base::Fd master = open_multiplexer(root);
    if (!master) fail("console", errno, "open /dev/pts/ptmx");
    int unlocked = 0;
    if (::ioctl(master.get(), TIOCSPTLCK, &unlocked) != 0) fail("console", errno, "unlockpt");
    const base::Fd peer{::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)};
    if (!peer) fail("console", errno, "TIOCGPTPEER");
    if (size.height != 0 && size.width != 0) {
        const winsize wanted{size.height, size.width, 0, 0};
        if (::ioctl(master.get(), TIOCSWINSZ, &wanted) != 0) fail("console", errno, "TIOCSWINSZ");
    }
    if (bind_console) bind_console_device(root, peer);
    if (!send_signal(report_socket(), Signal::console, master.get())) ::_exit(1);
    for (int fd = 0; fd <= 2; ++fd) {
        if (::dup2(peer.get(), fd) < 0) fail("console", errno, "dup2");
    }
    if (::ioctl(0, TIOCSCTTY, 0) != 0) fail("console", errno, "ioctl(setctty)");
}

}  // namespace dockerd::runtime::init

#include <dockerd/sys/root.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <dockerd/base/error.hpp>

namespace dockerd::sys {
namespace {

void check(bool done, const char* what) {
    if (!done) base::throw_errno(errno, what);
}

/// Joining the mount namespace one is in leads to its root.
bool leave_chroot() {
    const base::Fd self{::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)};
    return self && ::setns(self.get(), CLONE_NEWNS) == 0;
}

bool make_everything_slave() {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
}

}  // namespace

base::Fd new_tmpfs(const char* mode, const char* size) {
    const base::Fd context{::fsopen("tmpfs", FSOPEN_CLOEXEC)};
    const auto set = [&](const char* key, const char* value) {
        return value == nullptr ||
               ::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value, 0) == 0;
    };
    check(context && set("mode", mode) && set("size", size) &&
              ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0,
          "open a file system");
    base::Fd made{::fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)};
    check(static_cast<bool>(made), "mount a file system");
    return made;
}

base::Fd try_clone_tree(const char* path) noexcept {
    constexpr unsigned flags =
        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | static_cast<unsigned>(AT_RECURSIVE);
    return base::Fd{::open_tree(AT_FDCWD, path, flags)};
}

void replace_root(const base::Fd& root, const std::function<void()>& furnish) {
    // Below a chroot "/" is no mount, or one above which the namespace's own root would stay.
    check(leave_chroot() && make_everything_slave(), "make / a slave mount");
    // Any directory will do that exists everywhere: nobody else is in this namespace.
    check(::move_mount(root.get(), "", AT_FDCWD, "/sys", MOVE_MOUNT_F_EMPTY_PATH) == 0,
          "move_mount");
    furnish();
    const base::Fd old{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    check(static_cast<bool>(old), "open /");
    check(::fchdir(root.get()) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
    check(::fchdir(old.get()) == 0 && ::umount2(".", MNT_DETACH) == 0, "unmount old root");
    check(::chdir("/") == 0, "chdir");
}

}  // namespace dockerd::sys

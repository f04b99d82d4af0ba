#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include <dockerd/base/fd.hpp>

/// Ends the test that lacks something: skipped, or failed where DOCKERD_REQUIRE promises a full machine.
#define DOCKERD_TEST_NEEDS(condition, reason)                            \
    if (!(condition)) {                                                  \
        if (std::getenv("DOCKERD_REQUIRE") != nullptr) FAIL() << reason; \
        GTEST_SKIP() << reason;                                          \
    }

namespace dockerd::test_support {

/// Whether "/" is no mount, as below a plain chroot.
inline bool below_chroot() {
    std::ifstream table("/proc/self/mountinfo");
    std::string id, parent, device, root, point, rest;
    while (table >> id >> parent >> device >> root >> point && std::getline(table, rest)) {
        if (point == "/") return false;
    }
    return true;
}

/// Makes what is below a chroot the whole of the caller's own mount namespace.
inline bool make_chroot_the_root() {
    char here[PATH_MAX];
    const base::Fd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const base::Fd self(::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
    // Joining the namespace one is in leads to its root.
    if (::getcwd(here, sizeof here) == nullptr || !root || !self ||
        ::setns(self.get(), CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return false;
    }
    const base::Fd old(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const base::Fd tree(::open_tree(
        root.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
    return old && tree &&
           ::move_mount(tree.get(), "", AT_FDCWD, "/sys", MOVE_MOUNT_F_EMPTY_PATH) == 0 &&
           ::fchdir(tree.get()) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 &&
           ::fchdir(old.get()) == 0 && ::umount2(".", MNT_DETACH) == 0 && ::chdir(here) == 0;
}

/// Gives the caller a mount namespace of which nobody else hears.
inline bool own_mounts() {
    if (::unshare(CLONE_NEWNS) != 0) return false;
    if (below_chroot()) return make_chroot_the_root();
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace dockerd::test_support

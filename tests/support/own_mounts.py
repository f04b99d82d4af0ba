"""own_mounts.py COMMAND...: executes it in a mount namespace of which nobody else hears.

`unshare --mount` does so too, but not below a plain chroot, where "/" is no mount to make private.
"""
import ctypes
import os
import sys

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2
AT_FDCWD, AT_RECURSIVE, AT_EMPTY_PATH = -100, 0x8000, 0x1000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4


def _call(name, *arguments):
    result = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (name, os.strerror(number)))
    return result


def _make_private():
    _call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)


def below_chroot():
    with open("/proc/self/mountinfo") as table:
        return "/" not in [line.split()[4] for line in table]


def make_chroot_the_root():
    """Makes what is below a chroot the whole of this process's own mount namespace."""
    here, root, own = os.getcwd(), os.open("/", os.O_PATH), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    _call("setns", own, CLONE_NEWNS)  # joining the namespace one is in leads to its root
    _make_private()
    old = os.open("/", os.O_PATH)
    tree = _call("open_tree", root, b"", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE)
    _call("move_mount", tree, b"", AT_FDCWD, b"/sys", MOVE_MOUNT_F_EMPTY_PATH)
    os.fchdir(tree)
    _call("pivot_root", b".", b".")
    os.fchdir(old)
    _call("umount2", b".", MNT_DETACH)
    os.chdir(here)


def main():
    _call("unshare", CLONE_NEWNS)
    if below_chroot():
        make_chroot_the_root()
    else:
        _make_private()
    os.execvp(sys.argv[1], sys.argv[1:])


# As a command before a command.
PREFIX = (sys.executable, os.path.abspath(__file__))


def prefix_below_chroot():
    """For Docker's own engine, which unpacks nothing where "/" is no mount."""
    return PREFIX if below_chroot() else ()


if __name__ == "__main__":
    main()

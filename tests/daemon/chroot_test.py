"""A daemon below a chroot, as in a build root or a rescue system: `/` is not the namespace's own root there."""
import os
import tempfile

import support  # noqa: F401  (makes tests/support importable)

import own_mounts
from testcase import DaemonTestCase, main

# Makes every top folder of the host appear below $1, which stays a plain folder, and executes the rest there.
ENTER = """
set -e
root=$1; shift
MOUNT
for path in /*; do
    if [ -L "$path" ]; then ln -s "$(readlink "$path")" "$root$path"
    elif [ -d "$path" ]; then mkdir -p "$root$path"; mount --rbind "$path" "$root$path"; fi
done
exec chroot "$root" "$@"
"""


class Chroot(DaemonTestCase):
    mount = ":"  # what is done to the root before it is entered

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="dockerd-chroot-")
        cls.addClassCleanup(cls.remove_root)
        cls.prefix = [*own_mounts.PREFIX, "bash", "-c", ENTER.replace("MOUNT", cls.mount), "enter", cls.root]
        super().setUpClass()

    @classmethod
    def remove_root(cls):
        # The mounts are gone with their namespace. Never recursive: should one still be there, rmdir refuses.
        for name in os.listdir(cls.root):
            path = os.path.join(cls.root, name)
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)
        os.rmdir(cls.root)

    def test_root_is_a_folder(self):
        with open("/proc/%d/mountinfo" % self.daemon.pid) as file:
            points = [line.split()[4] for line in file]
        self.assertEqual("/" in points, self.mount != ":")
        self.assertEqual(os.readlink("/proc/%d/root" % self.daemon.pid), self.root)

    def test_container_sees_its_own_root_only(self):
        self.assertCli(0, "run", "--rm", "kit", "sh", "-c", "test -e /payload && ls -d /work /usr/lib 2>/dev/null; true",
                       stdout="")
        self.assertCli(42, "run", "--rm", "-p", "127.0.0.1::80", "kit", "sh", "-c", "exit 42")

    def test_privileged_container_does_not_reach_the_host(self):
        # Joining the own mount namespace anew leads to the namespace's root: that has to be the container's.
        done = self.assertCli(0, "run", "--rm", "--privileged", "kit", "sh", "-c",
                              "nsenter --mount=/proc/self/ns/mnt ls / | sort >/tmp/a; ls / | sort >/tmp/b; cmp /tmp/a /tmp/b")
        self.assertEqual(done.stderr, b"")

    def test_exec_and_volumes(self):
        self.assertCli(0, "run", "-d", "--name", "one", "-v", "data:/data", "-v", "/etc:/host:ro", "kit", "/payload",
                       "sleep", "60")
        self.assertCli(0, "exec", "one", "sh", "-c", "echo kept >/data/file; test -e /host/passwd; cat /data/file",
                       stdout="kept\n")
        self.assertCli(0, "rm", "-f", "one", stdout="one\n")
        self.assertCli(0, "run", "--rm", "-v", "data:/data", "kit", "cat", "/data/file", stdout="kept\n")
        self.assertCli(0, "volume", "rm", "data", stdout="data\n")


class ChrootToAMount(Chroot):
    """As `chroot /mnt` on a rescue system: the new root is a mount, below which the old one still lies."""
    mount = 'mount --bind "$root" "$root"'


if __name__ == "__main__":
    main()

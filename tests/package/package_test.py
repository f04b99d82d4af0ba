#!/usr/bin/env python3
"""The Debian package over Debian's docker.io and without it, on a root file system of Debian 12 that stays as it is.

Run by hand, as root: DOCKERD_DEB=build/release/dockerd_28.2.2_amd64.deb DOCKERD_DEBIAN_ROOT=/path tests/package/package_test.py
The root is made by debootstrap; docker.io and what the package depends on are installed in it.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from daemon import remove_cgroups, wait_for  # noqa: E402
from image import build_tar  # noqa: E402

SET_UP = """set -e
mount -t overlay none -o lowerdir={root},upperdir={base}/upper,workdir={base}/work {base}/root
cd {base}/root
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -t tmpfs none run; mkdir -p run/lock
# Docker's init script makes hierarchies of controllers that have none, and the kernel keeps them: it sees no such controllers.
while read name rest; do case "$name" in '#'*) ;; *) mountpoint -q sys/fs/cgroup/$name || continue ;; esac; echo "$name $rest"; done \
    </proc/cgroups >{base}/cgroups
mount --bind {base}/cgroups proc/cgroups
mkdir -p var/lib/docker var/lib/containerd kit
mount --bind {base}/lib var/lib/docker; mount --bind {base}/containerd var/lib/containerd; mount --bind {base}/kit kit
rm -f usr/sbin/policy-rc.d; printf '#!/bin/sh\\nexit 0\\n' >usr/sbin/policy-rc.d; chmod 755 usr/sbin/policy-rc.d  # without an init as well
ip link set lo up
echo ready
exec sleep infinity
"""


@unittest.skipUnless(os.environ.get("DOCKERD_DEB") and os.environ.get("DOCKERD_DEBIAN_ROOT"), "no package or no root: see above")
class Package(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.mkdtemp(prefix="dockerd-test-")
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        for name in ("upper", "work", "root", "lib", "containerd", "kit"):
            os.mkdir("%s/%s" % (self.base, name))
        shutil.copy(os.environ["DOCKERD_DEB"], self.base + "/kit/dockerd.deb")
        with open(self.base + "/kit/image.tar", "wb") as file:
            file.write(build_tar())
        self.cgroup = "/dockerd-test-package-%d" % os.getpid()
        self.addCleanup(remove_cgroups, self.cgroup)
        script = SET_UP.format(base=self.base, root=os.environ["DOCKERD_DEBIAN_ROOT"])
        self.machine = subprocess.Popen(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script],
                                        stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        self.assertEqual(self.machine.stdout.readline(), "ready\n")
        self.shell("mkdir -p /etc/docker; cat >/etc/docker/daemon.json", stdin=json.dumps({"cgroup-parent": self.cgroup}))

    def end(self):
        own = os.stat("/proc/%d/ns/mnt" % self.machine.pid).st_ino
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                root = os.readlink("/proc/%s/root" % entry)
                if os.stat("/proc/%s/ns/mnt" % entry).st_ino == own or root.startswith(self.base) or self.in_cgroup(entry):
                    os.kill(int(entry), signal.SIGKILL)
            except OSError:
                pass
        self.machine.wait()
        self.machine.stdout.close()
        wait_for(lambda: not any(self.in_cgroup(entry) for entry in filter(str.isdigit, os.listdir("/proc"))), what="the end of all")

    def in_cgroup(self, pid):
        try:
            with open("/proc/%s/cgroup" % pid) as file:
                return self.cgroup + "/" in file.read()
        except OSError:
            return False

    def shell(self, text, code=0, stdin=""):
        done = subprocess.run(
            ["nsenter", "--mount", "--net", "-t", str(self.machine.pid), "chroot", self.base + "/root", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", text],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        self.assertEqual(done.returncode, code, "%s\n%s" % (text, done.stdout))
        return done.stdout

    def serves(self, version):
        wait_for(lambda: self.shell("docker version --format '{{.Server.Version}}' 2>/dev/null || true").strip().startswith(version),
                 what="an engine " + version, seconds=60)

    def pid_of(self, name):
        return self.shell("docker inspect -f '{{.State.Pid}}' " + name).strip()

    def sees(self, *containers):
        names = self.shell("docker ps -a --format '{{.Names}}'").split()
        self.assertEqual(sorted(names), sorted(containers))
        self.assertEqual(self.shell("docker run --rm -v data:/data kit cat /data/file"), "kept\n")
        self.assertIn("private", self.shell("docker network ls --format '{{.Name}}'").split())

    def test_over_docker_io(self):
        # Docker's own script gives up where limits cannot be raised.
        self.shell("sed -i 's/^\\([[:space:]]*\\)ulimit/\\1: ulimit/' /etc/init.d/docker")
        self.shell("service docker start")
        self.serves("20.10")
        conffiles = self.shell("sha256sum /etc/init.d/docker /etc/default/docker")
        self.shell("docker import /kit/image.tar kit; docker network create private; docker volume create data; "
                   "docker run --rm -v data:/data kit sh -c 'echo kept >/data/file'; "
                   "docker run -d --restart always --network private --name keeps kit /payload pause; docker create --name old kit true")
        self.sees("keeps", "old")
        # Installed: this engine serves the same root and socket, and what is to run runs.
        self.shell("dpkg -i /kit/dockerd.deb")
        self.serves("28.2.2")
        self.sees("keeps", "old")
        wait_for(lambda: self.pid_of("keeps") != "0", what="the container's restart")
        self.shell("docker run -d --name new --network private kit /payload pause")
        self.assertEqual(self.shell("docker exec new /payload echo lives"), "lives\n")
        self.assertEqual(self.shell("dpkg-divert --list | grep -c 'by dockerd$'").strip(), "5")
        # Upgraded: the containers do not notice.
        pids, daemon = [self.pid_of(name) for name in ("keeps", "new")], self.shell("cat /var/run/docker.pid")
        self.shell("dpkg -i /kit/dockerd.deb")
        self.serves("28.2.2")
        self.assertEqual([self.pid_of(name) for name in ("keeps", "new")], pids)
        self.assertNotEqual(self.shell("cat /var/run/docker.pid"), daemon)
        self.assertEqual(self.shell("docker exec new /payload echo lives"), "lives\n")
        # Removed: Docker's own is back, and sees everything.
        self.shell("dpkg -r dockerd")
        self.serves("20.10")
        self.sees("keeps", "old", "new")
        self.shell("docker start new")
        self.assertEqual(self.shell("docker inspect -f '{{.State.Running}}' new"), "true\n")
        self.shell("dpkg --purge dockerd")
        self.assertEqual(self.shell("sha256sum /etc/init.d/docker /etc/default/docker"), conffiles)
        self.assertEqual(self.shell("dpkg-divert --list | grep dockerd || true"), "")
        self.assertEqual(self.shell("dpkg --verify docker.io | grep -v ' c /etc/init.d/docker$' || true"), "")
        self.shell("service docker stop")

    def test_alone(self):
        self.shell("cp /usr/bin/docker /kit/docker; dpkg --purge --force-depends docker.io; rm -f /etc/default/docker /etc/init.d/docker")
        self.shell("dpkg -i /kit/dockerd.deb")
        wait_for(lambda: "28.2.2" in self.shell("/kit/docker version 2>&1 || true"), what="the engine")
        self.assertIn("is running", self.shell("service docker status"))
        self.shell("service docker stop")
        # What nobody has changed follows the package's versions, and goes with it; what was changed stays until the purge.
        self.shell("echo '# of an earlier version' >>/etc/init.d/docker; echo '# by hand' >>/etc/default/docker; "
                   "sed -i '\\|/etc/init.d/docker$|d' /var/lib/dockerd/made; sha256sum /etc/init.d/docker >>/var/lib/dockerd/made")
        self.shell("dpkg -i /kit/dockerd.deb")
        self.assertEqual(self.shell("grep -c version /etc/init.d/docker; grep -c hand /etc/default/docker", code=0), "0\n1\n")
        self.shell("dpkg -r dockerd")
        self.assertEqual(self.shell("ls /etc/init.d/docker /etc/default/docker 2>/dev/null || true"), "/etc/default/docker\n")
        self.shell("dpkg --purge dockerd")
        self.shell("ls /etc/init.d/docker /etc/default/docker", code=2)
        self.assertEqual(self.shell("dpkg-divert --list | grep dockerd || true"), "")

    def test_with_another_package_later(self):
        """One with the same conffiles is installed without a question, purged without an end of the service, and starts none that
        was stopped when it is upgraded."""
        self.shell("cp /usr/bin/docker /kit/docker; dpkg --purge --force-depends docker.io; rm -f /etc/default/docker /etc/init.d/docker")
        self.shell("dpkg -i /kit/dockerd.deb")
        wait_for(lambda: "28.2.2" in self.shell("/kit/docker version 2>&1 || true"), what="the engine")
        self.shell("""set -e; mkdir -p /kit/other/DEBIAN /kit/other/etc/init.d /kit/other/usr/sbin; cd /kit/other
            printf '#!/bin/sh\\nexit 0\\n' >etc/init.d/docker; cp etc/init.d/docker usr/sbin/dockerd; chmod 755 etc/init.d/docker usr/sbin/dockerd
            echo /etc/init.d/docker >DEBIAN/conffiles
            printf 'Package: docker.io\\nVersion: 99\\nArchitecture: all\\nMaintainer: x <x@y>\\nDescription: x\\n' >DEBIAN/control
            printf '#!/bin/sh\\nset -e\\n[ "$1" != remove ] || service docker stop\\n' >DEBIAN/prerm
            printf '#!/bin/sh\\nset -e\\n[ "$1" != purge ] || update-rc.d docker remove\\n' >DEBIAN/postrm
            chmod 755 DEBIAN/prerm DEBIAN/postrm; dpkg-deb -b . /kit/other.deb; dpkg -i /kit/other.deb </dev/null""")
        self.assertIn("is running", self.shell("service docker status"))
        self.shell("dpkg -i /kit/other.deb </dev/null")  # an upgrade
        self.assertIn("is running", self.shell("service docker status"))
        self.shell("service docker stop; dpkg -i /kit/other.deb </dev/null")
        self.assertIn("is not running", self.shell("service docker status || true"))
        self.shell("service docker start; dpkg --purge docker.io")
        self.assertIn("is running", self.shell("service docker status; ls /etc/rc2.d/*docker >&2"))
        self.assertIn("28.2.2", self.shell("/kit/docker version"))
        # Theirs again when this one goes first.
        self.shell("dpkg -i /kit/other.deb </dev/null")
        self.shell("dpkg -r dockerd")
        self.assertEqual(self.shell("cat /etc/init.d/docker"), "#!/bin/sh\nexit 0\n")
        self.shell("dpkg --purge dockerd docker.io")
        self.assertEqual(self.shell("dpkg-divert --list | grep dockerd || true"), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)

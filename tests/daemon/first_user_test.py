"""The story of a first user, as it is typed: the service, the daemon in the foreground, its help, DOCKER_OPTS, and every way to
reach it. All at the usual paths, in a mount and a network namespace of the test's own."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import support  # noqa: F401

import own_mounts
import reports
from daemon import find_daemon, remove_cgroups, wait_for
from flagscase import ORACLE
from image import build_tar
from testcase import main, require

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# /run, /var/lib/docker, /var/log and /etc are the test's; what of /etc matters comes along.
SET_UP = """set -e
mount -t tmpfs none /run; mkdir -p /run/lock
mkdir -p /var/lib/docker /etc/docker; mount --bind {base}/lib /var/lib/docker
mount -t tmpfs none /var/log
cp -a /etc {base}/etc; mount --bind {base}/etc /etc
cp {top}/packaging/sysvinit/docker /etc/init.d/docker
ip link set lo up
echo ready
exec sleep infinity
"""


class FirstUser(unittest.TestCase):
    def setUp(self):
        require(os.geteuid() == 0, "not root")
        require(shutil.which("docker"), "no docker CLI")
        require(shutil.which("service") and os.path.exists("/lib/lsb/init-functions"), "no init scripts here")
        self.base = tempfile.mkdtemp(prefix="dockerd-test-")
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        for name in ("lib", "bin"):
            os.mkdir("%s/%s" % (self.base, name))
        self.cgroup = "/dockerd-test-first-%d" % os.getpid()
        self.addCleanup(remove_cgroups, self.cgroup)
        # "dockerd" is what the user types.
        self.dockerd = self.base + "/bin/dockerd"
        shutil.copy2(find_daemon(), self.dockerd)
        self.machine = subprocess.Popen(
            [*own_mounts.PREFIX, "unshare", "--net", "sh", "-c", SET_UP.format(base=self.base, top=TOP)],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        self.assertEqual(self.machine.stdout.readline(), "ready\n")
        self.foreground = None
        self.write("/etc/docker/daemon.json", json.dumps({"cgroup-parent": self.cgroup}))
        self.write("/etc/default/docker", "DOCKERD=%s\n" % self.dockerd)

    def end(self):
        for pid in self.leftovers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.machine.kill()
        self.machine.wait()
        self.machine.stdout.close()
        text = reports.take(self.base + "/sanitizer")
        self.assertFalse(text, text)

    def leftovers(self):
        """Processes in the machine's network namespace, but for the one that holds it."""
        own = os.stat("/proc/%d/ns/mnt" % self.machine.pid).st_ino
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat("/proc/%s/ns/mnt" % entry).st_ino == own and int(entry) != self.machine.pid:
                    found.append(int(entry))
            except OSError:
                pass
        return found

    # -- what is typed -----------------------------------------------------
    def shell(self, text, code=0, environment=None, **more):
        """Types a line, and returns what it prints."""
        done = subprocess.run(self.entered() + ["sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120 * reports.PATIENCE, env=self.environment(environment), **more)
        self.assertEqual(done.returncode, code, "%s\n%s\n%s" % (text, done.stdout, self.log()))
        return done.stdout

    def entered(self):
        return ["nsenter", "--mount", "--net", "-t", str(self.machine.pid)]

    def environment(self, more=None):
        return dict(reports.environment(self.base + "/sanitizer"), PATH=self.base + "/bin:" + os.environ["PATH"],
                    DOCKER_CONFIG=self.base + "/cli", DOCKER_CLI_HINTS="false", **(more or {}))

    def write(self, path, text):
        with open("/proc/%d/root%s" % (self.machine.pid, path), "w") as file:
            file.write(text)

    def log(self):
        out = ""
        for path in ("/proc/%d/root/var/log/docker.log" % self.machine.pid, self.base + "/foreground.log"):
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    out += "".join(file.readlines()[-40:])
        return out

    def start(self, text, host="unix:///var/run/docker.sock"):
        """Types a line that stays in the foreground of its terminal, and waits until another one gets an answer."""
        with open(self.base + "/foreground.log", "w") as log:
            self.foreground = subprocess.Popen(self.entered() + ["sh", "-c", "exec " + text], stdin=subprocess.DEVNULL, stdout=log,
                                               stderr=log, env=self.environment())
        def serves():
            with open(self.base + "/foreground.log", errors="replace") as log:
                return "API listen on" in log.read()
        wait_for(lambda: self.foreground.poll() is not None or serves(), seconds=60, what=text)
        self.assertIsNone(self.foreground.poll(), self.log())
        self.shell("docker -H %s ps" % host)

    def stop(self):
        """Ctrl-C."""
        self.foreground.send_signal(signal.SIGINT)
        self.assertEqual(self.foreground.wait(60 * reports.PATIENCE), 0, self.log())

    def has_socket(self):
        return os.path.exists("/proc/%d/root/run/docker.sock" % self.machine.pid)

    # -- the story ---------------------------------------------------------
    def test_the_service(self):
        self.assertIn("is not running", self.shell("service docker status", code=3))
        self.shell("service docker start")
        self.assertIn("is running", self.shell("service docker status"))
        self.assertEqual(self.shell("docker images --format '{{.Repository}}'"), "")
        with open(self.base + "/image.tar", "wb") as file:
            file.write(build_tar())
        self.shell("docker import -c 'CMD [\"/payload\",\"echo\",\"hello\"]' %s/image.tar kit" % self.base)
        self.assertEqual(self.shell("docker images --format '{{.Repository}}'"), "kit\n")
        self.assertEqual(self.shell("docker run --rm kit"), "hello\n")
        self.shell("service docker start")  # once more does no harm
        self.shell("service docker restart")
        self.assertEqual(self.shell("docker images --format '{{.Repository}}'"), "kit\n")
        self.shell("service docker reload")
        wait_for(lambda: "Reloaded configuration" in self.log(), what="the reload")
        self.shell("service docker stop")
        self.assertFalse(self.has_socket())
        self.assertIn("is not running", self.shell("service docker status", code=3))
        self.shell("service docker stop")
        self.assertIn("Cannot connect to the Docker daemon", self.shell("docker images", code=1))
        self.assertIn("Usage: service docker {start|stop|restart", self.shell("service docker nonsense", code=2))

    @unittest.skipIf(ORACLE, "Docker's engine does not read the file itself")
    def test_docker_opts(self):
        self.write("/etc/default/docker", 'DOCKERD=%s\nDOCKER_OPTS="dockerd -H tcp://0.0.0.0:2375 '
                   '--insecure-registry=192.168.100.99:5000 --tls=false"\n' % self.dockerd)
        self.shell("service docker start")
        self.assertFalse(self.has_socket())
        self.assertIn("192.168.100.99:5000", self.shell("docker -H tcp://127.0.0.1:2375 info"))
        self.shell("service docker stop")
        # A script of Docker's own passes the words as well.
        self.start('dockerd -p /var/run/docker.pid $(. /etc/default/docker; echo $DOCKER_OPTS)', host="tcp://127.0.0.1:2375")
        self.stop()
        self.write("/etc/default/docker", 'DOCKERD=%s\nDOCKER_OPTS="--nonsense"\n' % self.dockerd)
        self.assertIn("/etc/default/docker: DOCKER_OPTS: unknown flag: --nonsense", self.shell("service docker start", code=1))
        # What the configuration does not tell: the address is not this machine's.
        self.write("/etc/default/docker", 'DOCKERD=%s\nDOCKER_OPTS="-H tcp://192.0.2.1:2375 --tls=false"\n' % self.dockerd)
        self.assertIn("the daemon has ended; its log is /var/log/docker.log", self.shell("service docker start", code=1))
        self.assertIn("listen tcp 192.0.2.1:2375: bind: cannot assign requested address", self.log())

    def test_in_the_foreground(self):
        self.assertIn("Usage:\tdockerd [OPTIONS]", self.shell("dockerd --help"))
        self.assertRegex(self.shell("dockerd --version"), r"^Docker version 28\.2\.2, build \S+\n$")
        for line in ("dockerd", "dockerd -H unix:///var/run/docker.sock"):
            self.start(line)
            self.assertEqual(self.shell("docker version --format '{{.Server.Version}}'"), "28.2.2\n", line)
            self.assertTrue(self.has_socket())
            self.stop()
            self.assertFalse(self.has_socket(), line)
        self.start("dockerd --insecure-registry=192.168.99.100:5000")
        info = self.shell("docker info")
        self.assertIn(" Insecure Registries:\n  192.168.99.100:5000\n", info)
        self.stop()

    def test_over_tcp(self):
        self.start("dockerd -H tcp://127.0.0.1:2375 --tls=false", host="tcp://127.0.0.1:2375")
        self.assertFalse(self.has_socket())
        version = json.loads(self.shell("curl -s 127.0.0.1:2375/version | python3 -m json.tool"))
        self.assertEqual((version["Version"], version["ApiVersion"], version["MinAPIVersion"]), ("28.2.2", "1.50", "1.24"))
        one = self.shell("docker version", environment={"DOCKER_HOST": "tcp://127.0.0.1:2375"})
        self.assertEqual(self.shell("docker -H tcp://127.0.0.1:2375 version"), one)
        self.assertIn("28.2.2", one)
        self.stop()
        self.start("dockerd -H unix:///var/run/docker.sock -H tcp://127.0.0.1:2375 --tls=false")
        self.assertEqual(self.shell("docker -H tcp://127.0.0.1:2375 version"), self.shell("docker version"))
        self.stop()


if __name__ == "__main__":
    main()

"""The base of daemon tests: one private daemon for the class, the test image, and xcheck around every test."""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import unittest

import daemon
import snapshot

# Worker pools may start another thread late; anything beyond is a leak.
THREADS = 16


def require(condition, reason):
    """Skips without the condition; fails instead where DOCKERD_REQUIRE=root promises a full machine."""
    if condition:
        return
    if os.environ.get("DOCKERD_REQUIRE") == "root":
        raise AssertionError("required, but: " + reason)
    raise unittest.SkipTest(reason)


class DaemonTestCase(unittest.TestCase):
    """self.daemon runs with the image "kit"; leftovers of a test fail it. Names of containers are free to choose."""

    arguments = ()   # for the daemon's command line
    prefix = ()      # a command that executes the daemon
    scopes = False   # systemd makes the cgroups, where it runs
    # Docker's own engine leaves sockets and netns files behind for a while; DOCKERD_ORACLE=1 says it is the one tested.
    check_leaks = not os.environ.get("DOCKERD_ORACLE")

    @classmethod
    def setUpClass(cls):
        require(os.geteuid() == 0, "not root")
        require(shutil.which("docker"), "no docker CLI")
        try:
            cls.daemon = daemon.Daemon(cls.arguments, prefix=cls.prefix, scopes=cls.scopes)
        except FileNotFoundError as error:
            require(False, str(error))
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        cls.daemon.load_image()
        # What is made once and kept (bridge rules, pools, caches) is made by a first run.
        cls.warm_up()

    @classmethod
    def warm_up(cls):
        # Several at once: pools of netlink sockets and threads grow to what the tests need.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in range(16):
                pool.submit(cls.daemon.cli, "run", "--rm", "-p", "127.0.0.1::80", "kit", "/payload", "echo", "warm")
        # The first container on the host network mounts its namespace, which stays.
        cls.daemon.cli("run", "--rm", "--network", "host", "kit", "/payload", "echo", "warm")
        # The first follower of a log makes the one watcher of all logs.
        cls.daemon.run("/payload", "pause", name="warm", host={"NetworkMode": "none"})
        with subprocess.Popen(["docker", "logs", "-f", "warm"], env=cls.daemon.cli_environment(),
                              stdout=subprocess.PIPE) as follower:
            follower.stdout.readline()  # it watches before it shows the first line
            # The first archive from outside puts the program that unpacks into memory.
            cls.daemon.cli("cp", os.path.abspath(__file__), "warm:/tmp/warm")
            cls.daemon.remove_containers()
        cls.warm_pid = cls.daemon.pid

    def setUp(self):
        self.addCleanup(self.daemon.check_reports)
        self.target = snapshot.Target(self.daemon.pid, self.daemon.base, self.daemon.cgroup)
        if self.check_leaks:
            # A daemon that a test started anew opens its pools of sockets again.
            if self.daemon.pid != type(self).warm_pid:
                DaemonTestCase.warm_up.__func__(type(self))
            # Monitors of the last test's containers end, and their interfaces go with the namespaces, a moment later.
            snapshot.wait_without_containers(self.target, 15)
            self.before = snapshot.take_settled(self.target, 15)

    def tearDown(self):
        if self.daemon.process is None or self.daemon.process.poll() is not None:
            self.dump("the daemon is gone")
            self.daemon.process = None
            self.daemon.start()
            self.fail("the daemon did not survive the test")
        self.daemon.remove_containers()
        if self.check_leaks:
            self.target.pid = self.daemon.pid
            left = snapshot.settle(self.target, self.before, 15, THREADS)
            if left:
                self.dump("leaks")
            self.assertEqual(left, [], "left behind:\n" + "\n".join(left))

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and getattr(self, "daemon", None):
            self.dump(self.id())

    def dump(self, title):
        print("--- %s: end of the daemon's log\n%s---" % (title, self.daemon.log_tail()), file=sys.stderr)

    # -- shorthands -------------------------------------------------------
    def cli(self, *arguments, **more):
        return self.daemon.cli(*arguments, **more)

    def assertCli(self, code, *arguments, stdout=None, stderr=None, **more):
        """Runs the CLI and checks its exit code, and its output where given (whole text)."""
        done = self.daemon.cli(*arguments, **more)
        self.assertEqual(done.returncode, code, "docker %s: %r %r" % (" ".join(arguments), done.stdout, done.stderr))
        if stdout is not None:
            self.assertEqual(done.stdout.decode(), stdout)
        if stderr is not None:
            self.assertEqual(done.stderr.decode(), stderr)
        return done


def main():
    unittest.main(verbosity=2)

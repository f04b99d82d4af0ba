"""The systemd cgroup driver: containers are scopes of systemd, with all that limits_test.py sees of limits. Runs in the guest."""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]

import limits_test
from daemon import Daemon, wait_for
from testcase import DaemonTestCase, main


def systemctl(*arguments):
    done = subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


def units():
    """All scopes of containers that systemd knows, also those that failed."""
    return systemctl("list-units", "--all", "--plain", "--no-legend", "docker-*.scope")


@unittest.skipUnless(os.path.isdir("/run/systemd/system"), "needs systemd")
class Scopes(limits_test.Limits):
    scopes = True  # without --exec-opt: the default of a machine with systemd and cgroup v2

    def tearDown(self):
        super().tearDown()
        self.assertEqual(units(), "")

    def identity(self, name):
        with self.daemon.client() as client:
            document = client.get("/containers/%s/json" % name)
        return document["Id"], document["State"]["Pid"]

    def scope(self, name):
        return "docker-%s.scope" % self.identity(name)[0]

    def test_info_tells(self):
        super().test_info_tells()
        with self.daemon.client() as client:
            self.assertEqual(client.get("/info")["CgroupDriver"], "systemd")

    def test_scope(self):
        self.daemon.run("/payload", "pause", name="one", host={"Memory": 64 << 20, "PidsLimit": 20, "CpusetCpus": "1",
                                                              "NanoCpus": 333000000})
        self.assertEqual(self.cgroup_of("one"), "/sys/fs/cgroup%s/%s" % (self.daemon.cgroup, self.scope("one")))
        shown = systemctl("show", self.scope("one"), "-p", "Delegate,MemoryMax,MemorySwapMax,TasksMax,AllowedCPUs,Slice,ActiveState")
        self.assertEqual(set(shown.splitlines()), {
            "Delegate=yes", "MemoryMax=%d" % (64 << 20), "MemorySwapMax=%d" % (64 << 20), "TasksMax=20", "AllowedCPUs=1",
            "Slice=" + self.daemon.cgroup[1:], "ActiveState=active"})
        # systemd counts in hundredths of a processor; the kernel was told exactly.
        self.assertEqual(self.value("one", "cpu.max"), "33300 100000")
        self.assertCli(0, "exec", "one", "cat", "/proc/self/cgroup", stdout="0::/\n")
        self.assertCli(0, "top", "one")
        self.assertEqual(self.stats("one")["pids_stats"], {"current": 1, "limit": 20})

    def test_limits_outlive_a_reload_of_systemd(self):
        self.daemon.run("/payload", "pause", name="kept", host={"Memory": 64 << 20, "MemorySwap": 64 << 20, "CpuShares": 512})
        self.assertCli(0, "update", "--pids-limit", "30", "--memory", "48m", "--memory-swap", "48m", "kept")
        systemctl("daemon-reload")
        got = [self.value("kept", file) for file in ("memory.max", "memory.swap.max", "pids.max", "cpu.weight")]
        self.assertEqual(got, [str(48 << 20), "0", "30", "20"])
        # The rules for devices are the kernel's alone: they are still there.
        self.assertCli(1, "exec", "kept", "/payload", "mkdev", "/tmp/tty", "4", "64")

    def test_parents(self):
        self.assertCli(0, "run", "-d", "--name", "deep", "--cgroup-parent", "kit-inner.slice", "kit", "/payload", "pause")
        self.assertEqual(self.cgroup_of("deep"), "/sys/fs/cgroup/kit.slice/kit-inner.slice/" + self.scope("deep"))
        self.assertCli(0, "rm", "-f", "deep")
        systemctl("stop", "kit.slice")
        bad = self.assertCli(125, "run", "--rm", "--cgroup-parent", "/kit", "kit", "true")
        self.assertIn(b'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"', bad.stderr)
        bad = self.assertCli(125, "run", "--rm", "--cgroup-parent", "a--b.slice", "kit", "true")
        self.assertIn(b"invalid slice name: a--b.slice", bad.stderr)

    def test_starts_that_fail_tell_their_own_reason(self):
        for command, code, words in (("/nothing", 127, b"no such file"), ("/etc", 126, b"is a directory")):
            self.assertIn(words, self.assertCli(code, "run", "--rm", "kit", command).stderr)

    def test_starts_at_once_after_an_end(self):
        self.daemon.run("/payload", "pause", name="again")
        for _ in range(3):
            self.assertCli(0, "restart", "-t", "0", "again")
            self.assertEqual(os.path.basename(self.cgroup_of("again")), self.scope("again"))
        self.assertCli(0, "run", "-d", "--name", "loops", "--restart", "on-failure:4", "kit", "/payload", "exit", "3")
        wait_for(lambda: self.state("loops") == (4, "exited"), what="four restarts")

    def state(self, name):
        with self.daemon.client() as client:
            document = client.get("/containers/%s/json" % name)
        return document["RestartCount"], document["State"]["Status"]

    def test_outlive_the_daemon(self):
        self.daemon.run("/payload", "pause", name="lives", host={"Memory": 64 << 20})
        self.daemon.run("/payload", "ticks", "10", name="dies")
        before, scope = self.identity("lives"), self.scope("dies")
        pid = self.identity("dies")[1]
        self.daemon.kill()
        os.kill(pid, 9)
        wait_for(lambda: scope not in units(), what="the end of the scope")
        self.daemon.start()
        self.assertEqual(self.identity("lives"), before)
        self.assertEqual(self.stats("lives")["memory_stats"]["limit"], 64 << 20)
        self.assertCli(0, "update", "--memory", "80m", "--memory-swap", "80m", "lives")
        self.assertEqual(self.value("lives", "memory.max"), str(80 << 20))
        self.assertCli(0, "pause", "lives")
        self.assertEqual(self.value("lives", "cgroup.freeze"), "1")
        self.assertCli(0, "unpause", "lives")
        self.assertCli(0, "exec", "lives", "true")
        self.assertCli(0, "inspect", "-f", "{{.State.ExitCode}}", "dies", stdout="137\n")


@unittest.skipUnless(os.path.isdir("/run/systemd/system"), "needs systemd")
class Drivers(DaemonTestCase):
    """A machine whose daemon goes from one driver to the other, with containers that run."""

    check_leaks = False

    def restart_with(self, driver, parent):
        self.daemon.kill()
        self.daemon.driver = ["--exec-opt", "native.cgroupdriver=" + driver]
        self.daemon.cgroup = parent
        self.daemon.start()

    def test_there_and_back(self):
        directory, slice = self.daemon.cgroup, "/kitdrivers.slice"
        self.daemon.run("/payload", "pause", name="old", host={"PidsLimit": 11})
        self.restart_with("systemd", slice)
        self.daemon.run("/payload", "pause", name="new", host={"PidsLimit": 12})
        for driver, parent in (("systemd", slice), ("cgroupfs", directory)):
            self.restart_with(driver, parent)
            with self.daemon.client() as client:
                self.assertEqual(client.get("/info")["CgroupDriver"], driver)
                for name, limit in (("old", 11), ("new", 12)):
                    self.assertEqual(client.get("/containers/%s/stats?stream=0" % name)["pids_stats"], {"current": 1, "limit": limit})
        self.assertCli(0, "update", "--pids-limit", "13", "new")
        self.assertIn("TasksMax=13", systemctl("show", units().split()[0], "-p", "TasksMax"))
        self.daemon.remove_containers()
        self.assertEqual(units(), "")
        self.assertEqual([name for name in os.listdir("/sys/fs/cgroup" + directory)
                          if os.path.isdir("/sys/fs/cgroup%s/%s" % (directory, name))], [])
        systemctl("stop", slice[1:])

    def test_parent_of_the_daemon_is_checked(self):
        other = Daemon()
        self.addCleanup(other.close)
        for driver in ([], ["--exec-opt", "native.cgroupdriver=systemd"]):
            other.driver = driver
            done = subprocess.run(other.command(), stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"', done.stderr)


if __name__ == "__main__":
    main()

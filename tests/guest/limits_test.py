"""Limits on cgroup v2 take effect and are seen by stats and inspect. Runs in the guest, which has systemd and v2."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from daemon import wait_for
from testcase import DaemonTestCase, main


@unittest.skipUnless(os.path.exists("/sys/fs/cgroup/cgroup.controllers"), "needs cgroup v2")
class Limits(DaemonTestCase):
    def cgroup_of(self, name):
        with self.daemon.client() as client:
            pid = client.get("/containers/%s/json" % name)["State"]["Pid"]
        with open("/proc/%d/cgroup" % pid) as file:
            return "/sys/fs/cgroup" + file.read().strip().split("::")[1]

    def value(self, name, file):
        with open("%s/%s" % (self.cgroup_of(name), file)) as content:
            return content.read().strip()

    def stats(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/stats?stream=0" % name)

    def test_memory(self):
        self.daemon.run("/payload", "pause", name="mem", host={"Memory": 64 << 20, "MemorySwap": 96 << 20,
                                                              "MemoryReservation": 32 << 20})
        self.assertEqual(self.value("mem", "memory.max"), str(64 << 20))
        self.assertEqual(self.value("mem", "memory.low"), str(32 << 20))
        self.assertEqual(self.value("mem", "memory.swap.max"), str(32 << 20))
        self.assertEqual(self.stats("mem")["memory_stats"]["limit"], 64 << 20)

    def test_oom_is_reported(self):
        self.assertCli(137, "run", "--name", "big", "-m", "32m", "--memory-swap", "32m", "kit", "/payload", "oom")
        self.assertCli(0, "inspect", "-f", "{{.State.OOMKilled}}", "big", stdout="true\n")
        with self.daemon.client() as client:
            events = client.request("GET", "/events?since=1&until=%d&filters={\"event\":[\"oom\"]}" % (time.time() + 1))
        self.assertIn(b'"oom"', events.body)

    def test_cpu(self):
        self.daemon.run("/payload", "burn", "1000", name="cpu", host={"NanoCpus": 500000000, "CpuShares": 512})
        self.assertEqual(self.value("cpu", "cpu.max"), "50000 100000")
        self.assertEqual(self.value("cpu", "cpu.weight"), "20")
        wait_for(lambda: self.stats("cpu")["cpu_stats"]["throttling_data"]["throttled_periods"] > 0, what="throttling")

    def test_update_while_running(self):
        self.daemon.run("/payload", "pause", name="upd", host={"Memory": 64 << 20})
        self.assertCli(0, "update", "--memory", "128m", "--memory-swap", "128m", "--cpus", "1.5", "upd")
        self.assertEqual(self.value("upd", "memory.max"), str(128 << 20))
        self.assertEqual(self.value("upd", "cpu.max"), "150000 100000")

    def test_pids(self):
        self.assertCli(0, "run", "--rm", "--pids-limit", "10", "kit", "/payload", "fork", "50",
                       stdout="forked 9 of 50 errno EAGAIN\n")

    def test_cpuset(self):
        self.daemon.run("/payload", "pause", name="set", host={"CpusetCpus": "1"})
        self.assertEqual(self.value("set", "cpuset.cpus"), "1")
        self.assertEqual(self.value("set", "cpuset.cpus.effective"), "1")

    def test_io(self):
        self.daemon.run("/payload", "pause", name="iol", host={
            "BlkioDeviceWriteBps": [{"Path": "/dev/vda", "Rate": 1048576}],
            "BlkioDeviceReadIOps": [{"Path": "/dev/vda", "Rate": 100}]})
        limits = self.value("iol", "io.max")
        self.assertIn("wbps=1048576", limits)
        self.assertIn("riops=100", limits)

    def test_devices(self):
        # A node may be made (mknod is a default capability) and not opened; with --device it may. Not /dev/kmsg:
        # Debian's dmesg_restrict refuses it by itself.
        done = self.assertCli(1, "run", "--rm", "kit", "/payload", "mkdev", "/tmp/tty", "4", "64")
        self.assertIn(b"open: errno EPERM", done.stderr)
        self.assertCli(0, "run", "--rm", "kit", "/payload", "mkdev", "/tmp/null", "1", "3", stdout="opened\n")
        self.assertCli(0, "run", "--rm", "--device", "/dev/ttyS0", "kit", "/payload", "mkdev", "/tmp/tty", "4", "64",
                       stdout="opened\n")

    def test_cgroup_namespace_is_private(self):
        self.assertCli(0, "run", "--rm", "kit", "/payload", "cgroup", stdout="0::/\n")

    def test_pause(self):
        self.daemon.run("/payload", "ticks", "10", name="pau")
        self.assertCli(0, "pause", "pau")
        self.assertEqual(self.value("pau", "cgroup.freeze"), "1")
        self.assertCli(0, "unpause", "pau")
        self.assertEqual(self.value("pau", "cgroup.freeze"), "0")

    def test_info_tells(self):
        with self.daemon.client() as client:
            info = client.get("/info")
        self.assertEqual(info["CgroupVersion"], "2")
        self.assertIn("name=cgroupns", info["SecurityOptions"])


if __name__ == "__main__":
    main()

"""Limits on cgroup v2 take effect and are seen by stats and inspect. Runs in the guest, which has systemd and v2."""
import calendar
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from daemon import wait_for
from testcase import DaemonTestCase, main


OOM_ROUNDS = int(os.environ.get("DOCKERD_TEST_ROUNDS", "5"))


def ooms(daemon, name):
    """How many `oom` events a container has had."""
    with daemon.client() as client:
        events = client.request("GET", "/events?since=1&until=%d&filters={\"event\":[\"oom\"],\"container\":[\"%s\"]}" % (
            time.time() + 1, name))
    return events.body.count(b'"Action":"oom"')


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

    def host_config(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)["HostConfig"]

    def test_memory(self):
        self.daemon.run("/payload", "pause", name="mem", host={"Memory": 64 << 20, "MemorySwap": 96 << 20,
                                                              "MemoryReservation": 32 << 20})
        self.assertEqual(self.value("mem", "memory.max"), str(64 << 20))
        self.assertEqual(self.value("mem", "memory.low"), str(32 << 20))
        self.assertEqual(self.value("mem", "memory.swap.max"), str(32 << 20))
        stats = self.stats("mem")["memory_stats"]
        self.assertEqual(stats["limit"], 64 << 20)
        self.assertTrue(0 < stats["usage"] < 8 << 20, stats["usage"])
        host = self.host_config("mem")
        self.assertEqual((host["Memory"], host["MemorySwap"], host["MemoryReservation"]), (64 << 20, 96 << 20, 32 << 20))

    def test_oom_is_reported(self):
        self.assertCli(137, "run", "--name", "big", "-m", "32m", "--memory-swap", "32m", "kit", "/payload", "oom")
        self.assertCli(0, "inspect", "-f", "{{.State.OOMKilled}}", "big", stdout="true\n")
        self.assertEqual(ooms(self.daemon, "big"), 1)

    def test_oom_of_a_child_is_told_at_once(self):
        self.daemon.run("sh", "-c", "/payload oom; exec /payload pause", name="child",
                        host={"Memory": 32 << 20, "MemorySwap": 32 << 20})
        wait_for(lambda: ooms(self.daemon, "child") == 1, what="the event")
        self.assertCli(0, "inspect", "-f", "{{.State.OOMKilled}} {{.State.Running}}", "child", stdout="true true\n")

    def test_cpu(self):
        self.daemon.run("/payload", "burn", "1000", name="cpu", host={"NanoCpus": 500000000, "CpuShares": 512})
        self.assertEqual(self.value("cpu", "cpu.max"), "50000 100000")
        self.assertEqual(self.value("cpu", "cpu.weight"), "20")
        wait_for(lambda: self.stats("cpu")["cpu_stats"]["throttling_data"]["throttled_periods"] > 0, what="throttling")
        before = self.stats("cpu")
        wait_for(lambda: self.seconds_between(before, self.stats("cpu")) > 2, what="two seconds")
        after = self.stats("cpu")
        used = (after["cpu_stats"]["cpu_usage"]["total_usage"] - before["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9
        share = used / self.seconds_between(before, after)
        self.assertTrue(0.2 < share < 0.65, "half a processor was allowed, %.2f used" % share)
        self.assertEqual(after["cpu_stats"]["online_cpus"], 2)
        host = self.host_config("cpu")
        self.assertEqual((host["NanoCpus"], host["CpuShares"]), (500000000, 512))

    @staticmethod
    def seconds_between(first, second):
        def seconds(sample):
            whole, fraction = sample["read"].rstrip("Z").split(".")
            return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)
        return seconds(second) - seconds(first)

    def test_update_while_running(self):
        self.daemon.run("/payload", "pause", name="upd", host={"Memory": 64 << 20})
        self.assertCli(0, "update", "--memory", "128m", "--memory-swap", "128m", "--cpus", "1.5", "upd")
        self.assertEqual(self.value("upd", "memory.max"), str(128 << 20))
        self.assertEqual(self.value("upd", "cpu.max"), "150000 100000")

    def test_pids(self):
        self.assertCli(0, "run", "--rm", "--pids-limit", "10", "kit", "/payload", "fork", "50",
                       stdout="forked 9 of 50 errno EAGAIN\n")
        self.daemon.run("/payload", "pause", name="few", host={"PidsLimit": 7})
        self.assertEqual(self.value("few", "pids.max"), "7")
        self.assertEqual(self.stats("few")["pids_stats"], {"current": 1, "limit": 7})
        self.assertEqual(self.host_config("few")["PidsLimit"], 7)

    def test_cpuset(self):
        self.daemon.run("/payload", "pause", name="set", host={"CpusetCpus": "1"})
        self.assertEqual(self.value("set", "cpuset.cpus"), "1")
        self.assertEqual(self.value("set", "cpuset.cpus.effective"), "1")
        self.assertCli(0, "exec", "set", "nproc", stdout="1\n")
        self.assertEqual(self.host_config("set")["CpusetCpus"], "1")

    def test_io(self):
        self.daemon.run("/payload", "pause", name="iol", host={
            "BlkioDeviceWriteBps": [{"Path": "/dev/vda", "Rate": 1048576}],
            "BlkioDeviceReadIOps": [{"Path": "/dev/vda", "Rate": 100}]})
        limits = self.value("iol", "io.max")
        self.assertIn("wbps=1048576", limits)
        self.assertIn("riops=100", limits)
        begin = time.monotonic()
        self.assertCli(0, "exec", "iol", "dd", "if=/dev/zero", "of=/tmp/file", "bs=64k", "count=48", "conv=fsync")
        self.assertGreater(time.monotonic() - begin, 2, "3 MiB at 1 MiB/s")
        written = [entry["value"] for entry in self.stats("iol")["blkio_stats"]["io_service_bytes_recursive"]
                   if entry["op"].lower() == "write"]
        self.assertGreaterEqual(sum(written), 3 << 20)
        self.assertEqual(self.host_config("iol")["BlkioDeviceWriteBps"], [{"Path": "/dev/vda", "Rate": 1048576}])

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


@unittest.skipUnless(os.path.exists("/sys/fs/cgroup/cgroup.controllers"), "needs cgroup v2")
class FreshDaemon(DaemonTestCase):
    check_leaks = False

    def test_first_oom_of_a_fresh_daemon(self):
        # The program may be killed before the daemon knows that it was started.
        for number in range(OOM_ROUNDS):
            with self.subTest(round=number):
                self.daemon.restart()
                self.assertCli(137, "run", "--name", "oom%d" % number, "-m", "32m", "--memory-swap", "32m", "kit", "/payload", "oom")
                self.assertCli(0, "inspect", "-f", "{{.State.OOMKilled}}", "oom%d" % number, stdout="true\n")
                self.assertEqual(ooms(self.daemon, "oom%d" % number), 1)


if __name__ == "__main__":
    main()

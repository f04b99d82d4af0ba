"""Attacks by racing: programs in one container change names, or look at processes, while the engine works for another.

DOCKERD_TEST_ROUNDS sets how often each race is tried.
"""
import os
import re
import unittest

import support  # noqa: F401  (makes tests/support importable)

import own_mounts
from attack import ROUNDS, AttackTestCase, Tree, sha256
from daemon import descendants, wait_for
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
# What a write that went astray would change. Source: the advisory of CVE-2025-52881.
HOST_SYSCTLS = ("kernel/core_pattern", "kernel/sysrq", "kernel/hostname", "net/ipv4/ip_default_ttl", "vm/overcommit_memory")


def host_sysctls():
    out = {}
    for name in HOST_SYSCTLS:
        if os.path.exists("/proc/sys/" + name):
            with open("/proc/sys/" + name) as file:
                out[name] = file.read()
    return out


def comm(pid):
    try:
        with open("/proc/%d/comm" % pid) as file:
            return file.read().strip()
    except OSError:  # it has ended
        return ""


class Races(AttackTestCase):
    def setUp(self):
        super().setUp()
        self.sysctls = host_sysctls()

    def tearDown(self):
        super().tearDown()
        self.assertEqual(host_sysctls(), self.sysctls, "the host's settings were changed")

    def foreign_mounts(self):
        """Mounts of something of the daemon's outside of its folder, and of anything on the canary."""
        out = []
        with open("/proc/self/mountinfo") as file:
            for line in file:
                words = line.split()
                if (self.daemon.base in words[3] and not words[4].startswith(self.daemon.base)) or self.canary in words[4]:
                    out.append(line)
        return out

    # -- CVE-2021-30465, CVE-2025-52881, CVE-2019-19921 ------------------------
    # Exit codes say what went wrong: 3 the setting, 4 something on /proc, 5 the host's secret, 6 a mount that is not here.
    VICTIM = ("[ $(cat /proc/sys/net/ipv4/ip_default_ttl) = 33 ] || exit 3;"
              "grep -E '^([^ ]+ ){4}/proc' /proc/self/mountinfo | grep -qvE ' - (proc|tmpfs|devtmpfs) ' && exit 4;"
              "for p in %s /v/a /v/link /v/a/* /v/link/*; do cat $p/secret 2>/dev/null && exit 5; done;"
              "grep -q /volumes/other/_data /proc/self/mountinfo || exit 6; exit 0")

    def race_mount_point(self, target, name, rounds):
        """Starts victims whose mount point's parent is now a folder, now a link to the target; what became of them."""
        volume = "race%x" % abs(hash(target))
        attacker = self.background("sh", "-c", "mkdir -p /v/a/%s; ln -s %s /v/link; exec /payload swap /v/a /v/link" % (name, target),
                                   host={"Binds": [volume + ":/v"]})
        started = refused = 0
        for _ in range(rounds):
            outcome = self.shell(self.VICTIM % self.canary,
                                 host={"Binds": [volume + ":/v", "other:/v/a/" + name],
                                       "Sysctls": {"net.ipv4.ip_default_ttl": "33"}})
            if outcome.error is None:
                started += 1
                self.assertEqual(outcome.code, 0, "%s: %s" % (target, outcome.out))
            else:
                refused += 1
                self.assertIn("error mounting", outcome.error)
            self.assertEqual(self.foreign_mounts(), [])
        self.assertIn("swaps made", self.end(attacker))
        return started, refused

    def test_mount_point_becomes_a_link_to_the_root(self):
        started, _ = self.race_mount_point("/", "var", ROUNDS // 4)
        self.assertGreater(started, 0)

    def test_mount_point_becomes_a_link_to_the_host(self):
        started, _ = self.race_mount_point("../../../../../../../.." + self.canary, "pts", ROUNDS // 4)
        self.assertGreater(started, 0)

    def test_mount_point_becomes_a_link_to_proc(self):
        started, refused = self.race_mount_point("/proc", "sys", ROUNDS // 2)
        # Both were there, or there was no race.
        self.assertGreater(started, 0)
        self.assertGreater(refused, 0)

    # -- CVE-2025-52565, CVE-2025-31133 -----------------------------------------
    def test_console_becomes_a_link(self):
        for target in (self.canary + "/secret", "/proc/sys/kernel/core_pattern"):
            volume = "race%x" % abs(hash(target))
            attacker = self.background(
                "sh", "-c", "mkdir /v/pts; echo x >/v/console; ln -s %s /v/link; exec /payload swap /v/console /v/link"
                % target, host={"Binds": [volume + ":/v"]})
            started = 0
            for _ in range(ROUNDS // 10):
                # Where the link leads inside there may be the terminal now; reading that would wait for input.
                outcome = self.shell("echo attack >/dev/console; echo attack >/proc/sys/kernel/core_pattern;"
                                     "[ -c %s/secret ] || cat %s/secret; exit 0" % (self.canary, self.canary),
                                     Tty=True, host={"Binds": [volume + ":/dev", "/dev/pts:/dev/pts"]})
                started += outcome.error is None
                self.assertNotIn(self.SECRET, outcome.out)
            self.assertIn("swaps made", self.end(attacker))
            if not ORACLE:
                self.assertGreater(started, 0)

    @unittest.skipIf(ORACLE, "runc 1.1.5 is open to this")
    def test_null_becomes_a_link(self):
        attacker = self.background(
            "sh", "-c", "cp /bin/busybox /v/null; ln -s /proc/1/environ /v/link; exec /payload swap /v/null /v/link",
            host={"Binds": ["race:/v"]})
        for _ in range(ROUNDS // 10):
            outcome = self.shell("for p in timer_list interrupts keys; do cat /proc/$p 2>/dev/null; done",
                                 host={"Binds": ["race:/dev"]})
            if outcome.error is None:
                self.assertEqual(outcome.out, "")
        self.assertIn("swaps made", self.end(attacker))

    @unittest.skipIf(ORACLE, "20.10 knows no subpaths")
    def test_subpath_becomes_a_link(self):
        attacker = self.background("sh", "-c", "mkdir /v/a; ln -s %s /v/link; exec /payload swap /v/a /v/link" % self.canary,
                                   host={"Binds": ["race:/v"]})
        started = refused = 0
        for _ in range(ROUNDS // 4):
            outcome = self.shell("cat /sub/secret; exit 0", version="1.45", host={"Mounts": [
                {"Type": "volume", "Source": "race", "Target": "/sub", "VolumeOptions": {"Subpath": "a"}}]})
            self.assertNotIn(self.SECRET, outcome.out)
            started += outcome.error is None
            refused += outcome.error is not None
        self.assertIn("swaps made", self.end(attacker))
        self.assertGreater(started, 0)
        self.assertGreater(refused, 0)

    # -- CVE-2016-9962 ----------------------------------------------------------
    def watch_execs(self, mode, **host):
        watcher = self.background("/payload", "watch-processes", mode, host=host)
        for _ in range(ROUNDS // 2):
            outcome = self.execute(watcher, "/payload", "echo", "x")
            # A process that is attached to may be held up, never let in.
            self.assertEqual((outcome.code, outcome.out), (0, "x\n"), outcome.error)
        own = re.sub("[0-9]", "", self.inspect_id(watcher))
        lines = self.end(watcher).splitlines()
        self.assertIn("processes seen", lines)
        return set(lines) - {"ready", "processes seen"}, own

    def inspect_id(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)["Id"]

    def assertHarmless(self, lines, own):
        """Nothing of the host among what was seen of the processes: streams, the container's program, our own program,
        and the files by which a process joins the container's own cgroups, where whoever sees them is already."""
        allowed = {"fd pipe:[]", "fd socket:[]", "fd /dev/null", "exe /payload", "fd /proc/self/fd", "fd /", "fd /etc/passwd",
                   "fd /etc/group"}
        if own_mounts.below_chroot():  # what is outside the container's mounts has its whole name, the chroot's before it
            lines = {re.sub("^fd /.*/dev/null$", "fd /dev/null", line) for line in lines}
        lines = {line for line in lines if not re.fullmatch("fd (/.+)?/sys/fs/cgroup/.*/%s/(tasks|cgroup.procs)" % own, line)}
        strange = {line for line in lines - allowed if not line.startswith(("exe /memfd:", "exe /dockerd", "attached /memfd:"))}
        self.assertEqual(strange, set())

    @unittest.skipIf(ORACLE, "other programs' descriptors")
    def test_processes_of_an_exec_show_nothing_of_the_host(self):
        lines, own = self.watch_execs("look")
        self.assertIn("exe /payload", lines)  # it did see those that were executed
        self.assertHarmless(lines, own)
        # What is still ours cannot be looked into at all.
        self.assertEqual({line for line in lines if "memfd" in line}, set())

    @unittest.skipIf(ORACLE, "other programs' descriptors")
    def test_processes_of_an_exec_show_nothing_to_a_debugger(self):
        lines, own = self.watch_execs("attach", CapAdd=["SYS_PTRACE"])
        self.assertIn("exe /payload", lines)
        self.assertHarmless(lines, own)

    @unittest.skipIf(ORACLE, "other programs' descriptors")
    def test_processes_of_health_checks_show_nothing_to_a_debugger(self):
        second = 10 ** 9
        watcher = self.background("/payload", "watch-processes", "attach", host={"CapAdd": ["SYS_PTRACE"]},
                                  Healthcheck={"Test": ["CMD", "/payload", "exit", "1"], "Interval": second // 100,
                                               "Timeout": 60 * second, "Retries": 10 ** 6})
        with self.daemon.client() as client:
            path = "/containers/%s/json" % watcher
            wait_for(lambda: client.get(path)["State"]["Health"]["FailingStreak"] >= ROUNDS // 2, seconds=60, what="the checks")
            # A process that is attached to may be held up, never let in.
            self.assertEqual({entry["ExitCode"] for entry in client.get(path)["State"]["Health"]["Log"]}, {1})
        prober, = [pid for pid in descendants(self.daemon.pid) if comm(pid) == "docker-prober"]
        self.assertTrue(os.readlink("/proc/%d/exe" % prober).startswith("/memfd:"))
        own = re.sub("[0-9]", "", self.inspect_id(watcher))
        lines = set(self.end(watcher).splitlines())
        self.assertIn("exe /payload", lines)
        self.assertHarmless(lines - {"ready", "processes seen"}, own)

    # -- CVE-2019-5736 ----------------------------------------------------------
    def test_our_program_cannot_be_overwritten(self):
        program = os.path.realpath("/proc/%d/exe" % self.daemon.pid)
        before = sha256(program)
        launchers = [pid for pid in descendants(self.daemon.pid) if os.readlink("/proc/%d/exe" % pid).startswith("/memfd:")]
        sums = {pid: sha256("/proc/%d/exe" % pid) for pid in launchers}
        tree = Tree().link("self", "/proc/self/exe").file("script", b"#!/proc/self/exe\n", mode=0o755)
        tree.folder("lib").link("lib/ld-linux-x86-64.so.2", "/proc/self/exe").file("etc/ld.so.preload", b"/evil.so\n")
        name = self.make_image("hostile", tree)
        watcher = self.background("/payload", "watch-processes", "look", image_name=name, host={"CapAdd": ["SYS_PTRACE"]})
        for program_inside in ("/self", "/script", "/proc/self/exe"):
            # The program there is a dead end: it executes itself, or is executed in its own place.
            self.shell("true", image_name=name, Entrypoint=[program_inside])
            for _ in range(ROUNDS // 20):
                self.execute(watcher, program_inside, "x")
        self.assertEqual({line for line in self.end(watcher).splitlines() if "writable" in line}, set())
        self.assertEqual(sha256(program), before)
        for pid in launchers:
            self.assertEqual(sha256("/proc/%d/exe" % pid), sums[pid])
        # Whoever gets hold of the launcher's program by its process finds it sealed.
        for pid in launchers:
            with self.assertRaises(OSError):
                os.close(os.open("/proc/%d/exe" % pid, os.O_WRONLY))
        self.assertEqual(self.output("echo on"), "on\n")


if __name__ == "__main__":
    main()

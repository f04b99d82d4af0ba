"""One daemon takes over from another one: an older, a newer, or one that was killed, under containers that write all the time.

DOCKERD_OLD_BIN names an older daemon; without it both are the same. DOCKERD_TEST_WRITERS and DOCKERD_TEST_ADOPTED say how many
containers there are.
"""
import concurrent.futures
import os
import signal
import subprocess
import time
import unittest

import support  # noqa: F401

import reports
from daemon import find_daemon, wait_for
from flagscase import ORACLE, FlagsCase
from testcase import main

WRITERS = int(os.environ.get("DOCKERD_TEST_WRITERS", "10"))
ADOPTED = int(os.environ.get("DOCKERD_TEST_ADOPTED", "20"))
NUMBERS = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"


@unittest.skipIf(ORACLE, "with Docker's engine the containers end with its own containerd")
class Upgrade(FlagsCase):
    def use(self, daemon, binary):
        daemon.binary = binary
        daemon.flags = subprocess.run([binary, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      env=reports.environment(daemon.reports)).stdout
        return daemon.start()

    def end(self, daemon, number):
        os.kill(daemon.pid, number)
        daemon.process.wait(60 * reports.PATIENCE)
        daemon.process = None

    def started(self, daemon, count, *command):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda number: daemon.run(*command, name="c%d" % number, host={"NetworkMode": "none"}), range(count)))

    def pids(self, daemon, made):
        with daemon.client() as client:
            states = [client.get("/containers/%s/json" % one)["State"] for one in made]
        self.assertEqual({state["Status"] for state in states}, {"running"})
        return [state["Pid"] for state in states]

    def lines(self, daemon, one):
        return [int(line) for line in daemon.cli("logs", one).stdout.splitlines()]

    def test_old_to_new_and_back(self):
        """Same processes throughout, and no line of any log is lost or there twice."""
        new = find_daemon()
        old = os.environ.get("DOCKERD_OLD_BIN", new)
        daemon = self.daemon()
        self.use(daemon, old)
        daemon.load_image()
        made = self.started(daemon, WRITERS, "sh", "-c", NUMBERS)
        pids = self.pids(daemon, made)
        for binary, number in ((new, signal.SIGQUIT), (old, signal.SIGQUIT), (new, signal.SIGKILL), (old, signal.SIGKILL)):
            before = len(self.lines(daemon, made[0]))
            self.end(daemon, number)
            self.use(daemon, binary)
            self.assertEqual(self.pids(daemon, made), pids)
            wait_for(lambda: len(self.lines(daemon, made[0])) > before, what="more lines")
            self.assertEqual(daemon.cli("exec", "c1", "echo", "lives").stdout, b"lives\n")
        for one in made:
            lines = self.lines(daemon, one)
            self.assertEqual(lines, list(range(1, len(lines) + 1)))
            self.assertGreater(len(lines), 10)
        daemon.remove_containers()

    def test_many_are_found_again(self):
        daemon = self.daemon().start()
        daemon.load_image()
        made = self.started(daemon, ADOPTED, "/payload", "pause")
        pids = self.pids(daemon, made)
        self.end(daemon, signal.SIGKILL)
        begin = time.monotonic()
        daemon.start()
        with daemon.client() as client:
            found = client.get("/containers/json")
        took = time.monotonic() - begin
        print("%d running containers were found again in %.2f s" % (ADOPTED, took))
        self.assertEqual(len(found), ADOPTED)
        self.assertLess(took, 3 * reports.PATIENCE)
        self.assertEqual(self.pids(daemon, made), pids)
        # All are its own: they stop with it.
        self.assertEqual(daemon.stop(120), 0)
        self.assertFalse([pid for pid in pids if os.path.exists("/proc/%d" % pid)])


if __name__ == "__main__":
    main()

"""The resolver under packets that are hardly queries, while others ask it as fast as it answers.

DOCKERD_FUZZ_PACKETS=10000000 asks for that many, DOCKERD_FUZZ_QUERIES for as many good ones of each of two other containers,
DOCKERD_FUZZ_SEED=N for the run with that number.
"""
import os
import random
import subprocess

import support  # noqa: F401

from names_test import Names
from testcase import main

PACKETS = int(os.environ.get("DOCKERD_FUZZ_PACKETS", "100000"))
QUERIES = int(os.environ.get("DOCKERD_FUZZ_QUERIES", "20000"))
SEED = int(os.environ.get("DOCKERD_FUZZ_SEED") or random.SystemRandom().randrange(1 << 30))
MOST_MEMORY = 64 << 10  # KiB that a daemon may grow by, however many they are


class Fuzz(Names):
    def memory(self):
        with open("/proc/%d/status" % self.daemon.pid) as file:
            return int(next(line for line in file if line.startswith("VmRSS:")).split()[1])

    def begin(self, container, *command):
        return subprocess.Popen(["docker", "exec", container, "/payload", *command], env=self.daemon.cli_environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_good_queries_between_mutated_ones(self):
        """From a network that asks others, of whom none answers, and from one that does not."""
        print("seed %d" % SEED, flush=True)
        self.nameserver({"*": "silence"})
        for network in ("front", "inner"):
            self.start("good-" + network, network)
            self.start("bad-" + network, network)
        before, files, running = self.memory(), len(os.listdir("/proc/%d/fd" % self.daemon.pid)), {}
        for number, network in enumerate(("front", "inner")):
            name, address = "good-" + network, self.address("good-" + network, network)
            running["bad-" + network] = self.begin("bad-" + network, "fuzz-names", name, address, str(PACKETS // 2),
                                                   str(SEED + number))
            running["good-" + network] = self.begin("good-" + network, "ask-names", name, address, str(QUERIES), "64")
        said = {container: process.communicate()[0].split() for container, process in running.items()}
        said = {container: dict(zip(words[::2], words[1::2])) for container, words in said.items()}
        print(said, flush=True)
        for network in ("front", "inner"):
            good, bad = said["good-" + network], said["bad-" + network]
            self.assertEqual((good["answers"], good["wrong"]), (str(QUERIES), "0"), good)
            self.assertGreaterEqual(int(bad["packets"]), PACKETS // 2)
            self.assertEqual((bad["answers"], bad["wrong"]), (bad["queries"], "0"), bad)
            client = self.client_of("bad-" + network)  # which is answered as any other, again
            self.assertData(client, "good-" + network, [self.address("good-" + network, network)])
            self.assertData(client, "good-" + network, [self.address("good-" + network, network)], tcp=True)
        self.assertLess(self.memory() - before, MOST_MEMORY)
        # At most what one container may have under way is open.
        self.assertLessEqual(len(os.listdir("/proc/%d/fd" % self.daemon.pid)) - files, 1024 + 64)


if __name__ == "__main__":
    main()

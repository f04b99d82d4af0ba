"""Ten builds at once of files they share, some of which are ended at any moment: what the cache has afterwards is right."""
import concurrent.futures
import os
import random
import unittest

import support

from buildcase import BuildTestCase, context, layers, lines_of_tree
from testcase import main

ROUNDS = int(os.environ.get("DOCKERD_ROUNDS", "1"))
BUILDS = 10


def dockerfile(number):
    """Three groups share their beginning, all share the files."""
    group = number % 3
    return ("FROM kit AS one\nCOPY shared /s/\nRUN echo group%d > /g; cat /s/* > /all\n"
            "FROM kit AS two\nCOPY shared/f%d /f\nRUN cat /f > /copy\n"
            "FROM one\nCOPY --from=two /copy /two\nCOPY own%d /own\nRUN cat /all /two /own /g > /sum\nCMD [\"%d\"]\n"
            % (group, group, number, number))


FILES = {"shared/f%d" % number: "file %d\n" % number * 100 for number in range(3)}
FILES.update({"own%d" % number: "own %d\n" % number for number in range(BUILDS)})


class Burst(BuildTestCase):
    def sum_of(self, tag):
        done = self.cli("run", "--rm", "--network", "none", "--entrypoint", "/bin/cat", tag, "/sum")
        return done.stdout.decode()

    def start_and_leave(self, number, seconds):
        """A build whose client goes away after a while, which may be after its end."""
        connection = self.daemon.client(timeout=seconds)
        with connection:
            connection.send("POST", "/build?t=left%d" % number, context(dict(FILES, Dockerfile=dockerfile(number))),
                            headers=[("Content-Type", "application/x-tar")])
            try:
                connection.read_to_end()
            except OSError:
                pass  # its time is over

    def test_what_ended_builds_leave_is_right(self):
        seed = int.from_bytes(os.urandom(4), "big")
        chance = random.Random(seed)
        wanted = {number: "".join(FILES["shared/f%d" % file] for file in range(3)) + FILES["shared/f%d" % (number % 3)]
                  + "own %d\ngroup%d\n" % (number, number % 3) for number in range(BUILDS)}
        for _ in range(ROUNDS):
            with concurrent.futures.ThreadPoolExecutor(BUILDS) as pool, self.subTest(seed=seed):
                leaving = [pool.submit(self.start_and_leave, number, chance.uniform(0.05, 3)) for number in range(0, BUILDS, 2)]
                staying = {number: pool.submit(self.build, dockerfile(number), FILES, t="stay%d" % number)
                           for number in range(1, BUILDS, 2)}
                for one in leaving:
                    one.result()
                for number, one in staying.items():
                    self.assertEqual(one.result().error, None)
                    self.assertEqual(self.sum_of("stay%d" % number), wanted[number])
            for number in (0, 4, 8):  # one of each group
                cached = self.build(dockerfile(number), FILES, t="cached")
                fresh = self.build(dockerfile(number), FILES, t="fresh", nocache=True)
                self.assertEqual((cached.error, fresh.error), (None, None))
                self.assertEqual((self.sum_of("cached"), self.sum_of("fresh")), (wanted[number], wanted[number]), seed)
                with self.daemon.client() as connection:
                    trees = [[lines_of_tree(layer) for layer in layers(connection.get("/images/%s/json" % tag))]
                             for tag in ("cached", "fresh")]
                self.assertEqual(trees[0], trees[1])
            self.remove_new_images()

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's containers do not outlive it")
    def test_a_killed_daemon_leaves_a_cache_that_is_right(self):
        with concurrent.futures.ThreadPoolExecutor(BUILDS) as pool:
            running = [pool.submit(self.start_and_leave, number, 10) for number in range(BUILDS)]
            concurrent.futures.wait(running, timeout=random.uniform(0.2, 1.5))
            self.daemon.kill()
            concurrent.futures.wait(running)
        self.daemon.start()
        with self.daemon.client() as connection:
            self.assertEqual(connection.get("/containers/json?all=1"), [])
        for number in range(0, BUILDS, 3):
            built = self.build(dockerfile(number), FILES, t="again")
            self.assertEqual(built.error, None)
            self.assertIn("own %d\ngroup%d\n" % (number, number % 3), self.sum_of("again"))


if __name__ == "__main__":
    main()

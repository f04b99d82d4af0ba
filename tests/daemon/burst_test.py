"""Many clients at once: every run ends well, no output is lost, nothing is left behind."""
import concurrent.futures
import json
import os
import unittest

import support  # noqa: F401  (makes tests/support importable)

from testcase import DaemonTestCase, main

CLIENTS = 8
RUNS = int(os.environ.get("DOCKERD_TEST_RUNS", "200"))


class Burst(DaemonTestCase):
    def each(self, function, count=RUNS):
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(function, range(count)))

    def test_true_by_eight_clients(self):
        results = self.each(lambda _: self.cli("run", "--rm", "kit", "true", timeout=120))
        bad = [(done.returncode, done.stderr) for done in results if done.returncode != 0 or done.stderr]
        self.assertEqual(bad, [])
        self.assertCli(0, "ps", "-aq", stdout="")

    def test_no_output_is_lost(self):
        def run(number):
            return self.cli("run", "--rm", "kit", "echo", "line of run %d" % number, timeout=120)
        bad = [(number, done.returncode, done.stdout, done.stderr) for number, done in enumerate(self.each(run))
               if done.returncode != 0 or done.stdout != b"line of run %d\n" % number]
        self.assertEqual(bad, [])

    def test_much_output_is_whole(self):
        want = "".join("%08d %s\n" % (i, "." * 90) for i in range(5000)).encode()
        results = self.each(lambda _: self.cli("run", "--rm", "kit", "/payload", "spam", "5000", "100", timeout=120), 16)
        self.assertEqual([len(done.stdout) for done in results], [len(want)] * 16)
        self.assertTrue(all(done.stdout == want for done in results))

    def test_exec_by_eight_clients(self):
        self.assertCli(0, "run", "-d", "--name", "up", "kit", "/payload", "pause")
        results = self.each(lambda n: self.cli("exec", "up", "echo", "exec %d" % n, timeout=120), RUNS // 2)
        bad = [(number, done) for number, done in enumerate(results) if done.stdout != b"exec %d\n" % number]
        self.assertEqual(bad, [])

    def test_those_who_wait_hold_nobody_up(self):
        """More stops wait for their time than there are threads for calls; whatever else is asked is answered."""
        name = self.daemon.run("sleep", "100000", name="deaf", host={"NetworkMode": "none"})  # process 1 hears no SIGTERM
        waiting = [self.daemon.client(timeout=120) for _ in range(100)]
        with self.daemon.client() as events, self.daemon.client() as client:
            events.send("GET", "/events?filters=" + '{"event":["kill"]}')
            told = events.lines(events.head())
            for each in waiting:
                each.send("POST", "/containers/deaf/stop?t=600")
            for _ in waiting:
                self.assertEqual(json.loads(next(told))["Actor"]["ID"], name)
            self.assertEqual([container["State"] for container in client.get("/containers/json")], ["running"])
            self.assertCli(0, "run", "--rm", "--network", "none", "kit", "echo", "hello", stdout="hello\n")
            self.assertCli(0, "exec", "deaf", "echo", "hello", stdout="hello\n")
            self.assertEqual(client.request("POST", "/containers/deaf/kill").status, 204)
            self.assertEqual([(each.head().status, each.close())[0] for each in waiting], [204] * 100)

    @unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "with Docker the start waits until the container is resumed")
    def test_a_pause_does_not_hold_up_what_is_being_started(self):
        self.daemon.run("/payload", "pause", name="up", host={"NetworkMode": "none"})

        def start(_):
            with self.daemon.client(timeout=20) as client:
                made = client.request("POST", "/containers/up/exec", {"Cmd": ["/bin/true"]})
                if made.status == 201:
                    made = client.request("POST", "/exec/%s/start" % made.json()["Id"], {"Detach": True})
                return made.status
        with self.daemon.client() as client, concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _ in range(20):
                asked = [pool.submit(start, number) for number in range(4)]
                asked[0].result()
                self.assertEqual(client.request("POST", "/containers/up/pause").status, 204)
                # All have their answer while it is paused: the exec was started, or refused.
                self.assertEqual({each.result() for each in asked} - {200, 409}, set())
                self.assertEqual(client.request("POST", "/containers/up/unpause").status, 204)

    def test_names_are_taken_once(self):
        codes = sorted(done.returncode for done in self.each(lambda _: self.cli("create", "--name", "only", "kit"), 16))
        self.assertEqual(codes, [0] + [1] * 15)


if __name__ == "__main__":
    main()

"""kill -9 of the daemon: containers, their logs and their exit codes stay whole, and the next daemon finds them."""
import os
import random
import re
import subprocess
import unittest

import support  # noqa: F401  (makes tests/support importable)

from daemon import wait_for
from testcase import DaemonTestCase, main

ROUNDS = int(os.environ.get("DOCKERD_TEST_ROUNDS", "20"))
WRITERS = 20


def lines_of(text):
    return [int(number) for number in re.findall(r"^tick (\d{8})$", text, re.M)]


@unittest.skipIf(os.environ.get("DOCKERD_ORACLE"), "Docker's own engine promises this only with live-restore")
class Survival(DaemonTestCase):
    def state(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)["State"]

    def logs(self, name, *more):
        return self.cli("logs", *more, name).stdout.decode()

    def assertWhole(self, name):
        """No line of the writer's log is missing, doubled or out of order; returns how many there are."""
        text = self.logs(name)
        numbers = lines_of(text)
        self.assertEqual(numbers, list(range(len(numbers))), "%s: log is not whole" % name)
        self.assertEqual(text.count("\n"), len(numbers), "%s: a torn line" % name)
        return len(numbers)

    def kill_and_restart(self, meanwhile=None):
        self.daemon.kill()
        if meanwhile:
            meanwhile()
        self.daemon.start()

    def test_twenty_writers_through_many_deaths(self):
        names = ["writer%d" % i for i in range(WRITERS)]
        for name in names:
            self.daemon.run("/payload", "ticks", "10", name=name, host={"NetworkMode": "none"})
        pids = {name: self.state(name)["Pid"] for name in names}
        counts = dict.fromkeys(names, 0)
        chance = random.Random(5)
        for round_number in range(ROUNDS):
            with self.subTest(round=round_number):
                self.one_round(round_number, names, pids, counts, chance)
        for name in names[:3]:
            follower = subprocess.Popen(["docker", "logs", "-f", "--tail", "1", name], stdout=subprocess.PIPE,
                                        env=self.daemon.cli_environment(), text=True)
            first = follower.stdout.readline()
            self.assertEqual(self.cli("stop", "-t", "0", name).returncode, 0)
            rest = lines_of(first + follower.stdout.read())
            self.assertEqual(rest, list(range(rest[0], rest[0] + len(rest))))
            self.assertEqual(follower.wait(20), 0)
            follower.stdout.close()
            self.assertEqual(self.state(name)["ExitCode"], 137)
            self.assertWhole(name)

    def one_round(self, number, names, pids, counts, chance):
        ending = "ending%d" % number
        self.daemon.run("sh", "-c", "read x; exit 7", name=ending, host={"NetworkMode": "none"}, OpenStdin=True)
        gone = "gone%d" % number
        self.daemon.run("sh", "-c", "read x; exit 0", name=gone, host={"NetworkMode": "none", "AutoRemove": True},
                        OpenStdin=True)
        short = [self.state(name)["Pid"] for name in (ending, gone)]
        # The instant of death varies: somewhere within a line's interval of the writers, or in a request.
        request = subprocess.Popen(["docker", "ps", "-a"], env=self.daemon.cli_environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            request.wait(chance.random() * 0.05)
        except subprocess.TimeoutExpired:
            pass

        def meanwhile():
            for pid in short:
                os.kill(pid, 9)
            wait_for(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in short), what="the end of two containers")

        self.kill_and_restart(meanwhile)
        request.wait(20)
        running = self.cli("ps", "--format", "{{.Names}}").stdout.decode().split()
        self.assertEqual(sorted(running), sorted(names))
        self.assertEqual({name: self.state(name)["Pid"] for name in names}, pids)
        self.assertEqual(self.state(ending)["ExitCode"], 137)
        self.assertEqual(self.state(ending)["Status"], "exited")
        wait_for(lambda: self.cli("inspect", gone).returncode == 1, what="removal of a --rm container that ended")
        name = chance.choice(names)
        self.assertCli(0, "exec", name, "/payload", "echo", "alive", stdout="alive\n")
        for name in names:
            count = self.assertWhole(name)
            self.assertGreaterEqual(count, counts[name])
            counts[name] = count
        self.assertCli(0, "rm", ending)

    def test_exit_code_of_one_that_ended_meanwhile(self):
        self.daemon.run("sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.02; done; exit 42", name="ends")
        pid = self.state("ends")["Pid"]

        def meanwhile():
            with open("/proc/%d/root/tmp/end" % pid, "w"):
                pass
            wait_for(lambda: not os.path.exists("/proc/%d" % pid), what="the container's end")

        self.kill_and_restart(meanwhile)
        state = self.state("ends")
        self.assertEqual((state["Status"], state["ExitCode"], state["Running"]), ("exited", 42, False))
        self.assertCli(0, "start", "ends")
        self.assertCli(0, "wait", "ends", stdout="42\n")

    def test_terminal_and_input_work_again(self):
        self.daemon.run("/payload", "cat-stdin", name="cat", OpenStdin=True)
        self.kill_and_restart()
        attached = subprocess.Popen(["docker", "attach", "cat"], env=self.daemon.cli_environment(),
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        attached.stdin.write(b"over the gap\n")
        attached.stdin.flush()
        self.assertEqual(attached.stdout.readline(), b"over the gap\n")
        attached.stdin.close()
        attached.stdout.close()
        self.cli("rm", "-f", "cat")
        attached.wait(20)

    def test_paused_stays_paused(self):
        self.daemon.run("/payload", "ticks", "10", name="frozen")
        self.assertCli(0, "pause", "frozen")
        before = self.logs("frozen")
        self.kill_and_restart()
        self.assertEqual(self.state("frozen")["Status"], "paused")
        self.assertEqual(self.logs("frozen"), before)
        self.assertCli(0, "unpause", "frozen")
        wait_for(lambda: len(self.logs("frozen")) > len(before), what="another line")

    def test_published_port_answers_again(self):
        self.daemon.run("/payload", "listen", "80", name="served", ExposedPorts={"80/tcp": {}},
                        host={"PortBindings": {"80/tcp": [{"HostPort": "18080"}]}})
        for _ in range(2):
            answer = self.daemon.in_net(self.ask, 18080)
            self.assertTrue(answer.endswith(" ping\n"), answer)
            self.kill_and_restart()

    @staticmethod
    def ask(port):
        import socket
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"ping\n")
            return sock.makefile().readline()


class GracefulStop(DaemonTestCase):
    check_leaks = False

    def test_containers_stop_with_the_daemon(self):
        self.daemon.run("/payload", "pause", name="stops")
        self.daemon.restart()
        with self.daemon.client() as client:
            state = client.get("/containers/stops/json")["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 143))


class LiveRestore(DaemonTestCase):
    arguments = ("--live-restore",)
    check_leaks = False

    def test_containers_outlive_a_stop(self):
        self.daemon.run("/payload", "pause", name="stays")
        with self.daemon.client() as client:
            pid = client.get("/containers/stays/json")["State"]["Pid"]
        self.daemon.restart()
        with self.daemon.client() as client:
            state = client.get("/containers/stays/json")["State"]
        self.assertEqual((state["Status"], state["Pid"]), ("running", pid))
        self.assertCli(0, "exec", "stays", "/payload", "echo", "here", stdout="here\n")


if __name__ == "__main__":
    main()

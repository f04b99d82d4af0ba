"""kill -9 of the daemon: containers, their logs and their exit codes stay whole, and the next daemon finds them."""
import calendar
import os
import random
import re
import shutil
import signal
import subprocess
import time
import unittest

import support  # noqa: F401  (makes tests/support importable)

import rawhttp
import reports
from daemon import cgroup_folders, descendants, wait_for
from testcase import DaemonTestCase, main

ROUNDS = int(os.environ.get("DOCKERD_TEST_ROUNDS", "20"))
WRITERS = 20
TICK = "%d" % (10 * reports.PATIENCE)  # milliseconds between a writer's lines, by the machine's own pace


def lines_of(text):
    return [int(number) for number in re.findall(r"^tick (\d{8})$", text, re.M)]


def command_name(pid):
    with open("/proc/%d/comm" % pid) as file:
        return file.read().rstrip("\n")


class Reader:
    """Reads a writer's log round by round: each time from the last line seen, so that a round does not cost all before it."""

    def __init__(self, name):
        self.name, self.next, self.since = name, 0, "0"

    def more(self, client):
        """Asks for what is new and returns whether there was anything; what is wrong with it is an AssertionError."""
        body = client.get("/containers/%s/logs?stdout=1&stderr=1&timestamps=1&since=%s" % (self.name, self.since))
        # A line is one frame: what a death tears or joins is seen.
        lines = [re.fullmatch(r"(\S+)\.(\d{9})Z tick (\d{8})\n", data.decode()) for _, data in rawhttp.frames(body)]
        if not all(lines):
            raise AssertionError("%s: a torn line in %r" % (self.name, body))
        numbers, last = [int(line[3]) for line in lines], self.next - 1
        if not numbers and last < 0:
            return False
        # `since` takes in the last line seen, with which the numbers go on.
        if not numbers or numbers[0] > max(last, 0) or numbers != list(range(numbers[0], numbers[-1] + 1)) or numbers[-1] < last:
            raise AssertionError("%s: log is not whole: %s after %d" % (self.name, numbers, last))
        self.next = numbers[-1] + 1
        self.since = "%d.%s" % (calendar.timegm(time.strptime(lines[-1][1], "%Y-%m-%dT%H:%M:%S")), lines[-1][2])
        return self.next > last + 1


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

    def inspected(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)

    def test_a_death_right_after_the_answer_loses_nothing(self):
        """What is shown after a start and after an end is what the next daemon shows."""
        self.assertCli(0, "network", "create", "--subnet", "10.81.0.0/24", "mine")
        self.assertCli(0, "create", "--name", "peer", "--network", "mine", "kit", "/payload", "pause")
        self.assertCli(0, "create", "--name", "full", "--network", "mine", "--network-alias", "other", "-p", "127.0.0.1::80",
                       "-v", "named:/named", "-v", "/anonymous", "--tmpfs", "/tmp", "--link", "peer:friend", "kit", "/payload", "pause")
        self.assertCli(0, "start", "peer")
        for _ in range(5):
            for call in ("start", "kill", "start", "stop?t=0", "start", "kill"):
                with self.daemon.client() as client:
                    client.post("/containers/full/" + call)
                    if call == "kill":
                        client.post("/containers/full/wait")
                    before = client.get("/containers/full/json")
                    self.kill_and_restart()
                self.assertEqual(self.inspected("full"), before, call)
        self.assertCli(0, "rm", "-fv", "full", "peer")
        self.assertCli(0, "volume", "rm", "named")
        self.assertCli(0, "network", "rm", "mine")

    def test_what_no_run_has_is_forgotten(self):
        """A daemon may die between its note of a container's network and the start, and before it has forgotten a run."""
        lives = self.daemon.run("/payload", "pause", name="lives")
        self.assertCli(0, "create", "--name", "created", "kit", "/payload", "pause")
        created = self.inspected("created")["Id"]
        folder, runs = self.daemon.exec_root + "/sandboxes/", self.daemon.exec_root + "/containers/"

        def leave():
            for container in (created, "0" * 64):
                shutil.copy(folder + lives, folder + container)
                os.mkdir(runs + container)

        self.kill_and_restart(leave)
        self.assertEqual((os.listdir(folder), os.listdir(runs)), ([lives], [lives]))
        self.assertCli(0, "start", "created")
        self.assertCli(0, "rm", "-f", "lives", "created")
        self.assertEqual((os.listdir(folder), os.listdir(runs)), ([], []))

    def test_an_auto_removed_one_that_had_not_begun_leaves_nothing(self):
        """The daemon dies between the cgroup and all that comes after it."""
        self.assertCli(0, "create", "--rm", "--name", "brief", "--network", "none", "kit", "/payload", "pause")
        self.assertCli(0, "start", "brief")  # the launcher is there after
        self.assertCli(0, "create", "--rm", "--name", "cut", "--network", "none", "kit", "/payload", "pause")
        created = self.inspected("cut")["Id"]
        record = self.daemon.root + "/containers/%s/config.v2.json" % created
        with open(record, "rb") as file:
            before = file.read()
        [launcher] = [pid for pid in descendants(self.daemon.pid) if command_name(pid) == "docker-launcher"]
        os.kill(launcher, signal.SIGSTOP)
        with self.daemon.client() as client:
            client.send("POST", "/containers/cut/start")
            wait_for(lambda: any(created in name for name in self.cgroups()), what="the cgroup of the second")
            self.daemon.kill()
        os.kill(launcher, signal.SIGKILL)
        shutil.rmtree(self.daemon.exec_root + "/containers/" + created, ignore_errors=True)  # if it got so far
        with open(record, "wb") as file:
            file.write(before)
        self.daemon.start()
        self.assertFalse(any(created in name for name in self.cgroups()), self.cgroups())
        self.assertCli(0, "kill", "brief")
        wait_for(lambda: self.cgroups() == [], what="the end of the first one's cgroup")
        self.assertEqual(self.cli("ps", "-aq").stdout, b"")

    def cgroups(self):
        """Those of containers."""
        return [entry.name for folder in cgroup_folders(self.daemon.cgroup) for entry in os.scandir(folder) if entry.is_dir()]

    def test_twenty_writers_through_many_deaths(self):
        names = ["writer%d" % i for i in range(WRITERS)]
        for name in names:
            self.daemon.run("/payload", "ticks", TICK, name=name, host={"NetworkMode": "none"})
        pids = {name: self.state(name)["Pid"] for name in names}
        readers = [Reader(name) for name in names]
        chance = random.Random(5)
        for round_number in range(ROUNDS):
            with self.subTest(round=round_number):
                self.one_round(round_number, names, pids, readers, chance)
        for name in names[3:]:
            self.assertEqual(self.cli("kill", name).returncode, 0)
            self.assertEqual(self.state(name)["ExitCode"], 137)
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
        with self.daemon.client() as client:
            for reader in readers:
                reader.more(client)  # to the last line, which no writer follows any more
            for reader in readers[:3]:
                self.assertEqual(self.assertWhole(reader.name), reader.next)

    def one_round(self, number, names, pids, readers, chance):
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
        with self.daemon.client() as client:
            for reader in readers:
                wait_for(lambda: reader.more(client), what="another line of " + reader.name)
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
        wait_for(lambda: self.logs("served"), what="the server's first line")
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

    @staticmethod
    def catches(pid, number):
        with open("/proc/%d/status" % pid) as file:
            caught = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
        return int(caught, 16) >> (number - 1) & 1

    def test_containers_stop_with_the_daemon(self):
        self.daemon.run("/payload", "pause", name="stops")
        with self.daemon.client() as client:
            pid = client.get("/containers/stops/json")["State"]["Pid"]
        wait_for(lambda: self.catches(pid, signal.SIGTERM), what="its handler: a first process ignores what it has none for")
        self.daemon.restart()
        with self.daemon.client() as client:
            state = client.get("/containers/stops/json")["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 143))


class UnchangedRoot(DaemonTestCase):
    check_leaks = False

    def files(self):
        found = {}
        for folder, _, names in os.walk(self.daemon.root):
            for name in names:
                status = os.lstat(os.path.join(folder, name))
                found[os.path.relpath(os.path.join(folder, name), self.daemon.root)] = (status.st_ino, status.st_mtime_ns)
        return found

    def test_a_start_that_finds_nothing_new_writes_nothing(self):
        """So it does not wait for the disk, and neither does the stop that comes right after it."""
        with self.daemon.client() as client:
            made = client.get("/networks/bridge")["Created"]
        self.daemon.restart()
        self.daemon.stop()
        before = self.files()
        self.assertIn("network/files/local-kv.db", before)
        self.daemon.start()
        with self.daemon.client() as client:
            self.assertGreater(client.get("/networks/bridge")["Created"], made)  # as Docker's, which makes it anew
        self.daemon.stop()
        after = self.files()
        self.daemon.start()
        self.assertEqual({name for name in before | after if before.get(name) != after.get(name)}, set())


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

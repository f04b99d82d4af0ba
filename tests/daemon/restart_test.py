"""Restart policies, stops and kills, waits, auto-removal: one container's life under every kind of end."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from urllib.parse import quote

import support  # noqa: F401  (makes tests/support importable)

from daemon import wait_for
from testcase import DaemonTestCase, main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
STUBBORN = ("sh", "-c", "trap '' TERM; touch /tmp/ready; while :; do sleep 0.05; done")
ENDS_ON_USR1 = ("sh", "-c", "trap 'exit 5' USR1; touch /tmp/ready; while :; do sleep 0.05; done")


def policy(name, retries=0, **more):
    return dict(more, RestartPolicy={"Name": name, "MaximumRetryCount": retries}, NetworkMode="none")


class Life(DaemonTestCase):
    def run_it(self, name, *command, host=None, **config):
        made = self.daemon.run(*command, name=name, host=host or {"NetworkMode": "none"}, **config)
        if command == ("/payload", "pause"):
            # A process 1 that does not handle SIGTERM yet does not hear it.
            wait_for(lambda: self.handles(self.state(name)["Pid"], 15), what=name + " handles SIGTERM")
        return made

    @staticmethod
    def handles(pid, signal):
        with open("/proc/%d/status" % pid) as file:
            caught = next(line.split()[1] for line in file if line.startswith("SigCgt"))
        return int(caught, 16) >> (signal - 1) & 1

    def call(self, method, path, body=None, version=None):
        with self.daemon.client(version) as client:
            answer = client.request(method, path, body)
            return answer.status, (answer.message() if answer.status >= 400 else None)

    def ask(self, what, name, query=""):
        return self.call("POST", "/containers/%s/%s%s" % (name, what, query))

    def inspect(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)

    def state(self, name):
        return self.inspect(name)["State"]

    def wait_state(self, name, status):
        return wait_for(lambda: (lambda s: s if s["Status"] == status else None)(self.state(name)),
                        what="%s is %s" % (name, status))

    def wait_ready(self, name):
        pid = self.state(name)["Pid"]
        wait_for(lambda: os.path.exists("/proc/%d/root/tmp/ready" % pid), what="%s is ready" % name)

    def events(self, name, since):
        query = quote(json.dumps({"container": [name], "type": ["container"]}))
        with self.daemon.client() as client:
            body = client.request("GET", "/events?since=%.9f&until=%.9f&filters=%s" % (since, time.time(), query)).body
        return [json.loads(line)["Action"] for line in body.splitlines()]

    def events_after_end(self, name, since):
        """Without the die of the run before, which is written a moment after the state."""
        events = self.events(name, since)
        return events[1:] if events[:1] == ["die"] else events

    def assertEvents(self, name, since, wanted):
        """Docker writes stop and die in either order, so only what happened counts for these two."""
        try:
            wait_for(lambda: sorted(self.events(name, since)) == sorted(wanted), 5)
        except TimeoutError:
            self.assertEqual(self.events(name, since), wanted)

    def in_back_off(self, name, restarts):
        """Waits until the container is between two runs, with the next one at least 400 ms away."""
        def look():
            now = self.inspect(name)
            return now["RestartCount"] >= restarts and now["State"]["Restarting"]
        wait_for(look, what="the delay before restart %d of %s" % (restarts, name))


class Restarts(Life):
    def test_on_failure_with_a_limit(self):
        since = time.time()
        self.run_it("limited", "sh", "-c", "exit 3", host=policy("on-failure", 3))
        wait_for(lambda: self.inspect("limited")["RestartCount"] == 3 and not self.state("limited")["Running"])
        state = self.wait_state("limited", "exited")
        self.assertEqual((state["ExitCode"], state["Restarting"], state["Pid"]), (3, False, 0))
        self.assertEvents("limited", since, ["create"] + ["start", "die"] * 4)
        # The delays double from 100 ms on: 0.1 + 0.2 + 0.4 s.
        took = time.time() - since
        self.assertGreater(took, 0.7)
        self.assertCli(0, "start", "limited")
        self.assertLess(self.inspect("limited")["RestartCount"], 3)

    def test_success_ends_on_failure(self):
        self.run_it("fine", "sh", "-c", "exit 0", host=policy("on-failure"))
        state = self.wait_state("fine", "exited")
        self.assertEqual((state["ExitCode"], self.inspect("fine")["RestartCount"]), (0, 0))

    def test_between_two_runs(self):
        self.run_it("loop", "sh", "-c", "sleep 0.05; exit 4", host=policy("always"))
        self.in_back_off("loop", 5)
        found = self.inspect("loop")
        state = found["State"]
        self.assertEqual((state["Status"], state["Running"], state["Restarting"], state["Pid"], state["ExitCode"]),
                         ("restarting", True, True, 0, 4))
        self.assertRegex(self.cli("ps", "--format", "{{.Status}}").stdout.decode(), r"^Restarting \(4\) .* ago\n$")
        busy = "Container %s is restarting, wait until the container is running" % found["Id"]
        since = time.time()
        self.assertEqual(self.ask("start", "loop"), (304, None))
        self.assertEqual(self.ask("pause", "loop"), (409, busy))
        self.assertEqual(self.call("POST", "/containers/loop/exec", {"Cmd": ["true"]}), (409, busy))
        self.assertEqual(self.ask("unpause", "loop"), (500, "Container %s is not paused" % found["Id"]))
        self.assertEqual(self.call("DELETE", "/containers/loop"), (
            409, 'cannot remove container "loop": container is restarting: stop the container before removing or '
            "force remove"))
        self.assertEqual(self.ask("kill", "loop", "?signal=USR1"), (204, None))
        self.assertEqual(self.wait_state("loop", "exited")["ExitCode"], 4)
        self.assertEqual(self.events_after_end("loop", since), [])

    def test_calling_a_restart_off(self):
        self.run_it("off", "sh", "-c", "sleep 0.05; exit 4", host=policy("always"))
        for what, events in (("stop", ["stop"]), ("kill", []), ("restart", ["stop", "start", "restart"])):
            self.in_back_off("off", 4)
            since = time.time()
            self.assertEqual(self.ask(what, "off"), (204, None))
            if what == "restart":
                self.assertEqual(self.inspect("off")["RestartCount"] < 4, True)
                self.assertEqual(self.events_after_end("off", since)[:3], events)
                continue
            self.assertEqual(self.state("off")["Status"], "exited")
            self.assertEqual(self.events_after_end("off", since), events)
            self.assertCli(0, "start", "off")
        self.in_back_off("off", 4)
        since = time.time()
        self.assertCli(0, "rm", "-f", "off")
        self.assertEqual(self.events_after_end("off", since), ["destroy"])

    def test_update_changes_what_comes_next(self):
        self.run_it("tuned", "sh", "-c", "sleep 0.05; exit 1", host=policy("always"))
        self.in_back_off("tuned", 2)
        self.assertCli(0, "update", "--restart", "no", "tuned")
        self.wait_state("tuned", "exited")
        self.assertEqual(self.inspect("tuned")["HostConfig"]["RestartPolicy"],
                         {"Name": "no", "MaximumRetryCount": 0})
        self.run_it("late", "sh", "-c", "read x; exit 1", OpenStdin=True)
        self.assertCli(0, "update", "--restart", "on-failure:1", "late")
        os.kill(self.state("late")["Pid"], 9)
        wait_for(lambda: self.inspect("late")["RestartCount"] == 1 and self.state("late")["Status"] == "running")
        os.kill(self.state("late")["Pid"], 9)
        self.wait_state("late", "exited")
        self.assertEqual(self.call("POST", "/containers/late/update", {"RestartPolicy": {"Name": "odd"}}), (
            400, "invalid restart policy: unknown policy 'odd'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'"))
        made = self.run_it("auto", "/payload", "pause", host={"AutoRemove": True, "NetworkMode": "none"})
        self.assertEqual(self.call("POST", "/containers/auto/update", {"RestartPolicy": {"Name": "always"}}), (
            409, "Cannot update container %s: Restart policy cannot be updated because AutoRemove is enabled for the "
            "container" % made))

    def test_a_signal_ends_the_policy_unless_a_stop_signal_is_set(self):
        for rule, restarts in (("always", True), ("unless-stopped", False), ("on-failure", True)):
            name = "set-" + rule
            self.run_it(name, *ENDS_ON_USR1, host=policy(rule), StopSignal="SIGTERM")
            self.wait_ready(name)
            self.assertEqual(self.ask("kill", name, "?signal=USR1"), (204, None))
            if restarts:
                wait_for(lambda: self.inspect(name)["RestartCount"] == 1, what=name + " runs again")
            else:
                self.assertEqual(self.wait_state(name, "exited")["ExitCode"], 5)
        for rule in ("always", "unless-stopped"):
            name = "plain-" + rule
            self.run_it(name, *ENDS_ON_USR1, host=policy(rule))
            self.wait_ready(name)
            self.assertEqual(self.ask("kill", name, "?signal=USR1"), (204, None))
            self.assertEqual(self.wait_state(name, "exited")["ExitCode"], 5)

    def test_a_failing_first_start_is_not_repeated(self):
        with self.daemon.client() as client:
            client.post("/containers/create?name=lost", {"Image": "kit", "Cmd": ["/nope"],
                                                          "HostConfig": policy("always")})
        status, text = self.ask("start", "lost")
        self.assertEqual(status, 400)
        state = self.state("lost")
        self.assertEqual((state["Status"], state["ExitCode"], state["Error"]), ("created", 127, text))
        self.assertEqual(self.inspect("lost")["RestartCount"], 0)
        with self.daemon.client() as client:
            client.post("/containers/create?name=once", {"Image": "kit", "Cmd": ["/nope"],
                                                          "HostConfig": {"AutoRemove": True, "NetworkMode": "none"}})
        self.assertEqual(self.ask("start", "once")[0], 400)
        wait_for(lambda: self.call("GET", "/containers/once/json")[0] == 404, what="auto-removal")

    def test_a_failing_restart_is_the_end(self):
        folder = tempfile.mkdtemp(prefix="dockerd-test-bind-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with open(folder + "/run", "w") as file:
            file.write("#!/bin/sh\nread x < /tmp/pipe\nexit 7\n")
        os.chmod(folder + "/run", 0o755)
        self.run_it("bound", "/m/run", host=policy("always", Binds=[folder + ":/m"]))
        wait_for(lambda: self.inspect("bound")["RestartCount"] >= 1, what="a restart")
        os.rename(folder + "/run", folder + "/gone")
        state = self.wait_state("bound", "exited")
        self.assertIn(state["ExitCode"], (1, 2, 7))
        self.assertIn('exec: "/m/run": stat /m/run: no such file or directory', state["Error"])
        with self.daemon.client() as client:
            ended = client.post("/containers/bound/wait")
        self.assertEqual(ended, {"StatusCode": state["ExitCode"], "Error": {"Message": state["Error"]}})


class OverDaemonRestarts(Life):
    check_leaks = False

    def test_policies(self):
        ends = ("sh", "-c", "read x; exit 3")
        plans = {
            "always": policy("always"), "always-stopped": policy("always"),
            "unless": policy("unless-stopped"), "unless-stopped": policy("unless-stopped"),
            "failure": policy("on-failure"), "failure-stopped": policy("on-failure"), "none": policy("no")}
        for name, host in plans.items():
            self.run_it(name, *ends, host=host, OpenStdin=True)
        with self.daemon.client() as client:
            client.post("/containers/create?name=never", {"Image": "kit", "HostConfig": policy("always")})
            client.post("/containers/create?name=auto", {"Image": "kit", "HostConfig": {"AutoRemove": True}})
        for name in plans:
            if name.endswith("stopped"):
                self.assertCli(0, "stop", "-t", "0", name)
        self.daemon.restart()
        running = {"always", "always-stopped", "unless", "failure", "failure-stopped"}
        # The daemon answers when they run; nobody has to wait for them.
        self.assertEqual({c for c in plans if self.state(c)["Running"]}, running)
        self.assertEqual(self.state("unless-stopped")["ExitCode"], 137)
        self.assertEqual(self.state("none")["Status"], "exited")
        self.assertEqual(self.state("never")["Status"], "created")
        self.assertEqual(self.call("GET", "/containers/auto/json")[0], 404, "what was only created is removed")

    @unittest.skipIf(ORACLE, "Docker's own engine ends its containers")
    def test_killed_in_the_back_off(self):
        self.run_it("loop", "sh", "-c", "sleep 0.05; exit 4", host=policy("always"))
        self.in_back_off("loop", 4)
        self.daemon.kill()
        self.daemon.start()
        wait_for(lambda: self.inspect("loop")["RestartCount"] in (1, 2, 3), what="a new beginning")

    @unittest.skipIf(ORACLE, "Docker's own engine ends its containers")
    def test_a_stop_is_remembered_when_the_daemon_is_killed_in_it(self):
        self.run_it("told", *STUBBORN, host=policy("unless-stopped"))
        self.wait_ready("told")
        pid = self.state("told")["Pid"]
        stopping = threading.Thread(target=lambda: self.cli("stop", "-t", "60", "told"))
        since = time.time()
        stopping.start()
        wait_for(lambda: "kill" in self.events("told", since), what="the signal")
        self.daemon.kill()
        stopping.join()
        os.kill(pid, 9)
        wait_for(lambda: not os.path.exists("/proc/%d" % pid), what="the container's end")
        self.daemon.start()
        self.assertEqual(self.state("told")["Status"], "exited")
        self.daemon.restart()
        self.assertEqual(self.state("told")["Status"], "exited")


class Stops(Life):
    def test_paused(self):
        made = self.run_it("cold", "/payload", "pause")
        self.assertCli(0, "pause", "cold")
        self.assertEqual(self.ask("pause", "cold"), (409, "Container %s is already paused" % made))
        self.assertEqual(self.ask("start", "cold"), (409, "cannot start a paused container, try unpause instead"))
        self.assertEqual(self.call("DELETE", "/containers/cold"), (
            409, 'cannot remove container "cold": container is paused and must be unpaused first'))
        since = time.time()
        self.assertEqual(self.ask("stop", "cold", "?t=10"), (204, None))
        self.assertEqual(self.state("cold")["ExitCode"], 143)
        self.assertEvents("cold", since, ["kill", "unpause", "die", "stop"])

    def test_memory_that_runs_out_is_reported(self):
        """Of a container that is not to be killed, too: its processes wait for memory, and the event is all that tells."""
        with self.daemon.client() as client:
            if client.get("/info")["CgroupVersion"] != "1":
                self.skipTest("cgroup v2 always kills")
        limits = {"Memory": 16 << 20, "MemorySwap": 16 << 20, "NetworkMode": "none"}
        since = time.time()
        self.run_it("killed", "/payload", "oom", host=dict(limits))
        self.assertEqual(self.wait_state("killed", "exited")["OOMKilled"], True)
        self.assertEvents("killed", since, ["create", "start", "oom", "die"])
        self.run_it("waits", "/payload", "oom", host=dict(limits, OomKillDisable=True))
        wait_for(lambda: self.events("waits", since) == ["create", "start", "oom"], what="the event")
        state = self.state("waits")
        self.assertEqual((state["Status"], state["OOMKilled"]), ("running", True))
        self.assertEqual(self.ask("kill", "waits"), (204, None))
        self.wait_state("waits", "exited")
        self.assertEvents("waits", since, ["create", "start", "oom", "kill", "die"])

    def test_texts(self):
        made = self.run_it("texts", "/payload", "pause")
        self.assertEqual(self.call("DELETE", "/containers/" + made[:12]), (
            409, 'cannot remove container "%s": container is running: stop the container before removing or force '
            "remove" % made[:12]))
        self.assertEqual(self.ask("stop", "texts", "?signal=FOO"), (
            500, "cannot stop container: texts: invalid signal: FOO"))
        self.assertEqual(self.ask("restart", "texts", "?signal=FOO"), (
            500, "Cannot restart container texts: invalid signal: FOO"))
        self.assertEqual(self.ask("stop", "texts", "?t=x"), (500, 'strconv.Atoi: parsing "x": invalid syntax'))
        self.assertEqual(self.call("POST", "/containers/texts/stop?signal=FOO", version="1.41"), (204, None))
        self.assertEqual(self.ask("stop", "texts", "?signal=FOO"), (304, None))
        self.assertEqual(self.ask("kill", "texts"), (
            409, "cannot kill container: texts: container %s is not running" % made))
        self.assertEqual(self.ask("restart", "nobody"), (404, "No such container: nobody"))

    def test_every_signal_by_name_and_number(self):
        self.run_it("deaf", "/payload", "pause")
        self.assertCli(0, "stop", "-t", "0", "deaf")
        made = self.inspect("deaf")["Id"]
        idle = (409, "cannot kill container: deaf: container %s is not running" % made)
        names = ("ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS "
                 "TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX").split()
        names += ["RTMIN%%2B%d" % i for i in range(1, 16)] + ["RTMAX-%d" % i for i in range(1, 15)]
        for name in names + [str(number) for number in range(1, 65) if number not in (32, 33)]:
            for form in (name, "SIG" + name, name.lower()):
                if form.startswith("SIG") and name.isdigit():
                    continue
                self.assertEqual(self.ask("kill", "deaf", "?signal=" + form), idle, form)
        for bad in ("0", "NOPE", "RTMIN%2B16", "RTMAX-15", "UNUSED", "SIG9"):
            text = bad.replace("%2B", "+")
            self.assertEqual(self.ask("kill", "deaf", "?signal=" + bad), (
                400, "cannot kill container: deaf: invalid signal: " + text))
        for bad in ("32", "33", "65", "-1"):
            self.assertEqual(self.ask("kill", "deaf", "?signal=" + bad), (
                400, "cannot kill container: deaf: the linux daemon does not support signal " + bad))

    def test_real_signals_arrive(self):
        self.run_it("hears", *ENDS_ON_USR1)
        self.wait_ready("hears")
        self.assertEqual(self.ask("kill", "hears", "?signal=10"), (204, None))
        self.assertEqual(self.wait_state("hears", "exited")["ExitCode"], 5)

    def test_stop_signal_and_timeouts(self):
        self.run_it("signal", *ENDS_ON_USR1, StopSignal="SIGUSR1")
        self.wait_ready("signal")
        self.assertEqual(self.ask("stop", "signal"), (204, None))
        self.assertEqual(self.state("signal")["ExitCode"], 5)
        self.run_it("asked", *ENDS_ON_USR1)
        self.wait_ready("asked")
        self.assertEqual(self.ask("stop", "asked", "?signal=usr1"), (204, None))
        self.assertEqual(self.state("asked")["ExitCode"], 5)
        for name, config, query, least, most in (
                ("zero", {"StopTimeout": 0}, "", 0, 8), ("one", {"StopTimeout": 30}, "?t=1", 1, 9),
                ("two", {"StopTimeout": 2}, "", 2, 9)):
            self.run_it(name, *STUBBORN, **config)
            self.wait_ready(name)
            begun = time.monotonic()
            self.assertEqual(self.ask("stop", name, query), (204, None))
            took = time.monotonic() - begun
            self.assertEqual((self.state(name)["ExitCode"], took >= least, took < most), (137, True, True), took)

    def test_no_timeout(self):
        self.run_it("ever", *STUBBORN, StopTimeout=-1)
        self.wait_ready("ever")
        since = time.time()
        answers = []
        stopping = threading.Thread(target=lambda: answers.append(self.ask("stop", "ever")))
        stopping.start()
        wait_for(lambda: "kill" in self.events("ever", since), what="the signal")
        self.assertEqual(self.ask("kill", "ever"), (204, None))
        stopping.join(20)
        self.assertEqual(answers, [(204, None)])
        self.assertEqual(self.state("ever")["ExitCode"], 137)

    def test_auto_remove_and_restart(self):
        self.run_it("auto", "/payload", "pause", host={"AutoRemove": True, "NetworkMode": "none"})
        since = time.time()
        self.assertEqual(self.ask("restart", "auto", "?t=5"), (204, None))
        found = self.inspect("auto")
        self.assertEqual((found["State"]["Running"], found["HostConfig"]["AutoRemove"]), (True, True))
        self.assertEvents("auto", since, ["kill", "die", "stop", "start", "restart"])
        self.assertEqual(self.ask("stop", "auto", "?t=5"), (204, None))
        wait_for(lambda: self.call("GET", "/containers/auto/json")[0] == 404, what="auto-removal")


class Removals(Life):
    def test_busy_mounts_do_not_hold_it_up(self):
        for running in (True, False):
            made = self.run_it("busy", "/payload", "pause")
            if not running:
                self.assertCli(0, "stop", "-t", "5", "busy")
            layer = self.inspect("busy")["GraphDriver"]["Data"]["UpperDir"]
            files = self.daemon.root + "/containers/" + made
            os.makedirs(layer + "/held/deep", exist_ok=True)
            for point in (layer + "/held/deep", files + "/checkpoints", files):
                os.makedirs(point, exist_ok=True)
                subprocess.run(["mount", "-t", "tmpfs", "busy", point], check=True)
            opened = os.open(layer + "/held/deep", os.O_RDONLY)
            try:
                self.assertEqual(self.call("DELETE", "/containers/busy?force=1"), (204, None))
                self.assertEqual(self.ask("start", "busy"), (404, "No such container: busy"))
            finally:
                os.close(opened)
            wait_for(lambda: not os.path.exists(files) and not os.path.exists(layer), what="the files' removal")

    def test_several_remove_at_once(self):
        for _ in range(10):
            made = self.run_it("many", "/payload", "pause")
            answers = []

            def remove():
                answers.append(self.call("DELETE", "/containers/" + made + "?force=1"))

            threads = [threading.Thread(target=remove) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertIn((204, None), answers)
            self.assertLessEqual(set(answers), {
                (204, None), (409, "removal of container %s is already in progress" % made),
                (404, "No such container: " + made)})


class Waits(Life):

    def test_conditions(self):
        self.run_it("ends", "sh", "-c", "read x; exit 6", OpenStdin=True)
        waits = {}
        results = {}

        def wait(key, query, version):
            with self.daemon.client(version) as client:
                results[key] = client.post("/containers/ends/wait" + query)

        for key, query, version in (("not", "", None), ("next", "?condition=next-exit", None),
                                    ("removed", "?condition=removed", None), ("old", "", "1.29")):
            waits[key] = threading.Thread(target=wait, args=(key, query, version))
            waits[key].start()
        # The waits have begun when they hold a connection; the daemon has them when it answers the next request.
        wait_for(lambda: len([1 for t in waits.values() if t.is_alive()]) == 4)
        time.sleep(0.5)
        os.kill(self.state("ends")["Pid"], 9)
        for key in ("not", "next", "old"):
            waits[key].join(20)
            self.assertEqual(results[key], {"StatusCode": 137})
        self.assertTrue(waits["removed"].is_alive())
        with self.daemon.client() as client:
            self.assertEqual(client.post("/containers/ends/wait"), {"StatusCode": 137})
        self.assertCli(0, "rm", "ends")
        waits["removed"].join(20)
        self.assertEqual(results["removed"], {"StatusCode": 137})
        self.assertEqual(self.ask("wait", "ends"), (404, "No such container: ends"))

    def test_bad_condition(self):
        self.run_it("any", "/payload", "pause")
        self.assertEqual(self.ask("wait", "any", "?condition=foo"), (400, 'invalid condition: "foo"'))

    def test_each_run_of_a_restarting_container(self):
        self.run_it("loop", "sh", "-c", "sleep 0.1; exit 8", host=policy("always"))
        for _ in range(4):
            with self.daemon.client() as client:
                self.assertEqual(client.post("/containers/loop/wait?condition=next-exit"), {"StatusCode": 8})
        self.in_back_off("loop", 4)
        with self.daemon.client() as client:
            # Between two runs it counts as running: the wait is for the next end.
            self.assertEqual(client.post("/containers/loop/wait"), {"StatusCode": 8})

    @unittest.skipIf(ORACLE, "Docker's own engine may take the next run's end for the one it waits for")
    def test_stop_is_not_for_the_next_run(self):
        """A stop whose container is started again at once ends one run only."""
        self.run_it("twice", "/payload", "pause")
        for _ in range(20):
            stopping = threading.Thread(target=lambda: self.ask("stop", "twice", "?t=1"))
            stopping.start()
            wait_for(lambda: self.ask("start", "twice")[0] == 204, what="the next run")
            pid = self.state("twice")["Pid"]
            wait_for(lambda: self.handles(pid, 15), what="the handler of SIGTERM")
            stopping.join(20)
            state = self.state("twice")
            self.assertEqual((state["Running"], state["Pid"]), (True, pid))


class Shutdown(Life):
    arguments = ("--shutdown-timeout", "3")
    check_leaks = False

    def test_order_and_time(self):
        for i in range(70):
            self.run_it("s%d" % i, "/payload", "pause", StopTimeout=20)
        self.run_it("deaf", *STUBBORN, StopTimeout=1)
        self.wait_ready("deaf")
        begun = time.monotonic()
        self.daemon.restart()
        self.assertLess(time.monotonic() - begun, 18)
        self.assertEqual({self.state("s%d" % i)["ExitCode"] for i in range(70)}, {143})
        self.assertEqual(self.state("deaf")["ExitCode"], 137)


class HungRequest(Life):
    arguments = ("--live-restore",)
    check_leaks = False

    @unittest.skipIf(ORACLE, "its monitors are other processes")
    def test_it_does_not_keep_the_daemon_from_ending(self):
        self.run_it("held", "/payload", "pause")
        pid = self.state("held")["Pid"]
        with self.daemon.client() as client:
            made = client.post("/containers/held/exec", {"Cmd": ["/payload", "true"]})["Id"]
        with open("/proc/%d/stat" % pid) as file:
            monitor = int(file.read().rsplit(")", 1)[1].split()[1])
        os.kill(monitor, signal.SIGSTOP)
        try:
            with self.daemon.client() as asking:
                asking.send("POST", "/exec/%s/start" % made, {"Detach": True})
                with self.daemon.client() as client:
                    wait_for(lambda: client.get("/exec/%s/json" % made)["Running"], what="the exec waits for its start")
                self.assertEqual(self.daemon.stop(), 0)
            self.assertIn("requests are still running", self.daemon.log_tail())
            # What they use is still there when they go on: a sanitizer would tell.
            self.daemon.check_reports()
        finally:
            os.kill(monitor, signal.SIGCONT)
            if self.daemon.process is None:
                self.daemon.start()
        state = self.state("held")
        self.assertEqual((state["Running"], state["Pid"]), (True, pid))
        self.assertCli(0, "exec", "held", "/payload", "echo", "alive", stdout="alive\n")


if __name__ == "__main__":
    main()

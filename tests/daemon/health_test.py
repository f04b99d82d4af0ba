"""Health checks: what they record, when they run, what ends them, and that nothing of them is left behind."""
import concurrent.futures
import datetime
import json
import os
import time
import unittest
from urllib.parse import quote

import support  # noqa: F401  (makes tests/support importable)

from daemon import descendants, wait_for
from reports import PATIENCE
from testcase import DaemonTestCase, main

MS = 1_000_000
ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
# A probe that begins with this goes on when the test says so.
HELD = "while [ ! -e /tmp/go ]; do sleep 0.01; done; "


def moment(text):
    return datetime.datetime.fromisoformat(text).timestamp()


class Checks(DaemonTestCase):
    @classmethod
    def warm_up(cls):
        super().warm_up()
        # The first probe that takes long makes the one reader of all their output.
        cls.daemon.run("/payload", "pause", name="warm", Healthcheck={
            "Test": ["CMD", "sleep", "0.5"], "Interval": 10 * MS}, host={"NetworkMode": "none"})
        with cls.daemon.client() as client:
            wait_for(lambda: client.get("/containers/warm/json")["State"]["Health"]["Log"])
        cls.daemon.remove_containers()

    def start(self, name, test, command=("/payload", "pause"), config=None, host=None, **check):
        check = {key: value * MS if isinstance(value, (int, float)) and key != "Retries" else value
                 for key, value in check.items()}
        return self.daemon.run(*command, name=name, Healthcheck=dict(check, Test=test),
                               host=dict(host or {}, NetworkMode="none"), **(config or {}))

    def inspect(self, name):
        with self.daemon.client() as client:
            return client.get("/containers/%s/json" % name)

    def health(self, name):
        return self.inspect(name)["State"].get("Health")

    def wait_log(self, name, count=1):
        """The health once so many probes have been run."""
        return wait_for(lambda: (lambda h: h if len(h["Log"]) >= count else None)(self.health(name)),
                        what="%d probes of %s" % (count, name))

    def wait_status(self, name, status):
        return wait_for(lambda: (lambda h: h if h["Status"] == status else None)(self.health(name)),
                        what="%s is %s" % (name, status))

    def write(self, name, path, text=""):
        pid = self.inspect(name)["State"]["Pid"]
        with open("/proc/%d/root%s" % (pid, path), "w") as file:
            file.write(text)

    def events(self, name, since):
        """The container's events as (action, exit code)."""
        query = quote(json.dumps({"container": [name]}))
        with self.daemon.client() as client:
            body = client.request("GET", "/events?since=%.9f&until=%.9f&filters=%s" % (since, time.time(), query)).body
        events = [json.loads(line) for line in body.splitlines()]
        return [(event["Action"], event["Actor"]["Attributes"].get("exitCode")) for event in events
                if event["Type"] == "container"]

    def failures_before_unhealthy(self, name, since):
        """How many probes failed before the status changed, however many have failed by now."""
        events = wait_for(lambda: (lambda e: e if ("health_status: unhealthy", None) in e else None)(
            self.events(name, since)), what="%s is said to be unhealthy" % name)
        return events[:events.index(("health_status: unhealthy", None))].count(("exec_die", "1"))

    def wait_events(self, name, since, wanted, start=0):
        """Fails unless the container's events from `start` on become the wanted ones; an event follows its state."""
        def look():
            return self.events(name, since)[start:start + len(wanted)] == wanted
        try:
            wait_for(look, 5)
        except TimeoutError:
            self.assertEqual(self.events(name, since)[start:start + len(wanted)], wanted)

    @staticmethod
    def command_line(pid):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as file:
                return file.read()
        except OSError:
            return b""


class Health(Checks):
    def test_states_log_and_events(self):
        since = time.time()
        check = HELD + "echo checked; test ! -e /tmp/bad"
        self.start("web", ["CMD-SHELL", check], Interval=100, Retries=2)
        first = self.inspect("web")["State"]["Health"]
        self.assertEqual(first, {"Status": "starting", "FailingStreak": 0, "Log": []})
        self.assertRegex(self.cli("ps", "--format", "{{.Status}}").stdout.decode(), r" \(health: starting\)\n$")
        self.write("web", "/tmp/go")
        good = self.wait_status("web", "healthy")
        self.assertEqual((good["FailingStreak"], good["Log"][0]["ExitCode"], good["Log"][0]["Output"]),
                         (0, 0, "checked\n"))
        self.assertLess(good["Log"][0]["Start"], good["Log"][0]["End"])
        self.assertRegex(self.cli("ps", "--format", "{{.Status}}").stdout.decode(), r" \(healthy\)\n$")
        command = "/bin/sh -c " + check
        self.wait_events("web", since, [
            ("create", None), ("start", None), ("exec_create: " + command, None), ("exec_start: " + command, None),
            ("exec_die", "0"), ("health_status: healthy", None)])
        since = time.time()
        self.write("web", "/tmp/bad")
        bad = self.wait_status("web", "unhealthy")
        self.assertEqual((bad["FailingStreak"] >= 2, bad["Log"][-1]["ExitCode"]), (True, 1))
        self.assertEqual(self.failures_before_unhealthy("web", since), 2)
        self.assertRegex(self.cli("ps", "--format", "{{.Status}}").stdout.decode(), r" \(unhealthy\)\n$")
        wait_for(lambda: [action for action, _ in self.events("web", since) if action.startswith("health")]
                 == ["health_status: unhealthy"], what="the event of the change, and no other")
        full = wait_for(lambda: (lambda h: h if h["FailingStreak"] >= 7 else None)(self.health("web")))
        self.assertEqual([entry["ExitCode"] for entry in full["Log"]], [1] * 5)

    def test_without_check(self):
        self.start("none", ["NONE"], Interval=100)
        self.start("empty", [], Interval=100)
        self.start("unknown", ["NOPE", "x"], Interval=100)
        for name in ("none", "empty", "unknown"):
            self.assertIsNone(self.health(name))
        found = self.cli("ps", "--filter", "health=none", "--format", "{{.Names}}").stdout.decode().split()
        self.assertEqual(sorted(found), ["empty", "none", "unknown"])

    def test_filters(self):
        self.start("good", ["CMD", "/bin/true"], Interval=100)
        self.start("bad", ["CMD", "/bin/false"], Interval=100, Retries=1)
        self.start("young", ["CMD", "/bin/true"], Interval=60_000)
        self.wait_status("good", "healthy")
        self.wait_status("bad", "unhealthy")
        for status, name in (("healthy", "good"), ("unhealthy", "bad"), ("starting", "young")):
            done = self.cli("ps", "--filter", "health=" + status, "--format", "{{.Names}}")
            self.assertEqual(done.stdout.decode(), name + "\n")
        with self.daemon.client() as client:
            answer = client.request("GET", "/containers/json?filters=" + quote('{"health":["x"]}'))
        self.assertEqual((answer.status, answer.message()), (
            400, "invalid filter 'health=x': invalid value for health (x): must be one of none, starting, healthy, "
            "unhealthy"))

    def test_from_the_image(self):
        since = time.time()
        with self.daemon.client() as client:
            import image
            image.import_image(client, "checked:latest", image.build_tar(), [
                'CMD ["/payload","pause"]', 'HEALTHCHECK --interval=100ms --retries=1 CMD test -e /tmp/ok'])
        with self.daemon.client() as client:
            client.post("/containers/create?name=inherits", {"Image": "checked"})
            client.post("/containers/create?name=overrides", {"Image": "checked", "Healthcheck": {"Retries": 7}})
            client.post("/containers/create?name=off", {"Image": "checked", "Healthcheck": {"Test": ["NONE"]}})
            for name in ("inherits", "overrides", "off"):
                client.post("/containers/%s/start" % name)
        self.assertEqual(self.failures_before_unhealthy("inherits", since), 1)
        self.assertEqual(self.inspect("overrides")["Config"]["Healthcheck"],
                         {"Test": ["CMD-SHELL", "test -e /tmp/ok"], "Interval": 100 * MS, "Retries": 7})
        self.assertIsNone(self.health("off"))
        self.daemon.remove_containers()
        with self.daemon.client() as client:
            client.delete("/images/checked:latest")

    def test_a_probe_that_cannot_start(self):
        since = time.time()
        self.start("lost", ["CMD", "/nope", "x"], Interval=100, Retries=1)
        entry = self.wait_status("lost", "unhealthy")["Log"][0]
        self.assertEqual((entry["ExitCode"], entry["Output"]), (
            -1, "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/nope\": stat /nope: "
            "no such file or directory: unknown"))
        self.wait_events("lost", since, [
            ("exec_create: /nope x", None), ("exec_start: /nope x", None), ("health_status: unhealthy", None)], 2)

    def test_timeout_kills_the_probe(self):
        self.start("slow", ["CMD-SHELL", "echo out; exec sleep 1234"], Interval=100, Timeout=300, Retries=1)
        entry = self.wait_status("slow", "unhealthy")["Log"][0]
        self.assertEqual((entry["ExitCode"], entry["Output"]), (-1, "Health check exceeded timeout (300ms): out\n"))
        self.wait_log("slow", 3)
        running = [pid for pid in descendants(self.daemon.pid) if b"1234" in self.command_line(pid)]
        if not ORACLE:
            self.assertLessEqual(len(running), 2)
        self.start("mute", ["CMD", "sleep", "1234"], Interval=100, Timeout=1200)
        self.assertEqual(self.wait_log("mute")["Log"][0]["Output"], "Health check exceeded timeout (1.2s)")
        self.assertEqual(self.health("mute")["Status"], "starting")

    def test_a_timeout_is_as_long_as_it_says(self):
        for name, timeout in (("short", 50), ("longer", 300)):
            self.start(name, ["CMD", "sleep", "1234"], Interval=50, Timeout=timeout)
        for name, timeout in (("short", 50), ("longer", 300)):
            log = self.wait_log(name, 5)["Log"]
            took = [moment(entry["End"]) - moment(entry["Start"]) for entry in log]
            self.assertGreaterEqual(min(took), timeout / 1000)
            # The quickest of five: a machine that is busy makes some of them late.
            self.assertLess(min(took), (timeout + 70) / 1000 * PATIENCE, took)

    def test_output_is_cut(self):
        self.start("much", ["CMD-SHELL", "head -c 3000000 /dev/zero | tr '\\0' x; exit 3"], Interval=100)
        entry = self.wait_log("much")["Log"][0]
        self.assertEqual((entry["ExitCode"], entry["Output"]), (3, "x" * 4096 + "..."))
        self.start("exact", ["CMD-SHELL", "head -c 4096 /dev/zero | tr '\\0' y"], Interval=100)
        self.assertEqual(self.wait_log("exact")["Log"][0]["Output"], "y" * 4096)
        self.start("bytes", ["CMD-SHELL", "printf 'a\\377b'"], Interval=100)
        self.assertEqual(self.wait_log("bytes")["Log"][0]["Output"], "a\ufffdb")

    def test_start_period(self):
        since = time.monotonic()
        self.start("early", ["CMD", "/bin/false"], Interval=60_000, StartPeriod=60_000, StartInterval=100, Retries=1)
        early = self.wait_log("early", 3)
        self.assertEqual((early["Status"], early["FailingStreak"]), ("starting", 0))
        self.assertLess(time.monotonic() - since, 30)
        self.start("ends", ["CMD", "/bin/false"], Interval=100, StartPeriod=600, StartInterval=100, Retries=1)
        self.wait_status("ends", "unhealthy")
        # A success ends the start period: from there on failures count, and the interval is the usual one.
        self.start("up", ["CMD-SHELL", "test ! -e /tmp/bad"], Interval=100, StartPeriod=60_000, StartInterval=100,
                   Retries=1)
        self.wait_status("up", "healthy")
        bad_since = time.time()
        self.write("up", "/tmp/bad")
        self.assertEqual(self.failures_before_unhealthy("up", bad_since), 1)

    def test_start_interval_needs_1_44(self):
        check = {"Test": ["CMD", "true"], "StartInterval": 5}
        with self.daemon.client("1.43") as client:
            client.post("/containers/create?name=old", {"Image": "kit", "Healthcheck": check})
        self.assertEqual(self.inspect("old")["Config"]["Healthcheck"], {"Test": ["CMD", "true"]})
        with self.daemon.client("1.44") as client:
            answer = client.request("POST", "/containers/create", {"Image": "kit", "Healthcheck": check})
        self.assertEqual((answer.status, answer.message()),
                         (400, "StartInterval in Healthcheck cannot be less than 1ms"))

    def test_bad_values(self):
        for field in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
            for value in (10, -1):
                with self.daemon.client() as client:
                    answer = client.request("POST", "/containers/create",
                                            {"Image": "kit", "Healthcheck": {"Test": ["CMD", "true"], field: value}})
                self.assertEqual((answer.status, answer.message()),
                                 (400, field + " in Healthcheck cannot be less than 1ms"))
        with self.daemon.client() as client:
            answer = client.request("POST", "/containers/create",
                                    {"Image": "kit", "Healthcheck": {"Test": ["CMD", "true"], "Retries": -1}})
            self.assertEqual((answer.status, answer.message()), (400, "Retries in Healthcheck cannot be negative"))
            self.assertEqual(client.get("/containers/json?all=1"), [])

    def test_pause_stop_and_start(self):
        self.start("life", ["CMD", "/bin/true"], Interval=100)
        self.wait_status("life", "healthy")
        self.assertCli(0, "pause", "life")
        paused = self.health("life")
        self.assertEqual(paused["Status"], "unhealthy")
        self.assertRegex(self.cli("ps", "--format", "{{.Status}}").stdout.decode(), r"^Up .* \(Paused\)\n$")
        since = time.time()
        self.assertCli(0, "unpause", "life")
        self.wait_status("life", "healthy")
        wait_for(lambda: ("health_status: healthy", None) in self.events("life", since), what="the event")
        self.assertCli(0, "stop", "-t", "5", "life")
        stopped = self.health("life")
        self.assertEqual((stopped["Status"], len(stopped["Log"]) > 0), ("unhealthy", True))
        # The next run begins anew, with the log of the last one.
        self.assertCli(0, "start", "life")
        again = self.health("life")
        self.assertIn(again["Status"], ("starting", "healthy"))
        self.assertIn(again["Log"][0], stopped["Log"])
        self.wait_status("life", "healthy")
        self.assertCli(0, "restart", "-t", "5", "life")
        self.wait_status("life", "healthy")

    def test_paused_while_probing(self):
        self.start("froze", ["CMD-SHELL", HELD], Interval=100)
        wait_for(lambda: self.inspect("froze")["ExecIDs"], what="a probe that runs")
        self.assertCli(0, "pause", "froze")
        state = self.health("froze")
        self.assertEqual((state["Status"], state["Log"]), ("unhealthy", []))
        self.assertCli(0, "unpause", "froze")
        self.write("froze", "/tmp/go")
        self.assertEqual(self.wait_status("froze", "healthy")["Log"][0]["ExitCode"], 0)

    def test_removal_while_probing(self):
        self.start("gone", ["CMD", "sleep", "4321"], Interval=50)
        wait_for(lambda: self.inspect("gone")["ExecIDs"], what="a probe that runs")
        self.assertCli(0, "rm", "-f", "gone")
        left = [pid for pid in descendants(self.daemon.pid) if b"4321" in self.command_line(pid)]
        self.assertEqual(left, [])

    def test_probe_is_an_exec_with_the_containers_user_and_folder(self):
        self.start("who", ["CMD-SHELL", "id -u; pwd; echo $GREETING $HOSTNAME"], Interval=100,
                   config={"User": "alice", "WorkingDir": "/tmp", "Env": ["GREETING=hello"], "Hostname": "box"})
        self.assertEqual(self.wait_log("who")["Log"][0]["Output"], "1000\n/tmp\nhello box\n")
        self.start("shell", ["CMD-SHELL", "from-shell"], Interval=100, config={"Shell": ["/bin/echo", "-n"]})
        self.assertEqual(self.wait_log("shell")["Log"][0]["Output"], "from-shell")

    def test_restart_policy_resets_health(self):
        self.start("loops", ["CMD", "/bin/true"], command=("sleep", "0.6"), Interval=100,
                   host={"RestartPolicy": {"Name": "always"}})
        self.wait_status("loops", "healthy")
        wait_for(lambda: self.inspect("loops")["RestartCount"] >= 1, what="a restart")
        self.wait_status("loops", "healthy")

    @unittest.skipIf(ORACLE, "about this daemon's threads")
    def test_many_checks_need_no_threads(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: self.start("many%d" % i, ["CMD", "sleep", "60"], Interval=200, Timeout=60000), range(40)))
        wait_for(lambda: all(self.inspect("many%d" % i)["ExecIDs"] for i in range(40)), what="40 probes at once")
        names = []
        for task in os.listdir("/proc/%d/task" % self.daemon.pid):
            with open("/proc/%d/task/%s/comm" % (self.daemon.pid, task)) as file:
                names.append(file.read().strip())
        self.assertLessEqual(names.count("health"), 16)


@unittest.skipIf(ORACLE, "Docker's own engine ends its containers")
class DaemonDeath(Checks):
    check_leaks = False

    def probes(self, word):
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()
                and self.command_line(int(entry)).startswith(b"sleep\0" + word)]

    def test_daemon_death(self):
        self.start("stays", ["CMD", "/bin/true"], Interval=100)
        self.start("hangs", ["CMD", "sleep", "5678"], Interval=100, Timeout=60_000)
        self.wait_status("stays", "healthy")
        probe = wait_for(lambda: self.probes(b"5678"), what="a probe that runs")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.health("stays")["Status"] in ("starting", "healthy"), True)
        self.wait_status("stays", "healthy")
        wait_for(lambda: not os.path.exists("/proc/%d" % probe[0]), what="the end of the other daemon's probe")
        # Its place is taken by one of the new daemon's.
        wait_for(lambda: len(self.probes(b"5678")) == 1, what="a probe of the new daemon")
        shown = wait_for(lambda: self.inspect("hangs")["ExecIDs"], what="the probe is shown")
        self.assertEqual(len(shown), 1)


if __name__ == "__main__":
    main()

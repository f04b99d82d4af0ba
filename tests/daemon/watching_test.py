"""What the daemon tells of itself: metrics, /debug, the dump of its threads, the words for systemd; and what its signals do."""
import os
import re
import signal
import socket
import unittest

import support  # noqa: F401

import rawhttp
from daemon import wait_for
from flagscase import ORACLE, FlagsCase
from testcase import main

ACTIONS = "engine_daemon_container_actions_seconds"


class Metrics(FlagsCase):
    ADDRESS = "tcp://127.0.0.1:9323"

    def get(self, daemon, path="/metrics"):
        def ask():
            with rawhttp.Connection(self.ADDRESS) as client:
                return client.request("GET", path)
        return daemon.in_net(ask)

    def values(self, daemon):
        """Names with their labels, and their values."""
        answer = self.get(daemon)
        self.assertEqual((answer.status, answer.header("Content-Type")),
                         (200, "text/plain; version=0.0.4; charset=utf-8; escaping=values"))
        lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def test_names_and_counts(self):
        daemon = self.daemon("--metrics-addr", "127.0.0.1:9323").start()
        daemon.load_image()
        before = self.values(daemon)
        own = {re.sub(r"_(bucket|sum|count)$", "", name.split("{")[0]) for name in before if name.startswith("engine_daemon")}
        self.assertEqual(own - {"engine_daemon_host_info_functions_seconds", "engine_daemon_network_actions_seconds",
                                "engine_daemon_image_actions_seconds"}, {
            ACTIONS, "engine_daemon_container_states_containers", "engine_daemon_engine_cpus_cpus", "engine_daemon_engine_info",
            "engine_daemon_engine_memory_bytes", "engine_daemon_events_subscribers_total", "engine_daemon_events_total",
            "engine_daemon_health_check_start_duration_seconds", "engine_daemon_health_checks_failed_total",
            "engine_daemon_health_checks_total"})
        info = next(name for name in before if name.startswith("engine_daemon_engine_info"))
        self.assertEqual(re.findall(r'(\w+)="', info), ["architecture", "commit", "daemon_id", "graphdriver", "kernel", "os", "os_type",
                                                        "os_version", "version"])
        self.assertIn('version="28.2.2"', info)
        self.assertEqual([name for name in before if name.startswith(ACTIONS + '_bucket{action="start"')],
                         ['%s_bucket{action="start",le="%s"}' % (ACTIONS, bound) for bound in
                          ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")])
        probed = daemon.run("/payload", "pause", name="probed", host={"NetworkMode": "none"},
                            Healthcheck={"Test": ["CMD", "true"], "Interval": 100_000_000})
        daemon.run("/payload", "pause", host={"NetworkMode": "none"})
        with daemon.client() as client:
            # Another client waits for events.
            client.request("GET", "/_ping")
            client.sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: self.values(daemon)["engine_daemon_events_subscribers_total"] == 1, what="the subscriber")
        with daemon.client() as client:
            client.post("/containers/create", {"Image": "kit"})
            wait_for(lambda: client.get("/containers/%s/json" % probed)["State"]["Health"]["Status"] == "healthy", what="healthy")
            self.assertEqual(client.request("POST", "/containers/create", {"Image": "nothing"}).status, 404)
        after = self.values(daemon)
        change = {action: after["%s_count{action=\"%s\"}" % (ACTIONS, action)] - before["%s_count{action=\"%s\"}" % (ACTIONS, action)]
                  for action in ("start", "create", "delete", "commit", "changes")}
        self.assertEqual(change, {"start": 2, "create": 3, "delete": 0, "commit": 0, "changes": 0})
        self.assertEqual([after['engine_daemon_container_states_containers{state="%s"}' % state] for state in ("running", "paused", "stopped")],
                         [2, 0, 1])
        self.assertGreaterEqual(after["engine_daemon_health_checks_total"], 1)
        self.assertEqual(after["engine_daemon_health_checks_failed_total"], 0)
        self.assertGreater(after["engine_daemon_events_total"], before["engine_daemon_events_total"])
        self.assertEqual((self.get(daemon, "/other").status, self.get(daemon, "/other").body), (404, b"404 page not found\n"))

    def test_refused(self):
        self.refused("failed to start metrics server: error parsing tcp address: address 9323: missing port in address",
                     "--metrics-addr", "9323")
        for host in ("", "no-such-host.invalid"):
            self.refused("failed to start metrics server: failed to lookup %s address in host specification" % host,
                         "--metrics-addr", host + ":9323")

    @unittest.skipIf(ORACLE, "an extension of our own")
    def test_of_each_container(self):
        daemon = self.daemon("--metrics-addr", "127.0.0.1:9323", "--feature", "container-metrics=true").start()
        daemon.load_image()
        made = daemon.run("/payload", "pause", name="watched")
        labels = '{id="%s",name="watched"}' % made
        # A container that something is being done with, as its start a moment ago, is left out.
        values = wait_for(lambda: self.values(daemon) if "engine_container_pids" + labels in self.values(daemon) else None, what="the container")
        self.assertEqual(values["engine_container_pids" + labels], 1)
        self.assertGreater(values["engine_container_memory_usage_bytes" + labels], 0)
        self.assertGreater(values["engine_container_cpu_seconds_total" + labels], 0)
        self.reload(daemon, {})
        # The flag says so, and the file says nothing against it.
        wait_for(lambda: "engine_container_pids" + labels in self.values(daemon), what="the container")


class Debug(FlagsCase):
    def test_endpoints(self):
        daemon = self.daemon().start()
        with daemon.client() as client:
            answers = {path: client.request("GET", "/debug/" + path) for path in
                       ("vars", "pprof/", "pprof/cmdline", "pprof/symbol", "pprof/goroutine?debug=1", "pprof/nothing")}
        self.assertEqual({path: (answer.status, answer.header("Content-Type")) for path, answer in answers.items()}, {
            "vars": (200, "application/json; charset=utf-8"), "pprof/": (200, "text/html; charset=utf-8"),
            "pprof/cmdline": (200, "text/plain; charset=utf-8"), "pprof/symbol": (200, "text/plain; charset=utf-8"),
            "pprof/goroutine?debug=1": (200, "text/plain; charset=utf-8"), "pprof/nothing": (404, "text/plain; charset=utf-8")})
        self.assertEqual(answers["vars"].json()["cmdline"], daemon.command())
        self.assertEqual(answers["pprof/cmdline"].body.decode().split("\0"), daemon.command())
        self.assertEqual(answers["pprof/nothing"].body, b"Unknown profile\n")


class Signals(FlagsCase):
    def pid_of(self, daemon, made):
        with daemon.client() as client:
            state = client.get("/containers/%s/json" % made)["State"]
        return state["Pid"] if state["Running"] else 0

    def running(self, *arguments):
        daemon = self.daemon(*arguments).start()
        daemon.load_image()
        made = daemon.run("/payload", "pause", host={"NetworkMode": "none"})
        return daemon, made, self.pid_of(daemon, made)

    def end(self, daemon, number):
        os.kill(daemon.pid, number)
        code = daemon.process.wait(60)
        daemon.process = None
        return code

    def test_terminate_follows_live_restore(self):
        daemon, made, pid = self.running()
        self.assertEqual(self.end(daemon, signal.SIGTERM), 0)
        self.assertFalse(os.path.exists("/proc/%d" % pid))
        self.assertFalse(os.path.exists(daemon.pidfile))
        self.assertFalse(os.path.exists(daemon.socket))
        daemon.start()
        self.assertEqual(self.pid_of(daemon, made), 0)
        daemon.stop()
        daemon, made, pid = self.running("--live-restore")
        self.assertEqual(self.end(daemon, signal.SIGTERM), 0)
        daemon.start()
        self.assertEqual(self.pid_of(daemon, made), pid)

    @unittest.skipIf(ORACLE, "Docker's containerd says a lot")
    def test_a_first_start_has_nothing_to_complain_of(self):
        """What it writes behind the first answer is on the disk when it ends."""
        daemon = self.daemon().start()
        self.assertEqual(self.end(daemon, signal.SIGTERM), 0)
        self.assertEqual([line for line in daemon.log_tail(1000).splitlines() if "level=error" in line], [])

    @unittest.skipIf(ORACLE, "Docker's engine takes its own containerd along")
    def test_quit_leaves_containers_running(self):
        daemon = self.daemon()
        # As a shell starts programs in the background.
        daemon.prefix = ["sh", "-c", "trap '' QUIT INT HUP; exec \"$@\"", "sh"]
        daemon.start()
        daemon.load_image()
        made = daemon.run("/payload", "pause", host={"NetworkMode": "none"})
        pid = self.pid_of(daemon, made)
        self.assertEqual(self.end(daemon, signal.SIGQUIT), 0)
        self.assertFalse(os.path.exists(daemon.pidfile))
        daemon.start()
        self.assertEqual(self.pid_of(daemon, made), pid)

    def test_what_does_not_stop(self):
        """A container that does not stop is killed when its own time-out is over, which the daemon waits for."""
        daemon = self.daemon("--shutdown-timeout", "1").start()
        daemon.load_image()
        daemon.run("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done", name="deaf", StopTimeout=1,
                   host={"NetworkMode": "none"})
        wait_for(lambda: daemon.cli("logs", "deaf").stdout == b"ready\n", what="the trap")
        self.assertEqual(self.end(daemon, signal.SIGTERM), 0)
        daemon.start()
        with daemon.client() as client:
            self.assertEqual(client.get("/containers/deaf/json")["State"]["ExitCode"], 137)

    def test_dump(self):
        daemon = self.daemon().start()
        os.kill(daemon.pid, signal.SIGUSR1)
        found = wait_for(lambda: re.search(r'goroutine stacks written to ([^"\s]+)', self.log(daemon)), what="the dump")
        self.assertRegex(found.group(1), r"^%s/goroutine-stacks-.*\.log$" % daemon.exec_root)
        with open(found.group(1)) as file:
            self.assertIn("goroutine" if ORACLE else "[io]", file.read())

    def test_locks(self):
        """A second daemon with the same pid file, or the same root, ends; the first one goes on."""
        daemon = self.daemon().start()
        self.refused("failed to start daemon, ensure docker is not running or delete %s: process with PID %d is still running" %
                     (daemon.pidfile, daemon.pid), "--pidfile", daemon.pidfile)
        if not ORACLE:  # Docker's waits for the first one's lock
            self.refused("metadata.db is locked: another engine is running on this data root", "--data-root", daemon.root)
        with daemon.client() as client:
            self.assertEqual(client.request("GET", "/_ping").status, 200)


class Notify(FlagsCase):
    def test_systemd_is_told(self):
        daemon = self.daemon()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            path = daemon.base + "/notify"
            told.bind(path)
            told.settimeout(60)
            daemon.prefix = ["env", "NOTIFY_SOCKET=" + path]
            daemon.start()

            def until(wanted):
                words = []
                while wanted not in words:
                    words += told.recv(4096).decode().splitlines()
                return words
            until("READY=1")
            if not ORACLE:
                self.reload(daemon, {"debug": True})
                words = until("READY=1")
                self.assertEqual(words[0], "RELOADING=1")
                self.assertRegex(words[1], r"^MONOTONIC_USEC=\d+$")
            self.assertEqual(daemon.stop(), 0)
            until("STOPPING=1")


if __name__ == "__main__":
    main()

"""Log drivers: files and their rotation, servers that logs are sent to, the copy that can be read back, and
attached clients that begin with the log."""
import glob
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import support  # noqa: F401  (makes tests/support importable)

import daemon
import logpeers
import own_mounts
from daemon import wait_for
from logscase import ORACLE, SHORT, LogsTestCase
from testcase import main


class Options(LogsTestCase):
    def test_refused_by_create(self):
        self.assertEqual(self.refused({"foo": "1"}), "unknown log opt 'foo' for json-file log driver")
        self.assertEqual(self.refused({}, "nope"),
                         'error looking up logging plugin nope: plugin "nope" not found')
        self.assertEqual(self.refused({"mode": "x"}), "logger: logging mode not supported: x")
        self.assertEqual(self.refused({}, "gelf"), "gelf-address is a required parameter")
        self.assertEqual(self.refused({"syslog-address": "tcp://127.0.0.1:a"}, "syslog"),
                         'parse "tcp://127.0.0.1:a": invalid port ":a" after host')

    def test_refused_by_start(self):
        for options, driver, text in (
                ({"max-size": "x"}, "json-file", "invalid size: 'x'"),
                ({"compress": "true"}, "json-file",
                 "compress cannot be true when max-file is less than 2 or max-size is not set"),
                ({"tag": "{{.Bad}}"}, "json-file", "template: log-tag:1:2: executing \"log-tag\" at <.Bad>: can't "
                                                   "evaluate field Bad in type *logger.Info"),
                ({"labels-regex": "("}, "json-file", "error parsing regexp: missing closing ): `(`"),
                ({"syslog-address": "tcp://127.0.0.1:1"}, "syslog",
                 "dial tcp 127.0.0.1:1: connect: connection refused"),
                ({}, "fluentd", "dial tcp 127.0.0.1:24224: connect: connection refused"),
                ({"gelf-address": "tcp://127.0.0.1:1"}, "gelf", "gelf: cannot connect to GELF endpoint: 127.0.0.1:1 "
                                                                "dial tcp 127.0.0.1:1: connect: connection refused"),
                ({"syslog-address": "tcp+tls://127.0.0.1:1", "syslog-tls-ca-cert": "/nope"}, "syslog",
                 'could not read CA certificate "/nope": open /nope: no such file or directory')):
            with self.subTest(options=options):
                self.assertEqual(self.refused(options, driver, starts=True), self.START + text)
        with self.daemon.client() as client:
            for container in client.get("/containers/json?all=1"):
                self.assertEqual(container["State"], "created")

    @unittest.skipIf(ORACLE, "Docker has more drivers")
    def test_info_names_the_drivers(self):
        with self.daemon.client() as client:
            self.assertEqual(client.get("/info")["Plugins"]["Log"],
                             ["fluentd", "gelf", "journald", "json-file", "local", "splunk", "syslog"])


class Files(LogsTestCase):
    LINES = 'i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done'
    ALL = "".join("line %d\n" % i for i in range(3000))

    def folder(self, name="log"):
        with self.daemon.client() as client:
            return "%s/containers/%s" % (self.daemon.root, client.get("/containers/%s/json" % name)["Id"])

    def test_json_file_is_rotated_and_compressed(self):
        self.start(self.LINES, "json-file", {"max-size": "20k", "max-file": "20", "compress": "true"})
        self.assertEqual(self.wait(), 0)
        self.assertEqual(self.logs("log"), self.ALL)
        self.assertEqual(self.logs("--tail", "1500", "log"), "".join("line %d\n" % i for i in range(1500, 3000)))
        packed = sorted(glob.glob(self.folder() + "/*-json.log.*"))
        self.assertGreater(len(packed), 5)
        for path in packed:
            self.assertRegex(path, r"-json\.log\.\d+\.gz$")
            with gzip.open(path) as file:
                self.assertIn("log", json.loads(file.readline()))
            with open(path, "rb") as file:
                head = file.read(64)
            self.assertEqual(head[:4], b"\x1f\x8b\x08\x04")
            self.assertIn(b'{"lastTime":"20', head)

    def test_only_so_many_files_are_kept(self):
        self.start(self.LINES, "json-file", {"max-size": "20k", "max-file": "3"})
        self.assertEqual(self.wait(), 0)
        names = sorted(os.path.basename(path).split("-json.log")[1] for path in glob.glob(self.folder() + "/*-json*"))
        self.assertEqual(names, ["", ".1", ".2"])
        kept = self.logs("log")
        self.assertTrue(self.ALL.endswith(kept))
        self.assertLess(len(kept), len(self.ALL))

    @unittest.skipIf(ORACLE, "Docker's followers lose lines when files are rotated fast")
    def test_followers_pass_rotations(self):
        self.start("read x; " + self.LINES, "json-file", {"max-size": "10k", "max-file": "40", "compress": "true"},
                   OpenStdin=True, StdinOnce=True)
        follower = subprocess.Popen(["docker", "logs", "-f", "log"], env=self.daemon.cli_environment(),
                                    stdout=subprocess.PIPE)
        self.assertCli(0, "attach", "--no-stdin=false", "log", stdin=b"go\n")
        self.assertEqual(self.wait(), 0)
        self.assertEqual(follower.communicate(timeout=30)[0].decode(), self.ALL)

    def test_local_driver_has_its_defaults(self):
        self.start(self.LINES, "local")
        self.assertEqual(self.wait(), 0)
        self.assertEqual(self.logs("log"), self.ALL)
        self.start("head -c 25000000 /dev/zero | tr '\\0' x | fold -w 9999", "local", name="large")
        self.assertEqual(self.wait("large"), 0)
        names = sorted(os.listdir(self.folder("large") + "/local-logs"))
        self.assertEqual(names, ["container.log", "container.log.1.gz"])
        self.assertEqual(len(self.logs("large").replace("\n", "")), 25000000)

    def test_attributes_and_tag(self):
        self.start("echo hi", "json-file",
                   {"labels": "one,none", "labels-regex": "^com", "env": "A", "env-regex": "^B",
                    "tag": "{{.ImageName}}/{{with .Name}}{{upper .}}{{end}}{{range .ContainerArgs}}{{len .}}{{break}}{{end}}"},
                   Labels={"one": "1", "com.x": "<y>", "other": "o"}, Env=["A=a b", "BB=2", "C=3"])
        self.assertEqual(self.wait(), 0)
        self.assertEqual(self.logs("--details", "log"),
                         "A=a+b,BB=2,com.x=%3Cy%3E,one=1,tag=kit%2FLOG2 hi\n")
        with open(glob.glob(self.folder() + "/*-json.log")[0]) as file:
            self.assertIn(r'"attrs":{"A":"a b","BB":"2","com.x":"\u003cy\u003e","one":"1","tag":"kit/LOG2"}',
                          file.read())

    def test_non_blocking_file_log_is_whole(self):
        self.start(self.LINES, "json-file", {"mode": "non-blocking", "max-buffer-size": "4m"})
        self.assertEqual(self.wait(), 0)
        self.assertEqual(self.logs("log"), self.ALL)

    def test_none_cannot_be_read(self):
        self.start("echo hi", "none")
        self.wait()
        done = self.assertCli(1, "logs", "log")
        self.assertIn("configured logging driver does not support reading", done.stderr.decode())

    def test_damaged_lines_cost_only_themselves(self):
        self.start("echo one; echo two; echo three")
        self.wait()
        path = glob.glob(self.folder() + "/*-json.log")[0]
        with open(path) as file:
            lines = file.read().splitlines(True)
        with open(path, "w") as file:
            file.write(lines[0] + '{"log":"tor' + lines[1] + "\0\0\0garbage\n" + lines[2] + '{"log":"cut')
        if ORACLE:
            return  # Docker ends at the first line it cannot read
        self.assertEqual(self.logs("log"), "one\ntwo\nthree\n")

    def test_a_full_disk_does_not_stop_the_container(self):
        if ORACLE:
            return
        self.start("echo first; read x; i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done; echo done >&2;"
                   " read x; echo after", OpenStdin=True)
        folder = self.folder()
        path = glob.glob(folder + "/*-json.log")[0]
        wait_for(lambda: os.path.getsize(path) > 0, what="the first line")
        attached = subprocess.Popen(["docker", "attach", "log"], env=self.daemon.cli_environment(),
                                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        monitor = self.monitor()
        # A limit on the size of files fails a write just as a full disk does, and no one else's.
        subprocess.run(["prlimit", "--pid", str(monitor), "--fsize=4096:4096"], check=True)
        attached.stdin.write(b"go\n")
        attached.stdin.flush()
        self.assertEqual(attached.stderr.readline(), b"done\n")
        attached.kill()
        attached.communicate()
        text = self.logs("log")
        self.assertTrue(text.startswith("first\n"))
        self.assertLess(len(text), 4096)

    def monitor(self):
        with self.daemon.client() as client:
            pid = client.get("/containers/log/json")["State"]["Pid"]
        with open("/proc/%d/stat" % pid) as file:
            text = file.read()
        return int(text[text.rindex(")") + 2:].split()[1])


class AttachWithLog(LogsTestCase):
    @unittest.skipIf(ORACLE, "Docker leaves a gap")
    def test_log_and_stream_join_without_gap_or_double(self):
        self.start("i=0; while :; do echo \"tick $i\"; i=$((i+1)); done", "json-file",
                   {"max-size": "30m", "max-file": "2"})
        for _ in range(5):
            with self.subTest():
                self.one_join()

    def attach(self, client, query):
        """Attaches by hijack; the answer's head is read."""
        client.send("POST", "/containers/log/attach?" + query, headers=[("Connection", "Upgrade"), ("Upgrade", "tcp")])
        self.assertEqual(client.head().status, 101)

    @staticmethod
    def frame(client):
        """The next frame's content; None at the end."""
        while len(client.buffer) < 8:
            if not client.fill():
                return None
        return client.take(8 + int.from_bytes(client.buffer[4:8], "big"))[8:]

    def one_join(self):
        with self.daemon.client() as client:
            self.attach(client, "logs=1&stream=1&stdout=1&stderr=1")
            rest, seen, wanted = b"", None, None
            while wanted is None or seen is None or seen < wanted:
                *lines, rest = (rest + self.frame(client)).split(b"\n")
                for line in lines:
                    if seen is None:  # a slow machine has rotated the first ones away
                        seen = int(line.split()[1]) - 1
                    self.assertEqual(line, b"tick %d" % (seen + 1))
                    seen += 1
                if wanted is None:
                    wanted = self.last_tick() + 20000  # well into the live stream

    def last_tick(self):
        return int(self.logs("--tail", "1", "log").split()[1])

    @unittest.skipIf(ORACLE, "Docker loses what is not yet a line")
    def test_an_unfinished_line_is_not_lost(self):
        self.start("printf abc; read x; printf 'def\\n'", OpenStdin=True, StdinOnce=True)
        with self.daemon.client() as client:
            self.attach(client, "logs=1&stream=1&stdin=1&stdout=1&stderr=1")
            self.assertEqual(self.frame(client), b"abc")
            client.sock.sendall(b"go\n")
            self.assertEqual(self.frame(client), b"def\n")
            self.assertIsNone(self.frame(client))
        self.assertEqual(self.logs("log"), "abcdef\n")


class Remote(LogsTestCase):
    def syslog(self, address, options=None, **more):
        self.start("echo out; echo err >&2; echo; echo last", "syslog",
                   dict({"syslog-address": address, "tag": "{{.Name}}"}, **(options or {})), **more)

    def assertSyslog(self, peer, pattern):
        """Three messages (an empty line gives none); the two streams may come in any order."""
        got = sorted(peer.get().decode() for _ in range(3))
        for priority, text in ((27, "err"), (30, "out"), (30, "last")):
            wanted = [line for line in got if re.fullmatch(pattern % (priority, text), line)]
            self.assertEqual(len(wanted), 1, (pattern, got))

    OLD = r"<%%d>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d %slog\[\d+\]: %%s\n"

    def test_syslog_over_udp_with_the_traditional_format(self):
        peer = self.peer(logpeers.Peer, socket.SOCK_DGRAM)
        self.syslog("udp://127.0.0.1:%d" % peer.port)
        self.assertSyslog(peer, self.OLD % "")

    def test_syslog_over_tcp_with_rfc3164(self):
        peer = self.peer(logpeers.Peer)
        self.syslog("tcp://127.0.0.1:%d" % peer.port, {"syslog-format": "rfc3164"})
        self.assertSyslog(peer, self.OLD % (re.escape(socket.gethostname()) + " "))

    def test_syslog_over_unix_sockets_with_rfc5424(self):
        new = r"<%%d>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d%s(Z|[+-]\d\d:\d\d) \S+ log \d+ log - %%s\n"
        for scheme, kind, form, fraction in (("unix", socket.SOCK_STREAM, "rfc5424", ""),
                                             ("unixgram", socket.SOCK_DGRAM, "rfc5424micro", r"\.\d{6}")):
            with self.subTest(scheme):
                path = "%s/%s.sock" % (self.daemon.base, scheme)
                peer = self.peer(logpeers.Peer, kind, path)
                self.syslog("%s://%s" % (scheme, path), {"syslog-format": form})
                self.assertSyslog(peer, new % fraction)
                self.daemon.remove_containers()

    def test_syslog_facility(self):
        peer = self.peer(logpeers.Peer, socket.SOCK_DGRAM)
        self.start("echo x", "syslog", {"syslog-address": "udp://127.0.0.1:%d" % peer.port,
                                        "syslog-facility": "local7"})
        self.assertRegex(peer.get().decode(), r"^<190>.* %s\[\d+\]: x\n$" % SHORT)

    def test_syslog_over_tls(self):
        context, ca = self.certificate()
        peer = self.peer(logpeers.Peer, tls=context)
        address = "tcp+tls://127.0.0.1:%d" % peer.port
        self.syslog(address, {"syslog-tls-ca-cert": ca, "syslog-format": "rfc5424"})
        # Messages have their length in front, so a line begins where the one before it ended.
        self.assertSyslog(peer, r"\d+ <%d>1 \S+ \S+ log \d+ log - %s\n")
        self.daemon.remove_containers()
        said = self.refused({"syslog-address": address}, "syslog", starts=True)
        self.assertIn("tls: failed to verify certificate: x509: ", said)
        self.syslog(address, {"syslog-tls-skip-verify": "1"}, name="log2")
        self.assertIn("out\n", "".join(peer.get().decode() for _ in range(3)))

    def test_fluentd_records(self):
        peer = self.peer(logpeers.Fluentd)
        made = self.start("echo out; echo err >&2", "fluentd",
                          {"fluentd-address": "127.0.0.1:%d" % peer.port, "env": "A", "tag": "x.{{.Name}}",
                           "fluentd-sub-second-precision": "true"}, Env=["A=1"])
        for tag, time, record, option in sorted((peer.get(), peer.get()), key=lambda one: one[2]["source"]):
            source = record["source"]
            self.assertEqual(tag, "x.log")
            self.assertEqual(time[0], 0)
            self.assertGreater(time[1], 1700000000)
            self.assertEqual(record, {"container_id": made, "container_name": "/log", "source": source,
                                      "log": source[3:], "A": "1"})
            self.assertEqual(option, {})

    def test_fluentd_partial_lines_and_acknowledgements(self):
        path = self.daemon.base + "/fluent.sock"
        peer = self.peer(logpeers.Fluentd, path=path)
        self.start("head -c 40000 /dev/zero | tr '\\0' x; echo", "fluentd",
                   {"fluentd-address": "unix://" + path, "fluentd-request-ack": "true"})
        records = [peer.get()[2] for _ in range(3)]
        self.assertEqual([len(record["log"]) for record in records], [16384, 16384, 40000 - 2 * 16384])
        self.assertEqual([record["partial_ordinal"] for record in records], ["1", "2", "3"])
        self.assertEqual([record["partial_last"] for record in records], ["false", "false", "true"])
        self.assertEqual({record["partial_message"] for record in records}, {"true"})
        self.assertEqual(len({record["partial_id"] for record in records}), 1)
        self.assertRegex(records[0]["partial_id"], "^[0-9a-f]{64}$")
        self.assertEqual(self.wait(), 0)
        self.assertEqual(self.logs("log"), "x" * 40000 + "\n")

    def test_fluentd_async_starts_without_a_server(self):
        port = self.daemon.in_net(self.free_port)
        self.start("echo early; sleep 1000", "fluentd", {"fluentd-address": "127.0.0.1:%d" % port,
                                                         "fluentd-async": "true", "fluentd-retry-wait": "50ms"})
        peer = self.peer(logpeers.Fluentd, port=port)
        self.assertEqual(peer.get()[2]["log"], "early")

    @staticmethod
    def free_port():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()[1]

    def test_gelf_over_udp(self):
        for kind, magic in (("gzip", b"\x1f\x8b"), ("zlib", b"\x78"), ("none", b'{"')):
            with self.subTest(kind):
                peer = self.peer(logpeers.Gelf, socket.SOCK_DGRAM)
                made = self.start("echo hello; head -c 9000 /dev/urandom | base64 -w 0 >&2", "gelf",
                                  {"gelf-address": "udp://127.0.0.1:%d" % peer.port, "gelf-compression-type": kind,
                                   "labels": "l", "tag": "t"}, Labels={"l": "v"})
                first, second = sorted((peer.get(), peer.get()), key=lambda one: -one["level"])
                self.assertEqual((first["level"], second["level"]), (6, 3))
                self.assertEqual(len(second["short_message"]), 12000)
                self.assertTrue(first["_magic"].startswith(magic))
                self.assertEqual({key: first[key] for key in first if key not in
                                  ("_magic", "timestamp", "_created", "_image_id")},
                                 {"version": "1.1", "host": socket.gethostname(), "short_message": "hello", "level": 6,
                                  "_container_id": made, "_container_name": "log", "_image_name": "kit",
                                  "_command": "/bin/sh -c echo hello; head -c 9000 /dev/urandom | base64 -w 0 >&2",
                                  "_tag": "t", "_l": "v"})
                self.assertGreater(first["timestamp"], 1700000000)
                self.assertRegex(first["_image_id"], "^sha256:[0-9a-f]{64}$")
                self.daemon.remove_containers()

    def test_gelf_over_tcp_reconnects(self):
        peer = self.peer(logpeers.Gelf)
        self.start("echo one; read x; echo two; echo three", "gelf",
                   {"gelf-address": "tcp://127.0.0.1:%d" % peer.port, "gelf-tcp-reconnect-delay": "0"},
                   OpenStdin=True, StdinOnce=True)
        self.assertEqual(peer.get()["short_message"], "one")
        peer.drop_clients()
        self.assertCli(0, "attach", "log", stdin=b"go\n")
        rest = [peer.get()["short_message"]]
        if rest == ["two"]:  # Docker may lose what it wrote into the closed connection
            rest.append(peer.get()["short_message"])
        self.assertIn(rest, (["two", "three"], ["three"]) if ORACLE else (["two", "three"],))

    def test_the_copy_can_be_read(self):
        peer = self.peer(logpeers.Peer)
        self.syslog("tcp://127.0.0.1:%d" % peer.port)
        self.assertEqual(self.wait(), 0)
        if not ORACLE:  # Docker connects once more to read its own copy
            peer.close()
        done = self.assertCli(0, "logs", "log")
        self.assertEqual((done.stdout, done.stderr), (b"out\n\nlast\n", b"err\n"))

    def test_without_the_copy_it_cannot(self):
        peer = self.peer(logpeers.Peer)
        self.syslog("tcp://127.0.0.1:%d" % peer.port, {"cache-disabled": "true"})
        self.assertEqual(self.wait(), 0)
        done = self.assertCli(1, "logs", "log")
        self.assertIn("configured logging driver does not support reading", done.stderr.decode())
        with self.daemon.client() as client:
            made = client.get("/containers/log/json")["Id"]
        self.assertEqual(glob.glob("%s/containers/%s/container-cached*" % (self.daemon.root, made)), [])

    # 12 MB do not fit into the buffers on the way to a peer that does not read.
    FLOOD = "head -c 12000000 /dev/zero | tr '\\0' x | fold -w 1000; echo; echo flooded"

    def test_a_peer_that_does_not_read_blocks_the_container(self):
        peer = self.peer(logpeers.Peer, silent=True)
        self.start(self.FLOOD, "syslog", {"syslog-address": "tcp://127.0.0.1:%d" % peer.port, "tag": "t"})
        self.assertTrue(peer.accepted.wait(20))
        wait_for(self.writers_wait, what="a blocked write")
        with self.daemon.client() as client:
            self.assertTrue(client.get("/containers/log/json")["State"]["Running"])
        peer.go_on()
        text = b"x" * 1000 + b"\n"
        for _ in range(12000):
            self.assertTrue(peer.get().endswith(text))
        self.assertTrue(peer.get().endswith(b": flooded\n"))
        self.assertEqual(self.wait(), 0)

    def writers_wait(self):
        """A process of the container waits for room in a pipe, and none runs."""
        with self.daemon.client() as client:
            pid = client.get("/containers/log/json")["State"]["Pid"]
        places = []
        for process in daemon.descendants(pid):
            try:
                with open("/proc/%d/wchan" % process) as file:
                    places.append(file.read())
            except OSError:
                places.append("gone")
        return bool(places) and any("pipe_w" in place for place in places) and "0" not in places

    @unittest.skipIf(ORACLE, "Docker's own engine waits for the peer with it")
    def test_a_blocked_container_can_be_removed(self):
        peer = self.peer(logpeers.Peer, silent=True)
        self.start(self.FLOOD, "syslog", {"syslog-address": "tcp://127.0.0.1:%d" % peer.port})
        wait_for(self.writers_wait, what="a blocked write")
        self.assertCli(0, "rm", "-f", "log")

    def test_non_blocking_drops_instead(self):
        peer = self.peer(logpeers.Peer, silent=True)
        self.start(self.FLOOD + "; sleep 1000", "syslog",
                   {"syslog-address": "tcp://127.0.0.1:%d" % peer.port, "mode": "non-blocking",
                    "max-buffer-size": "64k"})
        wait_for(lambda: self.logs("--tail", "1", "log") == "flooded\n", what="the end of the flood")
        peer.close()  # Docker's own engine would wait for it at the container's end
        self.assertCli(0, "rm", "-f", "log")

    @unittest.skipIf(ORACLE, "Docker's own engine ends its containers' logs with itself")
    def test_a_dead_daemon_stops_no_log(self):
        peer = self.peer(logpeers.Peer)
        self.start("i=0; while :; do echo \"tick $i\"; i=$((i+1)); sleep 0.01; done", "syslog",
                   {"syslog-address": "tcp://127.0.0.1:%d" % peer.port})
        ticks = [self.tick(peer)]
        self.daemon.kill()
        while len(ticks) < 200:
            ticks.append(self.tick(peer))
        self.daemon.start()
        while len(ticks) < 300:
            ticks.append(self.tick(peer))
        self.assertEqual(ticks, list(range(300)))
        self.assertIn("tick 250\n", self.logs("log"))

    @staticmethod
    def tick(peer):
        return int(peer.get().split()[-1])

    @unittest.skipIf(ORACLE, "Docker has no process that sends logs")
    def test_a_killed_forwarder_is_replaced(self):
        peer = self.peer(logpeers.Peer)
        self.start("i=0; while :; do echo \"tick $i\"; i=$((i+1)); sleep 0.01; done", "syslog",
                   {"syslog-address": "tcp://127.0.0.1:%d" % peer.port})
        first = self.tick(peer)
        self.assertEqual(first, 0)
        os.kill(self.forwarder(), 9)
        wait_for(lambda: len(peer.clients) == 2, what="the next forwarder")
        last = self.tick(peer)
        while last < 150:
            now = self.tick(peer)
            self.assertGreater(now, last)
            last = now
        self.assertIn("tick 100\ntick 101\n", self.logs("log"))

    def forwarder(self):
        found = []
        for pid in daemon.descendants(self.daemon.pid):
            try:
                with open("/proc/%d/comm" % pid) as file:
                    if file.read() == "docker-log\n":
                        found.append(pid)
            except OSError:
                pass  # just ended
        self.assertEqual(len(found), 1)
        return found[0]


class Journald(LogsTestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dockerd-journal-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        os.mkdir(cls.folder + "/journal")
        os.makedirs("/run/systemd", exist_ok=True)
        # A journal's socket where the daemon looks for it, in a mount namespace of its own.
        script = "mount --bind %s /run/systemd && exec \"$@\"" % cls.folder
        cls.prefix = (*own_mounts.PREFIX, "sh", "-c", script, "sh")
        super().setUpClass()

    def test_fields(self):
        peer = self.peer(logpeers.Journal, self.folder + "/journal/socket")
        made = self.start("echo hello; read x; printf 'e\\vr\\n' >&2", "journald",
                          {"tag": "t-{{.Name}}", "labels": "a.b", "env": "_X"}, Labels={"a.b": "1"}, Env=["_X=two"],
                          OpenStdin=True, StdinOnce=True)
        first = peer.get()
        self.assertRegex(first.pop("SYSLOG_TIMESTAMP").decode(), r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
        self.assertRegex(first.pop("CONTAINER_LOG_EPOCH").decode(), "^[0-9a-f]{64}$")
        self.assertEqual(first, {
            "PRIORITY": b"6", "MESSAGE": b"hello", "CONTAINER_ID": made[:12].encode(),
            "CONTAINER_ID_FULL": made.encode(), "CONTAINER_NAME": b"log", "CONTAINER_TAG": b"t-log",
            "IMAGE_NAME": b"kit", "SYSLOG_IDENTIFIER": b"t-log", "A_B": b"1", "X": b"two",
            "CONTAINER_LOG_ORDINAL": b"1"})
        self.assertCli(0, "attach", "log", stdin=b"go\n")
        second = peer.get()
        self.assertEqual((second["PRIORITY"], second["MESSAGE"], second["CONTAINER_LOG_ORDINAL"]),
                         (b"3", b"e\vr", b"2"))
        self.assertEqual(self.wait(), 0)
        if not ORACLE:  # the fake keeps no journal that Docker could read
            self.assertEqual(self.logs("log"), "hello\n")

    def test_partial_lines(self):
        peer = self.peer(logpeers.Journal, self.folder + "/journal/socket")
        self.start("head -c 20000 /dev/zero | tr '\\0' x; echo", "journald")
        first, last = peer.get(), peer.get()
        self.assertEqual((len(first["MESSAGE"]), len(last["MESSAGE"])), (16384, 20000 - 16384))
        self.assertEqual(first["CONTAINER_PARTIAL_MESSAGE"], b"true")
        self.assertNotIn("CONTAINER_PARTIAL_MESSAGE", last)
        self.assertEqual((first["CONTAINER_PARTIAL_LAST"], last["CONTAINER_PARTIAL_LAST"]), (b"false", b"true"))
        self.assertEqual((first["CONTAINER_PARTIAL_ORDINAL"], last["CONTAINER_PARTIAL_ORDINAL"]), (b"1", b"2"))

    def test_refused_without_a_journal(self):
        self.assertEqual(self.refused({}, "journald", starts=True),
                         Options.START + "journald is not enabled on this host")


class DaemonDefaults(LogsTestCase):
    arguments = ("--log-driver", "local", "--log-opt", "max-size=1m", "--log-opt", "cache-disabled=true")

    def test_they_apply(self):
        self.start("echo hi")
        with self.daemon.client() as client:
            self.assertEqual(client.get("/containers/log/json")["HostConfig"]["LogConfig"],
                             {"Type": "local", "Config": {"max-size": "1m", "cache-disabled": "true"}})
            self.assertEqual(client.get("/info")["LoggingDriver"], "local")
        self.start("echo hi", "json-file", name="other")
        with self.daemon.client() as client:
            self.assertEqual(client.get("/containers/other/json")["HostConfig"]["LogConfig"],
                             {"Type": "json-file", "Config": {"cache-disabled": "true"}})

    def test_bad_ones_keep_the_daemon_from_starting(self):
        with self.assertRaises(RuntimeError) as caught:
            with daemon.Daemon(("--log-opt", "nonsense=1")):
                pass
        self.assertIn("failed to set log opts: unknown log opt 'nonsense' for json-file log driver",
                      str(caught.exception))


if __name__ == "__main__":
    main()

"""The log driver splunk, against a collector that puts what it is sent into a queue."""
import gzip
import json
import os
import socket

import support  # noqa: F401  (makes tests/support importable)

import logpeers
from daemon import wait_for
from logscase import LogsTestCase
from testcase import main


class SplunkTestCase(LogsTestCase):
    def splunk(self, peer, script="echo out; echo err >&2", options=None, **more):
        return self.start(script, "splunk", dict({"splunk-url": "%s://127.0.0.1:%d" % ("https" if peer.tls else "http", peer.port),
                                                  "splunk-token": "secret"}, **(options or {})), **more)


class Splunk(SplunkTestCase):
    def test_inline(self):
        peer = self.peer(logpeers.Splunk)
        made = self.splunk(peer, "echo 'a < \\\"b\\\"'; echo; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x", {
            "splunk-source": "s", "splunk-sourcetype": "t", "splunk-index": "i", "env": "A", "labels": "l"},
            Env=["A=1"], Labels={"l": "v"})
        self.assertEqual(self.wait(), 0)
        # With the container's end everything is sent, long before the five seconds are over.
        events = peer.events(5)
        for event in events:
            self.assertRegex(event.pop("time"), r"^1\d{9}\.\d{6}$")
        common = {"host": socket.gethostname(), "source": "s", "sourcetype": "t", "index": "i"}

        def wanted(line, source):
            return dict(common, event={"line": line, "source": source, "tag": made[:12], "attrs": {"A": "1", "l": "v"}})
        self.assertEqual([event for event in events if event["event"]["source"] == "stdout"],
                         [wanted(line, "stdout") for line in ('a < \\"b\\"', "", "x" * 16384, "x" * (20000 - 16384))])
        self.assertEqual([event for event in events if event["event"]["source"] == "stderr"], [wanted("err", "stderr")])
        self.assertIn("a < ", self.logs("log"))

    def test_requests(self):
        peer = self.peer(logpeers.Splunk)
        self.splunk(peer, "echo x", {"splunk-gzip": "true", "splunk-gzip-level": "9", "splunk-index-acknowledgment": "1"})
        method, path, headers, body = peer.get()
        self.assertEqual((method, path, body), ("OPTIONS", "/services/collector/event/1.0", b""))
        self.assertNotIn("authorization", headers)
        method, path, headers, body = peer.get()
        self.assertEqual((method, path), ("POST", "/services/collector/event/1.0"))
        self.assertEqual(headers["authorization"], "Splunk secret")
        self.assertRegex(headers["x-splunk-request-channel"], "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertEqual(json.loads(gzip.decompress(body))["event"]["line"], "x")

    def test_formats(self):
        peer = self.peer(logpeers.Splunk)
        script = """printf '%s\\n' ' {"a" : [1.50, "b c"]} ' 'no json' '  '"""
        made = self.splunk(peer, script, {"splunk-format": "json", "tag": ""})
        self.assertEqual([event["event"] for event in peer.events(3)],
                         [{"line": line, "source": "stdout"} for line in ({"a": [1.5, "b c"]}, "no json", "  ")])
        self.daemon.remove_containers()
        made = self.splunk(peer, script, {"splunk-format": "raw", "env": "A"}, Env=["A=1"])
        # A line without anything in it would be refused by the collector.
        self.assertEqual([event["event"] for event in peer.events(2)],
                         ["%s A=1  %s" % (made[:12], '{"a" : [1.50, "b c"]} '), "%s A=1 no json" % made[:12]])

    def test_over_tls(self):
        context, ca = self.certificate()
        peer = self.peer(logpeers.Splunk, tls=context)
        self.splunk(peer, "echo x", {"splunk-capath": ca})
        self.assertEqual(peer.events(1)[0]["event"]["line"], "x")
        self.daemon.remove_containers()
        self.splunk(peer, "echo y", {"splunk-insecureskipverify": "true"})
        self.assertEqual(peer.events(1)[0]["event"]["line"], "y")
        self.daemon.remove_containers()
        where = {"splunk-url": "https://127.0.0.1:%d" % peer.port, "splunk-token": "t"}
        start = self.START + 'Options "%s/services/collector/event/1.0": tls: failed to verify certificate: x509: ' % where["splunk-url"]
        self.assertTrue(self.refused(where, "splunk", starts=True).startswith(start))
        where.update({"splunk-capath": ca, "splunk-caname": "other"})
        self.assertTrue(self.refused(where, "splunk", starts=True).startswith(start))

    def test_refused(self):
        peer = self.peer(logpeers.Splunk)
        url = "http://127.0.0.1:%d" % peer.port
        good = {"splunk-url": url, "splunk-token": "t"}
        self.assertEqual(self.refused({"splunk-urls": "x"}, "splunk"), "unknown log opt 'splunk-urls' for splunk log driver")
        for options, text in (
                ({}, "splunk: splunk-url is expected"),
                ({"splunk-url": url}, "splunk: splunk-token is expected"),
                ({"splunk-url": "127.0.0.1:1"}, "splunk: failed to parse 127.0.0.1:1 as url value in splunk-url"),
                ({"splunk-url": "ftp://a:1"}, "splunk: expected format scheme://dns_name_or_ip:port for splunk-url"),
                ({"splunk-url": url + "/x"}, "splunk: expected format scheme://dns_name_or_ip:port for splunk-url"),
                ({"splunk-url": url + "?a=b"}, "splunk: expected format scheme://dns_name_or_ip:port for splunk-url"),
                (dict(good, **{"splunk-insecureskipverify": "x"}), 'strconv.ParseBool: parsing "x": invalid syntax'),
                (dict(good, **{"splunk-capath": "/nope"}), "open /nope: no such file or directory"),
                (dict(good, **{"splunk-gzip-level": "x"}), 'strconv.ParseInt: parsing "x": invalid syntax'),
                (dict(good, **{"splunk-gzip-level": "10"}),
                 "not supported level '10' for splunk-gzip-level (supported values between -1 and 9)"),
                (dict(good, **{"splunk-verify-connection": "x"}), 'strconv.ParseBool: parsing "x": invalid syntax'),
                (dict(good, **{"splunk-format": "x"}),
                 "unknown format specified x, supported formats are inline, json and raw"),
                ({"splunk-url": "http://127.0.0.1:1", "splunk-token": "t"},
                 'Options "http://127.0.0.1:1/services/collector/event/1.0": dial tcp 127.0.0.1:1: connect: connection refused')):
            with self.subTest(options=options):
                self.assertEqual(self.refused(options, "splunk", starts=True), self.START + text)
        peer.answers["OPTIONS"] = ("404 Not Found", b"nothing here")
        self.assertEqual(self.refused(good, "splunk", starts=True),
                         self.START + "splunk: failed to verify connection - 404 Not Found - nothing here")

    def test_tries_again(self):
        peer = self.peer(logpeers.Splunk)
        peer.answers["POST"] = ("503 Service Unavailable", b"busy")
        self.splunk(peer, "echo one; read x; echo two; read x", OpenStdin=True)
        self.assertEqual(peer.get()[0], "OPTIONS")
        self.assertEqual(json.loads(peer.get()[3])["event"]["line"], "one")  # not taken
        peer.answers.clear()
        self.assertEqual([event["event"]["line"] for event in peer.events(1)], ["one"])
        self.daemon.remove_containers()


class Variables(SplunkTestCase):
    """The daemon's variables say how much is sent at once, and how much is kept."""
    VARIABLES = {"SPLUNK_LOGGING_DRIVER_POST_MESSAGES_FREQUENCY": "1h", "SPLUNK_LOGGING_DRIVER_POST_MESSAGES_BATCH_SIZE": "2",
                 "SPLUNK_LOGGING_DRIVER_BUFFER_MAX": "4", "SPLUNK_LOGGING_DRIVER_CHANNEL_SIZE": "many"}

    @classmethod
    def setUpClass(cls):
        os.environ.update(cls.VARIABLES)
        try:
            super().setUpClass()
        finally:
            for name in cls.VARIABLES:
                del os.environ[name]

    def said(self):
        with open(self.daemon.log_path, errors="replace") as file:
            return file.read()

    @staticmethod
    def lines(request):
        text, out = request[3].decode(), []
        while text:
            value, used = json.JSONDecoder().raw_decode(text)
            out.append(value["event"]["line"])
            text = text[used:]
        return out

    def test_batches(self):
        peer = self.peer(logpeers.Splunk)
        self.splunk(peer, "echo 1; echo 2; echo 3; echo 4; echo 5; read x", OpenStdin=True)
        self.assertEqual(peer.get()[0], "OPTIONS")
        # A batch of two is sent when it is whole, without a wait of an hour; the rest at the end.
        self.assertEqual([self.lines(peer.get()), self.lines(peer.get())], [["1", "2"], ["3", "4"]])
        self.assertCli(0, "kill", "log")
        self.assertEqual(self.lines(peer.get()), ["5"])
        wait_for(lambda: "SPLUNK_LOGGING_DRIVER_CHANNEL_SIZE" in self.said(), what="a word about the value that is none")
        self.assertIn("Failed to parse value of SPLUNK_LOGGING_DRIVER_CHANNEL_SIZE as integer. Using default 4000. "
                      'strconv.ParseInt: parsing \\"many\\": invalid syntax', self.said())

    def test_what_is_too_much_is_lost(self):
        peer = self.peer(logpeers.Splunk)
        peer.answers["POST"] = ("503 Service Unavailable", b"busy")
        self.splunk(peer, "for i in 1 2 3 4 5 6; do echo $i; read x; done", OpenStdin=True, StdinOnce=True)
        self.assertEqual(peer.get()[0], "OPTIONS")
        with self.daemon.client() as client:
            client.hijack("/containers/log/attach?stream=1&stdin=1")
            client.sock.sendall(b"\n")
            self.assertEqual(self.lines(peer.get()), ["1", "2"])
            client.sock.sendall(b"\n\n")
            # Not taken, and there is room for it: the next attempt is the same. Then there are four, and two go.
            self.assertEqual(self.lines(peer.get()), ["1", "2"])
            peer.answers.clear()
            client.sock.sendall(b"\n\n\n")
            self.assertEqual(self.lines(peer.get()), ["3", "4"])
            self.assertEqual(self.lines(peer.get()), ["5", "6"])


if __name__ == "__main__":
    main()

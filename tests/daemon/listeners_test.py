"""Where the daemon listens: kinds of addresses, activated sockets, TLS, and what comes in from the network."""
import os
import resource
import socket
import ssl
import statistics
import tempfile
import time
import unittest

import support  # noqa: F401

import rawhttp
import reports
from certificates import Authority
from flagscase import ORACLE, FlagsCase
from testcase import main

INSECURE = "Binding to IP address without --tlsverify is insecure"
BROWSER = "Binding to an IP address, even on localhost, can also give access to scripts run in a browser."
SLOW = "Startup is intentionally being slowed down to show this message"
CONNECTIONS = int(os.environ.get("DOCKERD_TEST_SLOW_CONNECTIONS", "5000"))


class Addresses(FlagsCase):
    def daemon_on(self, *hosts, arguments=()):
        daemon = self.daemon(*arguments)
        daemon.listen = list(hosts)
        return self.spawn(daemon)

    def version(self, daemon, host):
        def ask():
            with rawhttp.Connection(host) as client:
                return client.get("/version")["ApiVersion"]
        return daemon.in_net(ask)

    def test_several_at_once(self):
        daemon = self.daemon("--tls=false")
        other = "unix://%s/other.sock" % daemon.base
        daemon.listen = [daemon.host, other, "tcp://127.0.0.1:2375", "127.0.0.1:4000", daemon.host]
        self.spawn(daemon)
        self.assertEqual(sorted(self.listening(daemon)), sorted(["127.0.0.1:2375", "127.0.0.1:4000", daemon.socket, daemon.base + "/other.sock"]))
        for host in (daemon.host, other, "tcp://127.0.0.1:2375", "tcp://127.0.0.1:4000"):
            self.assertEqual(self.version(daemon, host), "1.50")
        mode = os.stat(daemon.socket)
        self.assertEqual((mode.st_mode & 0o7777, mode.st_uid), (0o660, 0))

    def test_tcp_alone_and_its_defaults(self):
        """No unix socket with it; port 2375 and localhost are filled in."""
        for host in ("tcp://", "tcp://:2375", "tcp://127.0.0.1", ":2375"):
            daemon = self.daemon_on(host, arguments=["--tls=false"])
            self.assertEqual(self.listening(daemon), ["127.0.0.1:2375"], host)
            self.assertFalse(os.path.exists(daemon.socket))
            self.assertEqual(daemon.stop(), 0)

    def test_open_addresses_are_warned_of(self):
        for host, arguments, slow in (("tcp://127.0.0.1:2375", (), False), ("tcp://0.0.0.0:2375", ("--tls=false",), False)):
            daemon = self.daemon_on(host, arguments=arguments)
            self.assertEqual([text in self.log(daemon) for text in (INSECURE, BROWSER, SLOW)], [True, True, slow], host)
            self.assertEqual(daemon.stop(), 0)

    @unittest.skipIf(ORACLE, "Docker's engine takes sixteen seconds for it")
    def test_open_to_all_is_warned_of_at_length(self):
        daemon = self.daemon_on("tcp://0.0.0.0:2375")
        self.assertIn(SLOW, self.log(daemon))
        self.assertEqual(self.version(daemon, "tcp://127.0.0.1:2375"), "1.50")

    def test_refused(self):
        for host, why in (("tcp://127.0.0.1:2375/path", "invalid bind address (tcp://127.0.0.1:2375/path): should not contain a path element"),
                          ("ftp://x", "invalid bind address (ftp://x): unsupported proto 'ftp'"),
                          ("fd://", "failed to load listeners: no sockets found via socket activation: make sure the service was "
                           "started by systemd"),
                          ("npipe://", 'failed to load listeners: invalid protocol format: "npipe"')):
            daemon = self.daemon()
            daemon.listen = [host]
            with self.assertRaises(RuntimeError):
                daemon.start()
            daemon.process = None
            self.assertIn(why, self.log(daemon))

    def test_a_group_that_is_not_there(self):
        self.refused("group nobodys-group not found", "-G", "nobodys-group")


class Activated(FlagsCase):
    SCRIPT = 'LISTEN_PID=$$ LISTEN_FDS=%d; export LISTEN_PID LISTEN_FDS; exec "$@"'

    def activated(self, daemon, count=1):
        """The daemon gets sockets from 3 on, as systemd passes them: paths of the sockets."""
        paths = ["%s/activated-%d.sock" % (daemon.base, number) for number in range(count)]
        sockets = []
        for path in paths:
            one = socket.socket(socket.AF_UNIX)
            one.bind(path)
            one.listen()
            sockets.append(one)
        # Popen moves no descriptors: the shell does.
        moves = " ".join("%d<&%d" % (3 + number, 200 + number) for number in range(count))
        for number, one in enumerate(sockets):
            os.dup2(one.fileno(), 200 + number, inheritable=True)
            one.close()
        self.addCleanup(lambda: [os.close(200 + number) for number in range(count)])
        script = "exec %s; " % moves + self.SCRIPT % count
        self.spawn(daemon, prefix=["bash", "-c", script, "bash"], pass_fds=[200 + number for number in range(count)])
        return paths

    def serves(self, path):
        with rawhttp.Connection("unix://" + path) as client:
            return client.request("GET", "/_ping").status == 200

    def test_all_of_them(self):
        daemon = self.daemon()
        daemon.listen = ["fd://"]
        paths = self.activated(daemon, 2)
        self.assertTrue(all(self.serves(path) for path in paths))
        self.assertEqual(daemon.stop(), 0)
        # They are systemd's, and stay.
        self.assertEqual([os.path.exists(path) for path in paths], [True, True])

    @unittest.skipIf(ORACLE, "Docker's engine serves them with fd:// only")
    def test_beside_other_addresses(self):
        daemon = self.daemon()
        (path,) = self.activated(daemon)
        self.assertTrue(self.serves(path) and self.serves(daemon.socket))

    @unittest.skipIf(ORACLE, "Docker's engine serves them with fd:// only")
    def test_without_a_word(self):
        daemon = self.daemon()
        daemon.listen = []
        (path,) = self.activated(daemon)
        self.assertTrue(self.serves(path))
        self.assertEqual(len(self.listening(daemon)), 1)


class Tls(FlagsCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="dockerd-test-certificates-")
        cls.addClassCleanup(folder.cleanup)
        cls.ours, cls.others = Authority(folder.name, "ours"), Authority(folder.name, "others")
        cls.server = cls.ours.issue("server", "serverAuth")
        cls.clients = {"right": cls.ours.issue("right", "clientAuth"), "of others": cls.others.issue("wrong", "clientAuth"),
                       "expired": cls.ours.issue("expired", "clientAuth", days=(-3, -1)),
                       "of a server": cls.server, "none": None}

    def arguments(self, *more):
        return ("--tlscacert", self.ours.certificate, "--tlscert", self.server[0], "--tlskey", self.server[1], *more)

    def ask(self, daemon, client, version=ssl.TLSVersion.TLSv1_3, host="127.0.0.1", refused=False):
        """The status of /_ping, or why the connection failed. refused: waits for the reason before it says anything."""
        context = ssl.create_default_context(cafile=self.ours.certificate)
        context.minimum_version = context.maximum_version = version
        if self.clients[client]:
            context.load_cert_chain(*self.clients[client])

        def talk():
            with socket.create_connection((host, 2376), 30) as plain:
                try:
                    with context.wrap_socket(plain, server_hostname=host) as secure:
                        if refused:
                            return secure.recv(4096)
                        secure.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        return int(secure.recv(4096).split()[1])
                except ssl.SSLError as error:
                    return error.reason
                except ConnectionError:
                    return "closed"
        return daemon.in_net(talk)

    def test_who_is_let_in(self):
        daemon = self.daemon(*self.arguments("--tlsverify"))
        daemon.listen = ["tcp://127.0.0.1:2376"]
        self.spawn(daemon)
        self.assertEqual(self.ask(daemon, "right"), 200)
        answers = {client: self.ask(daemon, client, refused=True) for client in self.clients if client != "right"}
        # Go calls this one bad, OpenSSL unsupported.
        self.assertIn(answers.pop("of a server"), ("SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"))
        self.assertEqual(answers, {"of others": "TLSV1_ALERT_UNKNOWN_CA", "expired": "SSLV3_ALERT_CERTIFICATE_EXPIRED",
                                   "none": "TLSV13_ALERT_CERTIFICATE_REQUIRED"})
        self.assertEqual(self.ask(daemon, "right", ssl.TLSVersion.TLSv1_2), 200)
        self.assertNotIn(INSECURE, self.log(daemon))
        # Plain HTTP is told so in Go's words.
        def plain():
            with socket.create_connection(("127.0.0.1", 2376), 30) as client:
                client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
                return client.recv(4096)
        self.assertEqual(daemon.in_net(plain), b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")

    def test_without_clients_certificates(self):
        daemon = self.daemon(*self.arguments("--tlsverify=false"))
        daemon.listen = ["tcp://127.0.0.1:2376"]
        self.spawn(daemon)
        self.assertEqual({client: self.ask(daemon, client) for client in ("none", "of others")}, {"none": 200, "of others": 200})
        self.assertIn(INSECURE, self.log(daemon))

    def test_tls_from_the_file_and_its_default_address(self):
        daemon = self.daemon(file={"tls": True, "tlscacert": self.ours.certificate, "tlscert": self.server[0], "tlskey": self.server[1]})
        daemon.listen = []
        self.spawn(daemon)
        self.assertEqual(self.listening(daemon), ["127.0.0.1:2376"])
        self.assertEqual((self.ask(daemon, "right"), self.ask(daemon, "none", refused=True)), (200, "TLSV13_ALERT_CERTIFICATE_REQUIRED"))

    def test_the_environment(self):
        """DOCKER_CERT_PATH has the files, DOCKER_TLS_VERIFY asks for them."""
        folder = tempfile.TemporaryDirectory(prefix="dockerd-test-certificates-")
        self.addCleanup(folder.cleanup)
        for name, path in (("ca.pem", self.ours.certificate), ("cert.pem", self.server[0]), ("key.pem", self.server[1])):
            os.symlink(path, os.path.join(folder.name, name))
        daemon = self.daemon()
        daemon.listen = ["tcp://127.0.0.1:2376"]
        self.spawn(daemon, environment={"DOCKER_CERT_PATH": folder.name, "DOCKER_TLS_VERIFY": "1"})
        self.assertEqual((self.ask(daemon, "right"), self.ask(daemon, "none", refused=True)), (200, "TLSV13_ALERT_CERTIFICATE_REQUIRED"))

    def test_what_is_missing(self):
        for arguments, why in ((("--tlsverify", "--tlscacert=/nowhere", "--tlscert", self.server[0], "--tlskey", self.server[1]),
                                'invalid TLS configuration: could not read CA certificate "/nowhere": open /nowhere: no such file or directory'),
                               (("--tlsverify", "--tlscacert", self.ours.certificate, "--tlscert=/nowhere", "--tlskey", self.server[1]),
                                'invalid TLS configuration: could not load X509 key pair (cert: "/nowhere", key: "%s"): open /nowhere: '
                                "no such file or directory" % self.server[1])):
            daemon = self.daemon(*arguments)
            daemon.listen = ["tcp://127.0.0.1:2376"]
            with self.assertRaises(RuntimeError) as caught:
                daemon.start()
            daemon.process = None
            self.assertIn(why, str(caught.exception))


class HostHeader(FlagsCase):
    def test_is_there_once_and_well_formed(self):
        daemon = self.daemon().start()
        bad = b"400 Bad Request"
        for headers, status, body in ((b"", bad + b": missing required Host header", bad + b": missing required Host header"),
                                      (b"Host: a\r\nHost: a\r\n", bad, bad),
                                      (b"Host: a b\r\n", bad + b": malformed Host header", bad + b": malformed Host header"),
                                      (b"Host: a/b\r\n", bad + b": malformed Host header", bad + b": malformed Host header"),
                                      (b"Host: \xff\r\n", bad + b": malformed Host header", bad + b": malformed Host header"),
                                      (b"Host:\r\n", b"200 OK", b"OK"), (b"hoST: [::1]:2375\r\n", b"200 OK", b"OK")):
            with rawhttp.connect(daemon.host) as client:
                client.sendall(b"GET /_ping HTTP/1.1\r\n" + headers + b"Connection: close\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(4096), b""))
            self.assertEqual((answer.split(b"\r\n")[0], answer.split(b"\r\n\r\n", 1)[1]), (b"HTTP/1.1 " + status, body), headers)


@unittest.skipIf(ORACLE, "Docker's engine answers web pages")
class WebPages(FlagsCase):
    def test_are_refused_over_the_network(self):
        daemon = self.daemon("--tls=false", listen=["tcp://127.0.0.1:2375"]).start()

        def status(host, *headers):
            def ask():
                with rawhttp.connect(host) as client:
                    client.sendall("\r\n".join(["GET /_ping HTTP/1.1", *headers, "Connection: close", "", ""]).encode())
                    return int(client.recv(4096).split()[1])
            return daemon.in_net(ask)
        tcp = "tcp://127.0.0.1:2375"
        for headers, wanted in ((("Host: anything.example",), 200),
                                (("Host: 127.0.0.1:2375", "Origin: http://127.0.0.1:2375"), 200),
                                (("Host: 127.0.0.1:2375", "Origin: http://evil.example"), 403),
                                (("Host: evil.example", "Origin: http://evil.example"), 403),
                                (("Host: evil.example", "Sec-Fetch-Site: same-origin"), 403),
                                (("Host: 127.0.0.1:2375", "Sec-Fetch-Site: cross-site"), 403),
                                (("Host: 127.0.0.1:2375", "Sec-Fetch-Site: none"), 200),
                                (("Host: 127.0.0.1:2375", "Origin: null"), 403),
                                (("Host: docker.lan:2375", "Upgrade: websocket", "Origin: http://docker.lan:2375"), 200),
                                (("Host: docker.lan:2375", "Upgrade: websocket", "User-Agent: x", "Origin: http://docker.lan:2375"), 403),
                                (("Host: docker.lan:2375", "Origin: http://docker.lan:2375"), 403)):
            self.assertEqual(status(tcp, *headers), wanted, headers)
        self.assertEqual(status(daemon.host, "Host: x", "Origin: http://evil.example"), 200)


class SlowHeaders(FlagsCase):
    def test_many_that_never_finish(self):
        """Connections that send their heads byte by byte: others are answered quickly, and memory stays bounded."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(CONNECTIONS, hard // 3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        daemon = self.daemon("--tls=false", listen=["tcp://127.0.0.1:2375"]).start()

        def memory():
            with open("/proc/%d/status" % daemon.pid) as file:
                return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        def ninety_ninth(connections):
            times = []
            with daemon.client() as client:
                for number in range(300):
                    for one in connections[number % 20::20]:
                        try:
                            one.send(b"x")
                        except (BrokenPipeError, ConnectionResetError):
                            pass  # one too many of them: turned away
                    begin = time.monotonic()
                    self.assertEqual(client.request("GET", "/_ping").status, 200)
                    times.append(time.monotonic() - begin)
            return statistics.quantiles(times, n=100)[98]
        before, alone = memory(), ninety_ninth([])
        slow = daemon.in_net(lambda: [rawhttp.connect("tcp://127.0.0.1:2375") for _ in range(count)])
        self.addCleanup(lambda: [one.close() for one in slow])
        for one in slow:
            try:
                one.sendall(b"GET /_ping HTTP/1.1\r\nHost: ")
            except (BrokenPipeError, ConnectionResetError):
                pass
        # On a machine that is too busy for a tenth of a second without them, they may cost three times as much.
        limit = max(0.1 * reports.PATIENCE, 3 * alone)
        ninety_nine = ninety_ninth(slow)
        grown = (memory() - before) / count
        print("%d slow connections: _ping p99 %.1f ms, without them %.1f ms, %.1f KiB each" % (
            count, ninety_nine * 1000, alone * 1000, grown))
        self.assertLess(ninety_nine, limit)
        self.assertLess(grown, 64 * reports.PATIENCE)


if __name__ == "__main__":
    main()

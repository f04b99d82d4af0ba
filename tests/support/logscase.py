"""What tests of log drivers share: containers with a driver, servers in the daemon's network, what is refused."""
import os
import re
import shutil
import ssl
import subprocess
import tempfile

from testcase import DaemonTestCase

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
SHORT = r"[0-9a-f]{12}"


class LogsTestCase(DaemonTestCase):
    START = "failed to create task for container: failed to initialize logging driver: "

    def peer(self, kind, *arguments, **more):
        made = kind(self.daemon.in_net, *arguments, **more)
        self.peers.append(made)
        return made

    def setUp(self):
        super().setUp()
        self.peers = []

    def tearDown(self):
        # Before leaks are looked for: the peers live in the daemon's namespace.
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.remove_containers()
        for peer in self.peers:
            peer.close()
        super().tearDown()

    def start(self, script, driver=None, options=None, name="log", **more):
        host = {"NetworkMode": "none", "LogConfig": {"Type": driver or "", "Config": options or {}}}
        return self.daemon.run("/bin/sh", "-c", script, name=name, host=host, **more)

    def wait(self, name="log"):
        with self.daemon.client() as client:
            return client.post("/containers/%s/wait" % name)["StatusCode"]

    def logs(self, *arguments):
        done = self.assertCli(0, "logs", *arguments)
        return done.stdout.decode()

    def refused(self, options, driver="json-file", starts=False):
        """The daemon's text for these options, from the create or the start."""
        arguments = ["--log-driver", driver]
        for key, value in options.items():
            arguments += ["--log-opt", "%s=%s" % (key, value)]
        done = self.cli("create", "--network", "none", *arguments, "kit", "/payload", "echo")
        if starts:  # not by `run`, whose words around the daemon's text are not the same in every CLI
            self.assertEqual(done.returncode, 0, done.stderr)
            done = self.cli("start", done.stdout.decode().strip())
        self.assertNotEqual(done.returncode, 0, options)
        return re.search(r"Error response from daemon: (.*)", done.stderr.decode()).group(1)

    def certificate(self):
        base = tempfile.mkdtemp(prefix="dockerd-certificate-")
        self.addCleanup(shutil.rmtree, base, True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=log",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", base + "/key.pem",
                        "-out", base + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(base + "/cert.pem", base + "/key.pem")
        return context, base + "/cert.pem"

"""Round trips with Debian's docker-registry: plain, with passwords, with TLS and client certificates."""
import crypt
import json
import os
import shutil
import socket
import subprocess
import tempfile

import support

import image as kit
import registrydouble as double
from daemon import wait_for
from registrycase import RegistryTestCase, layers
from testcase import main, require


class Registry:
    """One docker-registry on loopback of the daemon's network namespace."""

    def __init__(self, daemon, password=None, tls=None, client_ca=None):
        self.folder = tempfile.mkdtemp(prefix="registry-")
        self.port = daemon.in_net(self.free_port)
        self.name = "127.0.0.1:%d" % self.port
        config = {"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": self.folder + "/data"}, "delete": {"enabled": True}},
                  "http": {"addr": self.name}}
        if password:
            with open(self.folder + "/htpasswd", "w") as file:
                file.write("alice:%s\n" % crypt.crypt(password, "$2y$05$" + "a" * 22))
            config["auth"] = {"htpasswd": {"realm": "test", "path": self.folder + "/htpasswd"}}
        if tls:
            config["http"]["tls"] = {"certificate": tls + ".crt", "key": tls + ".key"}
            if client_ca:
                config["http"]["tls"]["clientcas"] = [client_ca]
        with open(self.folder + "/config.json", "w") as file:
            json.dump(config, file)  # YAML is a superset
        with open(self.folder + "/log", "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", self.folder + "/config.json"], stdout=log,
                                            stderr=log, preexec_fn=daemon.enter_net, pass_fds=(daemon.net,))
        wait_for(lambda: daemon.in_net(self.answers), what="docker-registry")

    @staticmethod
    def free_port():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return listener.getsockname()[1]

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def certificate(folder, name, authority=None, usage="serverAuth"):
    """A key pair below `folder`, signed by itself or by `authority`; returns its path without the ending."""
    path = folder + "/" + name
    config = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=%s\n" % usage if authority else "basicConstraints=CA:TRUE\n"
    with open(path + ".ext", "w") as file:
        file.write(config)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key", "-out",
            path + ".csr", "-subj", "/CN=" + name)
    signer = ("-CA", authority + ".crt", "-CAkey", authority + ".key", "-CAcreateserial") if authority \
        else ("-signkey", path + ".key")
    openssl("x509", "-req", "-in", path + ".csr", "-out", path + ".crt", "-days", "2", "-extfile", path + ".ext", *signer)
    return path


class RoundTrip(RegistryTestCase):
    def setUp(self):
        require(shutil.which("docker-registry"), "no docker-registry")
        self.served = []
        super().setUp()

    def serve(self, **more):
        self.served.append(Registry(self.daemon, **more))
        return self.served[-1]

    def tearDown(self):
        # Before the check for leaks: it counts listeners.
        for served in self.served:
            served.close()
        shutil.rmtree(self.daemon.base + "/cli", ignore_errors=True)
        super().tearDown()

    def round_trip(self, served):
        """By the CLI: push, remove, pull; image id and manifest digest stay."""
        name = served.name + "/tests/trip:v1"
        with open(kit.find_payload(), "rb") as file:
            tar = double.tar_of({"payload": file.read()})
        with self.daemon.client(timeout=120) as api:
            kit.import_image(api, "trip:latest", tar)
        self.assertCli(0, "tag", "trip", name)
        before = self.inspect("trip")
        self.assertCli(0, "push", "-q", name, timeout=120)
        digest = self.inspect(name)["RepoDigests"][0].rpartition("@")[2]
        self.assertCli(0, "rmi", "-f", before["Id"])
        pulled = self.assertCli(0, "pull", name, timeout=120)
        self.assertIn(b"Digest: %s\n" % digest.encode(), pulled.stdout)
        after = self.inspect(name)
        self.assertEqual((after["Id"], after["RootFS"]), (before["Id"], before["RootFS"]))
        self.assertCli(0, "run", "--rm", "--network", "none", name, "/payload", "echo", "back", stdout="back\n")
        again = served.name + "/tests/again:v1"
        self.assertCli(0, "tag", name, again)
        self.assertCli(0, "push", again, timeout=120)
        self.assertEqual({text.rpartition("@")[2] for text in self.inspect(again)["RepoDigests"]}, {digest})

    def test_plain(self):
        self.round_trip(self.serve())

    def test_passwords(self):
        served = self.serve(password="secret")
        self.assertCli(0, "tag", "kit", served.name + "/x")
        refused = self.cli("push", served.name + "/x")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"no basic auth credentials", refused.stderr)
        wrong = self.cli("login", "-u", "alice", "--password-stdin", served.name, stdin=b"wrong")
        self.assertIn(b"login attempt to http://%s/v2/ failed with status: 401 Unauthorized" % served.name.encode(),
                      wrong.stderr)
        done = self.assertCli(0, "login", "-u", "alice", "--password-stdin", served.name, stdin=b"secret")
        self.assertIn(b"Login Succeeded", done.stdout)
        self.round_trip(served)
        self.assertCli(0, "logout", served.name)
        self.assertIn(b"no basic auth credentials", self.cli("pull", served.name + "/tests/trip:v1").stderr)

    def test_tls(self):
        with tempfile.TemporaryDirectory() as folder:
            authority = certificate(folder, "authority")
            self.round_trip(self.serve(tls=certificate(folder, "server", authority)))


if __name__ == "__main__":
    main()

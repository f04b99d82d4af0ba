"""Round trips with Debian's docker-registry: plain, with passwords, with TLS; and with other engines beside."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import support  # noqa: F401  (makes tests/support importable)

import image as kit
import own_mounts
import registrydouble as double
from daemon import Daemon
from debregistry import Registry, certificate
from registrycase import RegistryTestCase
from testcase import main, require


ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
# Docker's own engine, of whatever version the machine has.
PEER = os.environ.get("DOCKERD_PEER", "/usr/sbin/dockerd")


class Served(RegistryTestCase):
    """Tests with docker-registry beside the daemon."""

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


class RoundTrip(Served):
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



class OtherEngines(Served):
    """What ours pushed others read, and the other way round."""

    def push(self, daemon, name):
        """The image's id and digest."""
        done = daemon.cli("tag", "kit", name)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = daemon.cli("push", "-q", name, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.known(daemon, name)

    @staticmethod
    def known(daemon, name):
        with daemon.client() as api:
            found = api.get("/images/%s/json" % name)
        return found["Id"], [text.rpartition("@")[2] for text in found["RepoDigests"]
                             if text.startswith(name.rpartition(":")[0] + "@")]

    def assertPulls(self, daemon, name, known):
        done = daemon.cli("pull", "-q", name, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.known(daemon, name), known)

    @unittest.skipUnless(os.access(PEER, os.X_OK), "no other dockerd")
    def test_dockers_engine(self):
        with Daemon(binary=PEER, prefix=own_mounts.prefix_below_chroot()) as peer:
            peer.load_image()
            served = self.serve()
            beside = Registry(peer, shared=served)
            self.addCleanup(beside.close)
            ours, theirs = served.name + "/tests/ours:v1", served.name + "/tests/theirs:v1"
            pushed = self.push(self.daemon, ours)
            self.assertPulls(peer, ours, pushed)
            pushed = self.push(peer, theirs)
            self.assertPulls(self.daemon, theirs, pushed)
            # And on: what was pulled has the digest it came with.
            again = served.name + "/tests/again:v1"
            self.assertCli(0, "tag", theirs, again)
            self.assertCli(0, "push", "-q", again, timeout=120)
            self.assertEqual(self.known(self.daemon, again)[1], pushed[1])
            for name in (ours, theirs):
                self.skopeo_reads(name, self.known(peer, name))

    def skopeo(self, *arguments):
        done = subprocess.run(["skopeo", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=self.daemon.enter_net, pass_fds=(self.daemon.net,))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def skopeo_reads(self, name, known):
        found = json.loads(self.skopeo("inspect", "--tls-verify=false", "docker://" + name))
        self.assertEqual([found["Digest"]], known[1])
        raw = self.skopeo("inspect", "--tls-verify=false", "--raw", "docker://" + name)
        self.assertEqual(json.loads(raw)["config"]["digest"], known[0])

    def test_skopeo(self):
        require(shutil.which("skopeo"), "no skopeo")
        name = self.serve().name + "/tests/kit:v1"
        pushed = self.push(self.daemon, name)
        self.skopeo_reads(name, pushed)
        self.assertCli(0, "rmi", name)
        with tempfile.TemporaryDirectory() as folder:
            # Both kinds of archives it makes, and one it is given.
            for kind in ("docker-archive",) if ORACLE else ("docker-archive", "oci-archive"):  # Docker 28 reads the first
                archive = "%s/%s.tar" % (folder, kind)
                self.skopeo("copy", "-q", "--src-tls-verify=false", "docker://" + name, "%s:%s:%s" % (kind, archive, name))
                self.assertCli(0, "load", "-q", "-i", archive)
                self.assertEqual(self.inspect(name)["RootFS"], self.inspect("kit")["RootFS"])
                if kind == "docker-archive":  # for the other it writes the configuration anew
                    self.assertEqual(self.known(self.daemon, name)[0], pushed[0])
                self.assertCli(0, "rmi", name)
            self.assertCli(0, "save", "-o", folder + "/saved.tar", "kit")
            self.skopeo("copy", "-q", "--dest-tls-verify=false", "docker-archive:%s/saved.tar" % folder, "docker://" + name)
            self.assertCli(0, "pull", "-q", name, timeout=120)
            self.assertEqual(self.known(self.daemon, name)[0], pushed[0])


if __name__ == "__main__":
    main()

"""How a registry is reached: certs.d with authorities, client certificates and hosts.toml; mirrors; proxies."""
import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import support  # noqa: F401  (makes tests/support importable)

import own_mounts
import registrydouble as double
from debregistry import Registry, certificate
from registrycase import RegistryTestCase, layers
from testcase import main, require

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
# Not on loopback, where every registry is an insecure one.
ADDRESS = "192.0.2.1"
# A name that nobody has: reached by a mirror or a proxy, or not at all.
NOWHERE = "registry.invalid"

ETC = tempfile.mkdtemp(prefix="etc-")
# The daemon has an /etc of its own, whose changes lie in ETC.
OWN_ETC = (*own_mounts.PREFIX, sys.executable, "-c", """
import os, subprocess, sys
etc = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", etc + "/mnt"], check=True)
os.mkdir(etc + "/mnt/upper"), os.mkdir(etc + "/mnt/work")
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=/etc,upperdir=%s/mnt/upper,workdir=%s/mnt/work"
                % (etc, etc), "/etc"], check=True)
os.makedirs("/etc/docker/certs.d", exist_ok=True)
subprocess.run(["mount", "--bind", etc + "/certs.d", "/etc/docker/certs.d"], check=True)
os.execvp(sys.argv[2], sys.argv[2:])
""", ETC)


def setUpModule():
    os.mkdir(ETC + "/mnt"), os.mkdir(ETC + "/certs.d")


def tearDownModule():
    shutil.rmtree(ETC)


class Hosts(RegistryTestCase):
    prefix = OWN_ETC
    arguments = ("--insecure-registry", "plain.invalid")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run(["ip", "address", "add", ADDRESS + "/32", "dev", "lo"], check=True,
                       preexec_fn=cls.daemon.enter_net, pass_fds=(cls.daemon.net,))

    def tearDown(self):
        for name in os.listdir(ETC + "/certs.d"):
            shutil.rmtree(ETC + "/certs.d/" + name)
        super().tearDown()

    def certs(self, host, **files):
        """Fills the folder of a host; names with a dot as `name__ending`."""
        folder = ETC + "/certs.d/" + host
        os.makedirs(folder, exist_ok=True)
        for name, source in files.items():
            with open(folder + "/" + name.replace("__", "."), "w") as file:
                file.write(source)

    @staticmethod
    def text(path):
        with open(path) as file:
            return file.read()

    def test_client_certificates(self):
        require(shutil.which("docker-registry"), "no docker-registry")
        with tempfile.TemporaryDirectory() as folder:
            authority = certificate(folder, "authority")
            server = certificate(folder, "server", authority, address=ADDRESS)
            client = certificate(folder, "client", authority, usage="clientAuth")
            with contextlib.closing(Registry(self.daemon, tls=server, client_ca=authority + ".crt",
                                             address=ADDRESS)) as served:
                name = served.name + "/tests/kit"
                self.assertCli(0, "tag", "kit", name)
                refused = self.cli("push", name)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(b"x509: certificate signed by unknown authority", refused.stderr)
                self.certs(served.name, ca__crt=self.text(authority + ".crt"))
                refused = self.cli("push", name)
                self.assertEqual(refused.returncode, 1)
                self.assertRegex(refused.stderr, b"tls: (bad certificate|certificate required)")
                self.certs(served.name, me__cert=self.text(client + ".crt"))
                missing = self.pull(name)
                self.assertEqual(missing.message, "missing key me.key for client certificate me.cert. CA certificates must "
                                 "use the extension .crt")
                self.certs(served.name, me__key=self.text(client + ".key"))
                self.assertCli(0, "push", "-q", name, timeout=120)
                digest = self.inspect(name)["RepoDigests"][0]
                self.assertCli(0, "rmi", name)
                self.assertCli(0, "pull", "-q", digest, timeout=120)

    @unittest.skipIf(ORACLE, "Docker's classic store knows mirrors of Docker Hub alone")
    def test_mirror_of_any_registry(self):
        """It is asked first and without the credentials, which are the registry's own."""
        image = self.registry.add("tests/one", double.Image(layers(1)))
        self.certs(NOWHERE, hosts__toml="""
            [host."http://%s"]
            capabilities = ["pull", "resolve"]
            [host."http://%s".header]
            X-Mirror-Key = "key"
        """ % (self.registry.name, self.registry.name))
        pulled = self.pull(NOWHERE + "/tests/one", auth=self.credentials("alice", "secret"))
        self.assertIsNone(pulled.message)
        found = self.inspect(NOWHERE + "/tests/one")
        self.assertEqual((found["Id"], found["RepoDigests"]), (image.id, [NOWHERE + "/tests/one@" + image.digest]))
        self.assertEqual({headers.get("Authorization") for _, _, headers in self.registry.requests}, {None})
        self.assertEqual({headers.get("X-Mirror-Key") for _, _, headers in self.registry.requests}, {"key"})
        # A push is for the registry, of which there is none.
        pushed = self.cli("push", NOWHERE + "/tests/one")
        self.assertEqual(pushed.returncode, 1)
        self.assertIn(NOWHERE.encode(), pushed.stderr)
        self.assertEqual(self.registry.asked("POST", "/blobs/uploads/"), 0)

    @unittest.skipIf(ORACLE, "Docker's classic store knows mirrors of Docker Hub alone")
    def test_what_a_mirror_lacks_the_registry_has(self):
        image = self.registry.add("tests/one", double.Image(layers(1)))
        with self.daemon.in_net(double.Registry) as mirror:
            self.certs(self.registry.name, hosts__toml='[host."http://%s/cache"]\n' % mirror.name)
            self.assertIsNone(self.pull(self.registry.name + "/tests/one").message)
            self.assertGreater(mirror.asked("*", "") + len(mirror.requests), 0)
            self.assertTrue(all(path.startswith("/cache/v2/") for _, path, _ in mirror.requests), mirror.requests)
        self.assertEqual(self.inspect(self.registry.name + "/tests/one")["Id"], image.id)

    @unittest.skipIf(ORACLE, "Docker's classic store reads no hosts.toml")
    def test_hosts_file_that_is_wrong(self):
        self.certs(NOWHERE, hosts__toml="server = 5\n")
        refused = self.pull(NOWHERE + "/x")
        self.assertEqual((refused.status, refused.message),
                         (400, '/etc/docker/certs.d/%s/hosts.toml: line 1: "server" must be a string' % NOWHERE))


class Proxied(RegistryTestCase):
    """The double is the proxy."""
    prefix = (sys.executable, "-c", "import os, sys; os.environ.update(HTTP_PROXY='http://alice:secret@127.0.0.1:3128', "
              "NO_PROXY='direct.invalid'); os.execvp(sys.argv[1], sys.argv[1:])")
    arguments = ("--insecure-registry", "plain.invalid", "--insecure-registry", "direct.invalid")

    def test_by_a_proxy(self):
        with self.daemon.in_net(lambda: double.Registry(port=3128)) as proxy:
            image = proxy.add("tests/one", double.Image(layers(1)))
            self.assertIsNone(self.pull("plain.invalid/tests/one").message)
            self.assertEqual(self.inspect("plain.invalid/tests/one")["Id"], image.id)
            self.assertTrue(all(path.startswith("http://plain.invalid/v2/") for _, path, _ in proxy.requests), proxy.requests)
            self.assertEqual({headers.get("Proxy-Authorization") for _, _, headers in proxy.requests},
                             {"Basic " + base64.b64encode(b"alice:secret").decode()})
            del proxy.requests[:]
            self.assertIn("direct.invalid", self.pull("direct.invalid/tests/one").message)
            self.assertEqual(proxy.requests, [])


if __name__ == "__main__":
    main()

"""Hostile images: documents of every wrong form from registries and in archives, and what they must leave alone."""
import copy
import json
import os
import stat
import tempfile
import unittest

import support  # noqa: F401  (makes tests/support importable)

import registrydouble as double
from registrycase import RegistryTestCase, layers
from testcase import main

ORACLE = bool(os.environ.get("DOCKERD_ORACLE"))
VALUES = (None, True, -1, 5, 1e30, "x", [], [[]], {}, {"x": {}})


def places(document, path=()):
    """The path of every value in a document."""
    if path:
        yield path
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def wrong_forms(document):
    """The document with each of its values in turn of another type, and broken off at 16 places."""
    for path in places(document):
        for value in VALUES:
            changed = copy.deepcopy(document)
            at = changed
            for key in path[:-1]:
                at = at[key]
            if at[path[-1]] != value:
                at[path[-1]] = value
                yield json.dumps(changed).encode()
    text = json.dumps(document).encode()
    for part in range(16):
        yield text[:len(text) * part // 16]


class Images(RegistryTestCase):
    def setUp(self):
        super().setUp()
        self.canary = tempfile.NamedTemporaryFile(prefix="canary-")
        self.addCleanup(self.canary.close)
        self.pid = self.daemon.pid

    def tearDown(self):
        self.assertEqual(self.daemon.pid, self.pid)
        super().tearDown()

    def load(self, files):
        with self.daemon.client(timeout=120) as api:
            return api.request("POST", "/images/load?quiet=1", double.tar_of(files))

    def images(self):
        with self.daemon.client() as api:
            return sorted((found["Id"], tuple(found["RepoTags"])) for found in api.get("/images/json?all=1"))

    def assertRefusedOrWhole(self, answer, what):
        """Nothing is left of what was refused; of what was taken everything is there."""
        self.assertIn(answer.status, (200, 400, 404, 405, 500), what)
        refused = answer.status != 200 or b'"error"' in answer.body
        for found, names in self.images():
            if "kit:latest" in names:
                continue
            self.assertFalse(refused, what)
            with self.daemon.client() as api:
                self.assertEqual(api.request("GET", "/images/%s/get" % found).status, 200, what)
                api.delete("/images/%s?force=1" % found)
        return refused

    @unittest.skipIf(ORACLE, "Docker's handler panics on some, and breaks the connection off")
    def test_documents_of_registries(self):
        image = double.Image(layers(2))
        refused = taken = 0
        for kind, document in (("manifest", image.document), ("config", json.loads(image.config))):
            for text in wrong_forms(document):
                self.registry.add("tests/x", image)
                if kind == "manifest":
                    self.registry.add_manifest("tests/x", double.MANIFEST, text, "latest")
                else:
                    changed = copy.deepcopy(image.document)
                    changed["config"].update(digest=double.digest(text), size=len(text))
                    self.registry.repository("tests/x").blobs[double.digest(text)] = text
                    self.registry.add_manifest("tests/x", double.MANIFEST, json.dumps(changed).encode(), "latest")
                with self.daemon.client(timeout=120) as api:
                    answer = api.request("POST", "/images/create?fromImage=%s/tests/x&tag=latest" % self.registry.name)
                if self.assertRefusedOrWhole(answer, text):
                    refused += 1
                else:
                    taken += 1
        # A wrong author or date of a configuration harms nobody.
        self.assertGreater(refused, 200)
        self.assertGreater(taken, 10)

    @unittest.skipIf(ORACLE, "Docker leaves the image of a wrong tag")
    def test_documents_of_archives(self):
        tars = layers(2)
        image = double.Image(tars)
        files = {"0/layer.tar": tars[0], "1/layer.tar": tars[1], "config.json": image.config}
        manifest = [{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}]
        refused = 0
        for text in wrong_forms(manifest):
            refused += self.assertRefusedOrWhole(self.load({**files, "manifest.json": text}), text)
        for text in wrong_forms(json.loads(image.config)):
            refused += self.assertRefusedOrWhole(
                self.load({**files, "config.json": text, "manifest.json": json.dumps(manifest).encode()}), text)
        self.assertGreater(refused, 80)

    @unittest.skipIf(ORACLE, "Docker takes what comes before the wrong image")
    def test_a_load_that_fails_leaves_names_alone(self):
        """The archive's first image is good and would take a name over; its second one is not."""
        tars = layers(1)
        image = double.Image(tars)
        good = {"Config": "config.json", "RepoTags": ["kit:latest", "fresh:1"], "Layers": ["0/layer.tar"]}
        before = self.images()
        for second, message in (
                ({**good, "Config": "nowhere.json"}, "open nowhere.json: no such file or directory"),
                ({**good, "RepoTags": ["kit:latest", "fresh:"]}, "invalid reference format"),
                ({**good, "Config": "half.json"}, "invalid JSON: unexpected EOF"),
                ({**good, "Layers": []}, "invalid manifest, layers length mismatch: expected 0, got 1")):
            refused = self.load({"0/layer.tar": tars[0], "config.json": image.config, "half.json": image.config[:99],
                                 "manifest.json": json.dumps([good, second]).encode()})
            self.assertEqual(json.loads(refused.body.splitlines()[-1])["error"], message)
            self.assertEqual(self.images(), before)

    def test_paths_of_archives(self):
        """Names in a manifest stay within the archive."""
        for path in (self.canary.name, "../" * 20 + self.canary.name, "/etc/passwd", "link"):
            files = {"config.json": double.Image(layers(1)).config, "manifest.json": json.dumps([
                {"Config": path, "RepoTags": ["x:1"], "Layers": [path]}]).encode()}
            self.assertTrue(self.assertRefusedOrWhole(self.load(files), path))

    @unittest.skipIf(ORACLE, "Docker reads them to their end")
    def test_huge_documents(self):
        """Of a manifest.json of 64 MiB no more than four are read; the daemon does not grow by them."""
        before = self.peak()
        refused = self.load({"manifest.json": b"[" + b" " * (64 << 20) + b"]"})
        self.assertEqual(refused.status, 200)
        self.assertIn(b"manifest.json is larger than 4194304 bytes", refused.body)
        self.assertLess(self.peak() - before, 32)

    def peak(self):
        """The most memory the daemon ever had, in MiB."""
        with open("/proc/%d/status" % self.daemon.pid) as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))

    def test_urls_of_layers_are_not_followed(self):
        """Nor are they told any credentials (CVE-2020-15157)."""
        self.registry.user = ("alice", "secret")
        image = double.Image(layers(1))
        with self.daemon.in_net(double.Registry) as other:
            image.document["layers"][0]["urls"] = ["http://%s/layer" % other.name]
            image.seal()
            self.registry.add("tests/foreign", image)
            pulled = self.pull(self.registry.name + "/tests/foreign", auth=self.credentials("alice", "secret"))
            self.assertIsNone(pulled.message)
            self.assertEqual(other.requests, [])

    def test_what_users_may_not_enter(self):
        """Folders of the daemon's state are root's; below those that others may pass there is nothing to list."""
        open_to_others = []
        for top in (self.daemon.root, self.daemon.exec_root):
            below = sorted(os.listdir(top)) if os.stat(top).st_mode & 0o001 else []
            for path in [top, *(os.path.join(top, name) for name in below)]:
                info = os.lstat(path)
                self.assertEqual(info.st_uid, 0, path)
                if stat.S_ISDIR(info.st_mode) and info.st_mode & 0o006:
                    open_to_others.append((path, oct(info.st_mode)))
        self.assertEqual(open_to_others, [])


if __name__ == "__main__":
    main()
